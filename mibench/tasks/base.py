"""What a task is: a distribution p(x, y) that can be sampled and whose log density ratio is exact."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor


class Task(ABC):
    """A joint distribution p(x, y) with known mutual information I(X;Y).

    A subclass is a frozen dataclass: its fields are its options, checked in `__post_init__`.

    Attributes:
        name: what users type.
        version: raised when the distribution behind the name changes, so that old results are not reused.
        reference: where the task comes from.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    reference: ClassVar[str]

    @property
    @abstractmethod
    def dim_x(self) -> int:
        """Number of coordinates of x."""

    @property
    @abstractmethod
    def dim_y(self) -> int:
        """Number of coordinates of y."""

    @property
    @abstractmethod
    def true_mi_nats(self) -> float:
        """I(X;Y) in nats, exact."""

    @abstractmethod
    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw n independent pairs: x of shape (n, dim_x), y of shape (n, dim_y).

        They are made on the generator's device in `dtype` (the default one of torch if left out). Where the
        dtype cannot hold the distribution, the samples are NaN.
        """

    @abstractmethod
    def log_density_ratio(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log p(x_i, y_j) / p(x_i)p(y_j) for all pairs, in float64.

        x has shape (..., n, dim_x), y has (..., n, dim_y), the result (..., n, n). Where float64 cannot
        resolve the ratio, it is NaN.
        """
