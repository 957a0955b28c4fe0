"""Where the pairs of runs come from: their tasks, the encoders of these, or one's own data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, Self

from torch import Tensor

from mibench import encoders, tasks
from mibench.batch import Dims
from mibench.engine.encoding import Representation, TrainedEncoder, encoder_of, represent
from mibench.registry import Choice
from mibench.spec import EncoderSpec, RunSpec
from mibench.tasks.pair import Pair, of_rows

KEPT_PAIRS = 4096


class Source(Protocol):
    """Makes the pair of a run; it is made of values alone, so that another process can be given it."""

    def pair(self, spec: RunSpec) -> Pair:
        """Return the pair that a run sees."""

    def dims(self, spec: RunSpec) -> Dims:
        """Return its dimensions, which are known before any encoder is trained."""

    def narrowed(self, specs: Collection[RunSpec]) -> Self:
        """Return a source of the pairs of these runs alone."""


@dataclass(frozen=True)
class TaskPairs:
    """The tasks of runs, and what trained encoders make of their pairs."""

    trained: Mapping[EncoderSpec, TrainedEncoder] = field(default_factory=dict)

    def pair(self, spec: RunSpec) -> Pair:
        """Return the task's own pair, or its representation."""
        representation = self.representation(spec)
        if representation is None:
            return pair_of(spec.task)
        assert representation.pair is not None
        return representation.pair

    def dims(self, spec: RunSpec) -> Dims:
        """Return the dimensions of the pair that a run sees."""
        return dims_of(spec.task, spec.encoder)

    def narrowed(self, specs: Collection[RunSpec]) -> TaskPairs:
        """Return the source with the encoders of these runs alone."""
        needed = {encoder_of(spec) for spec in specs}
        return TaskPairs({spec: made for spec, made in self.trained.items() if spec in needed})

    def representation(self, spec: RunSpec) -> Representation | None:
        """Return what the encoder of a run makes of its task's pair, None without an encoder."""
        encoder = encoder_of(spec)
        return None if encoder is None else represent(spec.task, self.trained[encoder])


@dataclass(frozen=True)
class Rows:
    """One's own data, standing for tasks: x (rows, dim_x), y (rows, dim_y), and whether y is shuffled."""

    data: Mapping[Choice, tuple[Tensor, Tensor, bool]]

    def pair(self, spec: RunSpec) -> Pair:
        """Return the pair of the rows."""
        return of_rows(*self.data[spec.task])

    def dims(self, spec: RunSpec) -> Dims:
        """Return the numbers of columns."""
        x, y, _ = self.data[spec.task]
        return Dims(x.shape[1], y.shape[1])

    def narrowed(self, specs: Collection[RunSpec]) -> Rows:
        """Return the source with the data of these runs alone."""
        needed = {spec.task for spec in specs}
        return Rows({task: rows for task, rows in self.data.items() if task in needed})


@lru_cache(maxsize=KEPT_PAIRS)
def pair_of(task: Choice) -> Pair:
    """Return the pair of a task."""
    return tasks.registry.make(task).pair()


@lru_cache(maxsize=KEPT_PAIRS)
def dims_of(task: Choice, encoder: Choice | None) -> Dims:
    """Return the dimensions of a task's pair, or of its representation; the encoder need not be trained."""
    if encoder is None:
        return pair_of(task).dims
    source = tasks.registry.make(task).encoder_source(training=True)
    return Dims(*encoders.registry.make(encoder).dims(source))
