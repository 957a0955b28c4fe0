"""A pair with every coordinate centred and scaled: what encoders put out has no scale of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from mibench.tasks.base import Task

SCALED_BY_ROWS = 4096


@dataclass(frozen=True)
class Scale:
    """The mean and the standard deviation of each coordinate, (dim), in float64."""

    mean: Tensor
    deviation: Tensor

    def to(self, rows: Tensor) -> Tensor:
        """Return rows centred and scaled."""
        return (rows - self.mean.to(rows)) / self.deviation.to(rows)

    def back(self, rows: Tensor) -> Tensor:
        """Return the rows that `to` came from."""
        return rows * self.deviation.to(rows) + self.mean.to(rows)


@dataclass(frozen=True, eq=False)
class Standardised(Task):
    """A task's pair on other scales, which leaves its information and its log density ratio as they are.

    It is not registered: no name can stand for it.
    """

    task: Task
    x: Scale
    y: Scale

    reference: ClassVar[str] = "this package"

    @property
    def dim_x(self) -> int:
        """Number of coordinates of x."""
        return len(self.x.mean)

    @property
    def dim_y(self) -> int:
        """Number of coordinates of y."""
        return len(self.y.mean)

    @property
    def true_mi_nats(self) -> float:
        """That of the task."""
        return self.task.true_mi_nats

    @property
    def true_mi_interval_nats(self) -> tuple[float, float]:
        """That of the task."""
        return self.task.true_mi_interval_nats

    @property
    def facts(self) -> Mapping[str, float]:
        """Those of the task."""
        return self.task.facts

    @property
    def training(self) -> Task:
        """The task's, on the same scales."""
        return self if self.task.training is self.task else replace(self, task=self.task.training)

    @property
    def knows_ratio(self) -> bool:
        """Whether the task does."""
        return self.task.knows_ratio

    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw n pairs of the task and scale them."""
        x, y = self.task.sample(n, generator, dtype)
        return self.x.to(x), self.y.to(y)

    def log_density_ratio(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the task's, in its own scales."""
        return self.task.log_density_ratio(self.x.back(x.double()), self.y.back(y.double()))


def standardised(task: Task, generator: torch.Generator) -> Standardised:
    """Return a task's pair with the coordinates of what critics train on at mean 0 and variance 1.

    A coordinate that is constant is centred alone.
    """
    x, y = task.training.sample(SCALED_BY_ROWS, generator, torch.float64)
    return Standardised(task, _scale(x), _scale(y))


def _scale(rows: Tensor) -> Scale:
    deviation = rows.std(0)
    return Scale(rows.mean(0), torch.where(deviation > 0, deviation, 1.0))
