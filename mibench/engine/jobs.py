"""Jobs: what a worker is given. They are made of values alone, so they can be pickled and run elsewhere."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Literal, TypeVar

import torch

from mibench import encoders
from mibench.engine.device import matmul_precision
from mibench.engine.encoding import TrainedEncoder, train_encoders
from mibench.engine.plan import Pack, Training
from mibench.engine.read import Readout
from mibench.engine.sources import Source
from mibench.errors import in_words
from mibench.spec import EncoderSpec, RunSpec

R = TypeVar("R")
T = TypeVar("T")

ENCODER_SECONDS_A_STEP = 0.02
"""What a step of an encoder takes on some machine, about."""

Status = Literal["ok", "diverged", "failed"]
Report = Callable[[float], None]
"""Called with the work done since the last call, as `Job.work` counts it."""


class Job(ABC, Generic[R]):
    """Work that gives one result for each of several things, and can be divided between these.

    A subclass is a frozen dataclass of values, which can be pickled.
    """

    @property
    @abstractmethod
    def work(self) -> float:
        """What the job weighs beside others of its kind."""

    @property
    @abstractmethod
    def label(self) -> str:
        """What a message calls the job."""

    @abstractmethod
    def run(self, device: torch.device, report: Report) -> list[R]:
        """Do the job."""

    @abstractmethod
    def halves(self) -> Sequence[Job[R]]:
        """Return two jobs of half the size, or the job itself if it cannot be halved."""

    @abstractmethod
    def singles(self) -> Sequence[Job[R]]:
        """Return a job for each of its parts, or the job itself if it has one part."""

    @abstractmethod
    def failed(self, error: BaseException) -> list[R]:
        """Return the results of a job that an error has ended."""


@dataclass(frozen=True)
class Outcome:
    """How one run ended: `ok` with a readout, `diverged`, or `failed` with the error's words.

    Attributes:
        wall_s: the run's share of the time that its pack took.
        training_s: its training's share of the time that training the pack took, reading left out; runs that
            share a training have the same. None where nothing was trained.
    """

    spec: RunSpec
    status: Status
    message: str
    readout: Readout | None
    wall_s: float
    training_s: float | None = None


@dataclass(frozen=True)
class PackJob(Job[Outcome]):
    """A pack of trainings to be done and read, all at once."""

    trainings: tuple[Training, ...]
    source: Source

    @classmethod
    def of(cls, pack: Pack) -> PackJob:
        """Return the job of a pack, with as much of its source as its runs need."""
        return cls(pack.trainings, pack.source.narrowed(pack.specs))

    @property
    def pack(self) -> Pack:
        """The pack, with everything that can be derived of the values."""
        return Pack(self.trainings, self.source)

    @cached_property
    def work(self) -> float:
        """The seconds that the pack takes on some machine."""
        return self.pack.work

    @property
    def label(self) -> str:
        """The estimator and the task of its first run."""
        spec = self.trainings[0][0]
        return f"{spec.estimator.label} on {spec.task.label}"

    @property
    def specs(self) -> list[RunSpec]:
        """Every run."""
        return [spec for training in self.trainings for spec in training]

    def run(self, device: torch.device, report: Report) -> list[Outcome]:
        """Train and read the pack, and return how each of its runs ended."""
        pack, started = self.pack, time.perf_counter()
        a_step = pack.work_a_step
        with matmul_precision("float32" if pack.first.fit is None else pack.fit.precision):
            fitted, readouts = pack.protocol.follow(pack, device, lambda steps: report(steps * a_step))
        report(self.work - pack.steps * a_step)
        wall_s = (time.perf_counter() - started) / len(pack.specs)
        training_s = None if pack.objective is None else fitted.seconds / len(pack.trainings)
        return [
            _outcome(pack, fitted.diverged_at[place], spec, readouts[spec], wall_s, training_s)
            for place, training in enumerate(pack.trainings)
            for spec in training
        ]

    def halves(self) -> list[PackJob]:
        """Return two jobs of half as many trainings each, or the job itself if it has one training."""
        return [PackJob(part, self.source) for part in _halves(self.trainings)]

    def singles(self) -> list[PackJob]:
        """Return a job for each training, or if there is one training, for each estimator that reads it."""
        if len(self.trainings) > 1:
            return [PackJob((training,), self.source) for training in self.trainings]
        by_estimator: dict[object, list[RunSpec]] = {}
        for spec in self.specs:
            by_estimator.setdefault(spec.estimator, []).append(spec)
        return [PackJob((tuple(specs),), self.source) for specs in by_estimator.values()]

    def failed(self, error: BaseException) -> list[Outcome]:
        """Return every run as failed by an error."""
        return [Outcome(spec, "failed", in_words(error), None, 0.0) for spec in self.specs]


@dataclass(frozen=True)
class EncoderJob(Job[TrainedEncoder]):
    """Encoders that differ in their seed alone, trained all at once."""

    specs: tuple[EncoderSpec, ...]

    @cached_property
    def work(self) -> float:
        """The seconds that the encoders take on some machine, about."""
        return self._a_step * encoders.registry.make(self.specs[0].encoder).steps

    @property
    def _a_step(self) -> float:
        return ENCODER_SECONDS_A_STEP * len(self.specs)

    @property
    def label(self) -> str:
        """The encoder and its task."""
        return f"{self.specs[0].encoder.label} on {self.specs[0].task.label}"

    def run(self, device: torch.device, report: Report) -> list[TrainedEncoder]:
        """Train the encoders."""
        return train_encoders(self.specs, device, lambda steps: report(steps * self._a_step))

    def halves(self) -> list[EncoderJob]:
        """Return two jobs of half as many encoders each, or the job itself if it has one."""
        return [EncoderJob(part) for part in _halves(self.specs)]

    def singles(self) -> list[EncoderJob]:
        """Return a job for each encoder."""
        return [EncoderJob((spec,)) for spec in self.specs]

    def failed(self, error: BaseException) -> list[TrainedEncoder]:
        """Return every encoder as failed by an error."""
        return [TrainedEncoder(spec, {}, {}, f"the encoder failed: {in_words(error)}") for spec in self.specs]


def _halves(items: tuple[T, ...]) -> list[tuple[T, ...]]:
    """Return the two halves of several items, or one item alone."""
    middle = len(items) // 2
    return [part for part in (items[:middle], items[middle:]) if part]


def _outcome(
    pack: Pack, step: int | None, spec: RunSpec, readout: Readout, wall_s: float, training_s: float | None
) -> Outcome:
    message = readout.message
    # Where one training climbs, levels below the one where the objective broke are valid.
    broken = step is not None and (message or not pack.protocol.stairs)
    if broken and not _samples_are_finite(pack, spec):
        message = f"the samples are beyond {pack.fit.precision}, which does not resolve their information"
    elif broken:
        fit = pack.fit
        message = f"the objective is not finite at step {step} of {fit.steps} (learning rate {fit.lr:g})"
    if message:
        return Outcome(spec, "diverged", message, None, wall_s, training_s)
    return Outcome(spec, "ok", "", readout, wall_s, training_s)


def _samples_are_finite(pack: Pack, spec: RunSpec) -> bool:
    x, y = pack.source.pair(spec).draw(1, torch.Generator(), pack.dtype)
    return bool(x.isfinite().all() and y.isfinite().all())
