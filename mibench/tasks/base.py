"""What a task is: a distribution p(x, y) that can be sampled and whose log density ratio is exact."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor

from mibench.registry import Value

Encode = Callable[[Tensor], Tensor]
"""Rows (n, dim) to representations (n, dim of the representation), in the type of the rows."""


class Task(ABC):
    """A joint distribution p(x, y) with known mutual information I(X;Y).

    A subclass is a frozen dataclass: its fields are its options, checked in `__post_init__`.

    Attributes:
        name: what users type.
        version: raised when the distribution behind the name changes, so that old results are not reused.
        reference: where the task comes from.
        default_encoder: what is used where the user names none.
        levels: options at several values of which the task is run where the user gives none.
        source: what encoders can be trained on here: `pairs`, `sequences` or `images`.
        beside_encoders: options that do not change what encoders are trained on.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    reference: ClassVar[str]
    default_encoder: ClassVar[str] = "none"
    levels: ClassVar[Mapping[str, tuple[Value, ...]]] = {}
    source: ClassVar[str] = "pairs"
    beside_encoders: ClassVar[tuple[str, ...]] = ()

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

    @property
    def default_critic(self) -> str:
        """The critic that is used where the user names none."""
        return "separable"

    @property
    def true_mi_interval_nats(self) -> tuple[float, float]:
        """An interval that holds I(X;Y) in nats: a point where it is exact."""
        return self.true_mi_nats, self.true_mi_nats

    @property
    def facts(self) -> Mapping[str, float]:
        """What else is known of the pair, such as a representation's alignment; fields of a record."""
        return {}

    @property
    def training(self) -> Task:
        """Where critics and encoders train: the task itself, unless its data are finite and were parted."""
        return self

    @property
    def knows_ratio(self) -> bool:
        """Whether the log density ratio is known, and so the exact critic."""
        return not math.isnan(self.true_mi_nats)

    def check(self, n: int) -> None:  # noqa: B027 - most tasks can be sampled without end
        """Raise a UsageError where the task cannot give batches of n."""

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

    def represented(self, encode_x: Encode, encode_y: Encode, generator: torch.Generator) -> Task:
        """Return the pair (encode_x(x), encode_y(y)), with an interval that holds its information.

        A task that does not override this takes no encoder.
        """
        raise NotImplementedError("The information of representations cannot be enclosed.")
