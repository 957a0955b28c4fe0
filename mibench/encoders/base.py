"""What an encoder recipe is: a network, what it is trained on, and the loss that trains it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from mibench.batch import Tensors
from mibench.encoders import registry
from mibench.errors import UsageError
from mibench.tasks.base import Encodable, HasImages, HasSequences, Task
from mibench.tasks.pair import Pair

S = TypeVar("S", Pair, HasSequences, HasImages)

SOURCES: dict[str, type] = {"pairs": Pair, "sequences": HasSequences, "images": HasImages}
"""What encoders can be trained on: `Task.encoder_source` returns one of these."""


class Encoder(ABC, Generic[S]):
    """A family of encoders and its training, many seeds at once.

    A subclass is a frozen dataclass: its fields are its options, checked in `__post_init__`; among them are
    `steps` and `lr`, the number of Adam's steps and its constant rate, so that an encoder of fewer steps is
    an earlier state of the encoder of more steps. Tensors of several runs lead with the run axis R, and no
    run may influence another.

    Attributes:
        name: what users type.
        version: raised when the recipe behind the name changes, so that old encoders are not reused.
        formula: the loss.
        ceiling_formula: the largest value that the recipe's own estimate can have, in words.
        source: what it is trained on: a name of `SOURCES`.
        reference: authors, year and arXiv number.
        conformance_exceptions: properties of `mibench.testing` that do not hold, each with the reason.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    formula: ClassVar[str]
    ceiling_formula: ClassVar[str] = "none"
    source: ClassVar[str]
    reference: ClassVar[str]
    conformance_exceptions: ClassVar[Mapping[str, str]] = {}

    steps: int = 0
    lr: float = 0.0

    @abstractmethod
    def dims(self, source: S) -> tuple[int, int]:
        """Return the dimensions of the two representations of a task's pair."""

    @abstractmethod
    def initialise(self, source: S, generator: torch.Generator) -> Tensors:
        """Return the initial parameters of one run, without the run axis."""

    @abstractmethod
    def draw(self, source: S, generator: torch.Generator) -> Tensors:
        """Return the batch of one run for one step, without the run axis."""

    @abstractmethod
    def loss(self, parameters: Tensors, state: Tensors, batch: Tensors) -> Tensor:
        """Return the loss of each run, (R)."""

    @abstractmethod
    def encode_x(self, parameters: Tensors, x: Tensor) -> Tensor:
        """Return the representations of x: (R, n, dim_x) -> (R, n, dim)."""

    def encode_y(self, parameters: Tensors, y: Tensor) -> Tensor:
        """Return the representations of y: (R, n, dim_y) -> (R, n, dim); by default as those of x."""
        return self.encode_x(parameters, y)

    def state(self, parameters: Tensors, generator: torch.Generator) -> Tensors:
        """Return what one run carries from step to step and no gradient changes, without the run axis."""
        return {}

    def after_step(self, parameters: Tensors, state: Tensors, batch: Tensors) -> None:
        """Change the state in place, after the optimiser's step."""

    def own_estimate(self, source: S, parameters: Tensors, state: Tensors, batch: Tensors) -> Tensor | None:
        """Return the MI estimate that the training loss implies, in nats, (R); None where there is none.

        It is taken on unseen data, of which `source` is the source.
        """
        return None

    def own_ceiling(self, source: S) -> float | None:
        """Return the largest value of `own_estimate` in nats, None for none."""
        return None

    def compared(self, source: S, parameters: Tensors, generator: torch.Generator) -> Tensor | None:
        """Return what the loss compares where that is not the representation itself, (R, rows, dim).

        Such as the output of a projection head, in which a collapse shows first.
        """
        return None

    def check(self, task: Task) -> None:
        """Raise a UsageError where the recipe cannot be trained on the task's data."""
        source = task.encoder_source(training=True)
        if not isinstance(source, SOURCES[self.source]):
            there = next(name for name, kind in SOURCES.items() if isinstance(source, kind))
            others = (name for name, kind in registry.classes() if getattr(kind, "source", None) == there)
            raise UsageError(
                f"Encoder {self.name!r} is trained on {self.source}; task {task.name!r} has {there}.",
                f"Encoders for {there}: {', '.join(others)}.",
            )
        if not isinstance(task, Encodable):
            raise UsageError(
                f"No interval for the mutual information of representations of task {task.name!r} is known.",
                "Give --encoder none, or a task made for encoders: 'mibench list tasks' shows all.",
            )
