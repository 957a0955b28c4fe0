"""What a critic is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from mibench.errors import UsageError
from mibench.networks import Parameters, Shape, initialise


class Critic(ABC):
    """A family of functions f(x, y) with parameters.

    Attributes:
        name: what users type.
        version: raised when the function behind the name changes, so that old results are not reused.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1

    def check(self, vocabulary: int | None) -> None:
        """Raise a UsageError where the critic cannot see so many words, or real numbers (None)."""
        if vocabulary is not None:
            raise UsageError(
                f"Critic {self.name!r} sees real numbers, and the pair here is of words.",
                "Give --critic embedding, or leave --critic out.",
            )

    @abstractmethod
    def shapes(self, dim_x: int, dim_y: int) -> dict[str, Shape]:
        """Return (rows, columns, fan-in) of every parameter of one run, in the order of initialisation."""

    @abstractmethod
    def scores(self, parameters: Parameters, x: Tensor, y: Tensor) -> Tensor:
        """Return f(x_i, y_j) of every run: (R, n, dim_x), (R, n, dim_y) -> (R, n, n)."""

    @abstractmethod
    def activations(self, n: int) -> int:
        """Return how many numbers one run's forward pass keeps for its backward pass, scores included."""

    @abstractmethod
    def multiplications(self, dim_x: int, dim_y: int, n: int) -> int:
        """Return the multiply-adds of one run's forward pass."""

    def initialise(
        self, dim_x: int, dim_y: int, generator: torch.Generator, dtype: torch.dtype
    ) -> Parameters:
        """Return the parameters of one run."""
        return initialise(self.shapes(dim_x, dim_y), generator, dtype)

    def parameter_count(self, dim_x: int, dim_y: int) -> int:
        """Return the number of parameters of one run."""
        return sum(rows * columns for rows, columns, _ in self.shapes(dim_x, dim_y).values())
