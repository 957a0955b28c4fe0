"""What an encoder recipe is: a network, what it is trained on, and the loss that trains it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from mibench.encoders import registry
from mibench.errors import UsageError
from mibench.tasks.base import Task

Tensors = dict[str, Tensor]


class Encoder(ABC):
    """A family of encoders and its training, many seeds at once.

    A subclass is a frozen dataclass: its fields are its options, checked in `__post_init__`; among them are
    `steps` and `lr`, the number of Adam's steps and its constant rate, so that the encoder of fewer steps is
    what the encoder of more steps once was. Tensors of several runs lead with the run axis R, and no run may
    influence another.

    Attributes:
        name: what users type.
        version: raised when the recipe behind the name changes, so that old encoders are not reused.
        formula: the loss.
        ceiling_formula: the largest value that the recipe's own estimate can have, in words.
        source: what it is trained on: `pairs`, `sequences` or `images`, as tasks have them.
        reference: authors, year and arXiv number.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    formula: ClassVar[str]
    ceiling_formula: ClassVar[str] = "none"
    source: ClassVar[str]
    reference: ClassVar[str]

    steps: int = 0
    lr: float = 0.0

    @abstractmethod
    def dims(self, task: Any) -> tuple[int, int]:  # noqa: ANN401 - a task that has the source
        """Return the dimensions of the two representations of a task's pair."""

    @abstractmethod
    def initialise(self, task: Any, generator: torch.Generator) -> Tensors:  # noqa: ANN401
        """Return the initial parameters of one run, without the run axis."""

    @abstractmethod
    def draw(self, task: Any, generator: torch.Generator) -> Tensors:  # noqa: ANN401
        """Return what one run meets in one step, without the run axis."""

    @abstractmethod
    def loss(self, trained: Tensors, carried: Tensors, batch: Tensors) -> Tensor:
        """Return the loss of each run, (R)."""

    @abstractmethod
    def encode_x(self, trained: Tensors, x: Tensor) -> Tensor:
        """Return the representations of x: (R, n, dim_x) -> (R, n, dim)."""

    def encode_y(self, trained: Tensors, y: Tensor) -> Tensor:
        """Return the representations of y: (R, n, dim_y) -> (R, n, dim); by default as those of x."""
        return self.encode_x(trained, y)

    def carried_tensors(self, trained: Tensors, generator: torch.Generator) -> Tensors:
        """Return what one run carries from step to step and no gradient changes, without the run axis."""
        return {}

    def after_step(self, trained: Tensors, carried: Tensors, batch: Tensors) -> None:  # noqa: B027
        """Change what is carried in place, once the step is taken."""

    def own_estimate(self, task: Any, trained: Tensors, carried: Tensors, batch: Tensors) -> Tensor | None:  # noqa: ANN401
        """Return what the recipe itself reads of the information in nats, (R), or None for nothing.

        It is taken on data that training has not met; `task` is the one that is run.
        """
        return None

    def own_ceiling(self, task: Any) -> float | None:  # noqa: ANN401
        """Return the largest value of `own_estimate` in nats, None for none."""
        return None

    def compared(self, task: Any, trained: Tensors, generator: torch.Generator) -> Tensor | None:  # noqa: ANN401
        """Return what the loss compares where that is not the representation itself, (R, rows, dim).

        Such as the output of a projection head, in which a collapse shows first.
        """
        return None

    def check(self, task: Task) -> None:
        """Raise a UsageError where the task's data are not what the recipe is trained on."""
        if task.source != self.source:
            raise UsageError(
                f"Encoder {self.name!r} is trained on {self.source}; task {task.name!r} has {task.source}.",
                f"Encoders for {task.source}: {', '.join(_trained_on(task.source))}.",
            )
        if type(task).represented is Task.represented:
            raise UsageError(
                f"No interval for the mutual information of representations of task {task.name!r} is known.",
                "Give --encoder none, or a task made for encoders: cpc, linear-encoder, digits.",
            )


def _trained_on(source: str) -> list[str]:
    return [name for name, kind in registry.classes() if getattr(kind, "source", None) == source]


def check_training(encoder: Encoder) -> None:
    """Raise a UsageError for a rate that is not positive or a negative number of steps."""
    positive(encoder.name, lr=encoder.lr)
    if encoder.steps < 0:
        raise UsageError(
            f"steps of {encoder.name!r} must be 0 or more, not {encoder.steps}.",
            "0 is the untrained encoder.",
        )


def positive(name: str, **values: float) -> None:
    """Raise a UsageError for an option that is not above 0."""
    for key, value in values.items():
        if not value > 0:
            raise UsageError(f"{key} of {name!r} must be positive, not {value:g}.", "Give a number above 0.")
