"""What identifies a run: its specification, and the key under which its record is stored."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from mibench.registry import Choice

KEY_VERSION = 2
"""Raised whenever the identity of a run changes its form; keys of different versions are never equal."""

Schedule = Literal["one-cycle", "constant"]
Precision = Literal["float32", "float64", "tf32"]

DEFAULT_LEARNING_RATE: dict[str, float] = {"one-cycle": 2e-3, "constant": 5e-4}
"""The peak of the one-cycle schedule, and the constant rate of the published experiments."""

SCHEDULES: tuple[str, ...] = get_args(Schedule)
PRECISIONS: tuple[str, ...] = get_args(Precision)


@dataclass(frozen=True)
class Fit:
    """How a model is trained and read: everything that means nothing to an estimator without one.

    Attributes:
        train_n: rows of a training batch; None for as many as are read.
        anchors: rows of a batch that is read which are scored against all others; None for the usual.
    """

    model: Choice
    steps: int
    lr: float
    schedule: str
    precision: str
    train_n: int | None = None
    anchors: int | None = None

    @property
    def in_training(self) -> Fit:
        """What of it the training depends on, beside the n of its batches."""
        return replace(self, train_n=None, anchors=None)


@dataclass(frozen=True)
class RunSpec:
    """One estimator on one task with one seed.

    Every field changes the result and so is part of the identity. What should not change it (device, pack
    size, output folder) is no field.

    Attributes:
        encoder: None where the estimator sees the task's own pair.
        n: rows of a batch that is read.
        fit: None where nothing is trained.
    """

    estimator: Choice
    task: Choice
    encoder: Choice | None
    protocol: Choice
    n: int
    seed: int
    fit: Fit | None

    @property
    def identity(self) -> dict[str, Any]:
        """All that the result depends on, defaults resolved, as JSON values; what is not used is left out."""
        values: dict[str, Any] = {
            "key_version": KEY_VERSION,
            "estimator": self.estimator.identity,
            "task": self.task.identity,
            "protocol": self.protocol.identity,
            "n": self.n,
            "seed": self.seed,
        }
        if self.encoder is not None:
            values["encoder"] = self.encoder.identity
        if self.fit is not None:
            values |= {
                "critic": self.fit.model.identity,
                "steps": self.fit.steps,
                "lr": self.fit.lr,
                "schedule": self.fit.schedule,
                "precision": self.fit.precision,
            }
            chosen = {"train_n": self.fit.train_n, "anchors": self.fit.anchors}
            values |= {name: rows for name, rows in chosen.items() if rows is not None}
        return values

    @property
    def in_training(self) -> RunSpec:
        """The run as it is trained: with the n of a training batch, where that is another."""
        if self.fit is None:
            return self
        return replace(self, n=self.fit.train_n or self.n, fit=self.fit.in_training)

    @property
    def choices(self) -> dict[str, Choice | None]:
        """What the run is made of, by kind; None where it has no encoder or no model."""
        return {
            "estimator": self.estimator,
            "task": self.task,
            "encoder": self.encoder,
            "critic": None if self.fit is None else self.fit.model,
            "protocol": self.protocol,
        }

    @property
    def key(self) -> str:
        """The sha256 of the canonical JSON of the identity."""
        return digest(self.identity)


@dataclass(frozen=True)
class EncoderSpec:
    """One encoder trained once; every run on its representation shares it.

    `task` is at the defaults of those options that do not change what encoders are trained on.
    """

    encoder: Choice
    task: Choice
    seed: int

    @property
    def identity(self) -> dict[str, Any]:
        """All that the encoder depends on, as JSON values."""
        return {
            "key_version": KEY_VERSION,
            "encoder": self.encoder.identity,
            "task": self.task.identity,
            "seed": self.seed,
        }

    @property
    def key(self) -> str:
        """The sha256 of the canonical JSON of the identity."""
        return digest(self.identity)


Setting = tuple[Choice, Choice, "Choice | None", "Fit | None"]
"""An estimator, a task, the encoder of its pair, and how the estimator's model is trained."""


def digest(identity: object) -> str:
    """Return the sha256 of the canonical JSON of a value."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def grid(
    settings: Iterable[Setting], protocol: Choice, ns: Sequence[int], seeds: Sequence[int]
) -> list[RunSpec]:
    """Return the runs of every setting, n and seed, each once, in the order in which they are given."""
    specs = (
        RunSpec(estimator, task, encoder, protocol, n, seed, fit)
        for (estimator, task, encoder, fit), n, seed in itertools.product(settings, ns, seeds)
    )
    return list(dict.fromkeys(specs))
