"""The pair that frozen encoders make of a task's pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from mibench.tasks.base import Encode, Task

Ratio = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Represented(Task):
    """The pair (encode_x(x), encode_y(y)) of a task whose data never end.

    It is not registered: no name can stand for it.

    Attributes:
        interval: holds I in nats.
        known: what else is known of the pair.
        ratio: the log density ratio of the representations, where it is known.
    """

    task: Task
    encode_x: Encode
    encode_y: Encode
    interval: tuple[float, float]
    known: Mapping[str, float] = field(default_factory=dict)
    ratio: Ratio | None = None

    reference: ClassVar[str] = "this package"

    @property
    def dim_x(self) -> int:
        """Number of coordinates of encode_x(x)."""
        return self.sample(2, torch.Generator())[0].shape[1]

    @property
    def dim_y(self) -> int:
        """Number of coordinates of encode_y(y)."""
        return self.sample(2, torch.Generator())[1].shape[1]

    @property
    def true_mi_nats(self) -> float:
        """I in nats where it is exact, else NaN."""
        low, high = self.interval
        return low if low == high else float("nan")

    @property
    def true_mi_interval_nats(self) -> tuple[float, float]:
        """An interval that holds I in nats."""
        return self.interval

    @property
    def facts(self) -> Mapping[str, float]:
        """What else is known of the pair."""
        return self.known

    @property
    def knows_ratio(self) -> bool:
        """Whether the log density ratio is known."""
        return self.ratio is not None

    def sample(
        self,
        n: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw n pairs of the task and encode them."""
        x, y = self.task.sample(n, generator, dtype)
        return self.encode_x(x), self.encode_y(y)

    def log_density_ratio(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the log density ratio of representations.

        Raises:
            NotImplementedError: it is not known.
        """
        if self.ratio is None:
            raise NotImplementedError("The density ratio of these representations is not known.")
        return self.ratio(x, y)
