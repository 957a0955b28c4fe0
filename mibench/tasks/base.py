"""What a task is: a recipe for a pair (X, Y) with known mutual information."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from mibench.registry import Value
from mibench.tasks.pair import Encode, Pair


class Task(ABC):
    """A recipe for a pair (X, Y) with known mutual information I(X;Y).

    A subclass is a frozen dataclass: its fields are its options, checked in `__post_init__`.

    Attributes:
        name: what users type.
        version: raised when the distribution behind the name changes, so that old results are not reused.
        reference: where the task comes from.
        default_encoder: the encoder that is used where the user names none; None for none.
        levels: options at several values of which the task is run where the user gives none.
        beside_encoders: options that are irrelevant to the training of encoders.
        conformance_exceptions: properties of `mibench.testing` that do not hold, each with the reason.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    reference: ClassVar[str]
    default_encoder: ClassVar[str | None] = None
    levels: ClassVar[Mapping[str, tuple[Value, ...]]] = {}
    beside_encoders: ClassVar[tuple[str, ...]] = ()
    conformance_exceptions: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def pair(self) -> Pair:
        """Return the pair that the recipe makes."""

    def at(self, nats: float) -> Task | None:
        """Return the same task at another true MI in nats; None where it has no such option."""
        return None

    @property
    def default_critic(self) -> str | None:
        """The critic that is used where the user names none; None for the usual one."""
        return None

    def check(self, n: int) -> None:  # noqa: B027 - most tasks can be sampled indefinitely
        """Raise a UsageError where the task cannot give batches of n."""

    def encoder_source(self, training: bool) -> Any:  # noqa: ANN401 - one of the protocols below
        """Return what encoders are trained on, or evaluated on: by default the pair."""
        pair = self.pair()
        return pair.for_training if training else pair

    @property
    def dim_x(self) -> int:
        """Number of coordinates of x."""
        return self.pair().dims.x

    @property
    def dim_y(self) -> int:
        """Number of coordinates of y."""
        return self.pair().dims.y

    @property
    def true_mi_nats(self) -> float:
        """I(X;Y) in nats, the middle of the interval that holds it; NaN where it is unknown."""
        middle = self.pair().truth.middle
        return math.nan if middle is None else middle

    def sample(
        self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw n independent pairs: x of shape (n, dim_x), y of shape (n, dim_y).

        They are made on the generator's device in `dtype` (the default one of torch if left out). Where the
        dtype cannot hold the distribution, the samples are NaN.
        """
        return self.pair().draw(n, generator, dtype)

    def log_density_ratio(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log p(x_i, y_j) / p(x_i)p(y_j) for all pairs, in float64.

        x has shape (..., n, dim_x), y has (..., n, dim_y), the result (..., n, n). Where float64 cannot
        resolve the ratio, it is NaN.

        Raises:
            NotImplementedError: the ratio is not known.
        """
        log_ratio = self.pair().log_ratio
        if log_ratio is None:
            raise NotImplementedError(f"The density ratio of task {self.name!r} is not known.")
        return log_ratio(x, y)


@runtime_checkable
class Encodable(Protocol):
    """A task that encloses the information of representations of its pair."""

    def represented(self, encode_x: Encode, encode_y: Encode, generator: torch.Generator) -> Pair:
        """Return the pair (encode_x(x), encode_y(y)), with an interval that holds its information."""


@runtime_checkable
class HasSequences(Protocol):
    """What encoders of sequences are trained on."""

    past: int
    length: int
    observed: int
    dim_y: int
    horizon: int

    def sequences(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n whole sequences of observations, (n, length, observed)."""


@runtime_checkable
class HasImages(Protocol):
    """What encoders of images are trained on."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of an image."""

    @property
    def mean(self) -> Tensor:
        """The mean image, (H, W)."""

    @property
    def classes(self) -> int:
        """Number of classes."""

    @property
    def tiles(self) -> int:
        """Number of images side by side in x."""

    @property
    def fewest(self) -> int:
        """Number of images in the smaller part."""

    def images(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n different images, (n, H W)."""

    def labelled(self, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw n different images, (n, H W), and their classes, (n)."""
