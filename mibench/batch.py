"""What models, objectives and estimators are given: a batch of every run, with the run axis in front."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Dims:
    """Number of coordinates of x and of y; of tokens, the size of the vocabulary."""

    x: int
    y: int
    vocabulary: int | None = None


@dataclass(frozen=True)
class Batch:
    """A batch of n pairs of each of R runs.

    Attributes:
        x: (R, n, dim_x).
        y: (R, n, dim_y).
        drawn: what the objective drew for this step, each run's from its own stream: (R, ...).
        known: what the pairs know of themselves, one number per run: `entropy_y` in nats, (R,).
    """

    x: Tensor
    y: Tensor
    drawn: Tensors = field(default_factory=dict)
    known: Tensors = field(default_factory=dict)

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Return the batch with every tensor changed by the same function."""
        drawn, known = (
            {key: change(value) for key, value in side.items()} for side in (self.drawn, self.known)
        )
        return Batch(change(self.x), change(self.y), drawn, known)

    def tensors(self) -> list[Tensor]:
        """Return every tensor, always in the same order."""
        return [self.x, self.y, *self.drawn.values(), *self.known.values()]
