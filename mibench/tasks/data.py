"""One's own data as a task: rows to draw from, and a truth that nobody knows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from mibench.registry import Choice
from mibench.tasks.base import Task


@dataclass(frozen=True, eq=False)
class Data(Task):
    """Pairs of rows x (rows, dim_x) and y (rows, dim_y), in float64.

    It is not registered: no name can stand for it. `shuffled` pairs each x with a y drawn for it anew, so
    that their mutual information is 0.
    """

    x: Tensor
    y: Tensor
    shuffled: bool = False

    reference: ClassVar[str] = "the user's own"

    @property
    def dim_x(self) -> int:
        """Number of columns of x."""
        return self.x.shape[1]

    @property
    def dim_y(self) -> int:
        """Number of columns of y."""
        return self.y.shape[1]

    @property
    def true_mi_nats(self) -> float:
        """NaN: it is not known."""
        return math.nan

    @cached_property
    def choice(self) -> Choice:
        """What stands for the data in a run's identity: its size alone.

        So rounding and the scale of the columns leave the splits as they are.
        """
        options = (("rows", len(self.x)), ("shuffled", self.shuffled))
        return Choice("data", self.version, options, "data, y shuffled" if self.shuffled else "data")

    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return n of the rows in random order, none of them twice."""
        rows = torch.randperm(len(self.x), generator=generator)[:n]
        partners = torch.randperm(len(self.x), generator=generator)[:n] if self.shuffled else rows
        return self.x[rows].to(dtype), self.y[partners].to(dtype)

    def log_density_ratio(self, x: Tensor, y: Tensor) -> Tensor:
        """Raise: it is not known.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("The density ratio of one's own data is not known.")
