"""No encoder: the critic sees the task's own pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mibench.encoders.base import Encoder, Tensors
from mibench.tasks.base import Task


@dataclass(frozen=True)
class NoEncoder(Encoder):
    """The task's own pair, as it is: nothing is trained."""

    name = "none"
    formula: ClassVar[str] = "z = x, z' = y"
    source: ClassVar[str] = "any"
    reference: ClassVar[str] = "this package"

    def dims(self, task: Task) -> tuple[int, int]:
        """Return those of the pair."""
        return task.dim_x, task.dim_y

    def initialise(self, task: Task, generator: torch.Generator) -> Tensors:
        """Return nothing."""
        return {}

    def draw(self, task: Task, generator: torch.Generator) -> Tensors:
        """Return nothing."""
        return {}

    def loss(self, trained: Tensors, carried: Tensors, batch: Tensors) -> Tensor:
        """Return nothing to minimise."""
        return torch.zeros(0)

    def encode_x(self, trained: Tensors, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def check(self, task: Task) -> None:
        """Accept every task."""
