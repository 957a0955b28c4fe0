"""What identifies a run: its specification, and the key under which its record is stored."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mibench.registry import Choice

KEY_VERSION = 2
"""Raised whenever the identity of a run changes its form; keys of other versions never meet."""

Schedule = Literal["one-cycle", "constant"]
Precision = Literal["float32", "float64", "tf32"]

DEFAULT_LEARNING_RATE: dict[str, float] = {"one-cycle": 2e-3, "constant": 5e-4}
"""The peak of the one-cycle schedule, and the constant rate of the published experiments."""

SCHEDULES: tuple[str, ...] = get_args(Schedule)
PRECISIONS: tuple[str, ...] = get_args(Precision)


NO_ENCODER = "none"
"""The encoder of a run whose critic sees the task's own pair; it is no part of the identity."""


@dataclass(frozen=True)
class RunSpec:
    """One critic trained once.

    Every field changes the result and so is part of the identity. What should not change it (device, pack
    size, output folder) is no field.
    """

    estimator: Choice
    task: Choice
    encoder: Choice
    critic: Choice
    protocol: Choice
    n: int
    steps: int
    lr: float
    schedule: str
    precision: str
    seed: int

    @property
    def identity(self) -> dict[str, Any]:
        """All that the result depends on, defaults resolved, as JSON values."""
        encoder = {} if self.encoder.name == NO_ENCODER else {"encoder": self.encoder.identity}
        return {
            **encoder,
            "key_version": KEY_VERSION,
            "estimator": self.estimator.identity,
            "task": self.task.identity,
            "critic": self.critic.identity,
            "protocol": self.protocol.identity,
            "n": self.n,
            "steps": self.steps,
            "lr": self.lr,
            "schedule": self.schedule,
            "precision": self.precision,
            "seed": self.seed,
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


Source = tuple[Choice, Choice, Choice]
"""A task, the encoder of its pair, and the critic that sees what comes out."""


def digest(identity: object) -> str:
    """Return the sha256 of the canonical JSON of a value."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def grid(
    *,
    estimators: Sequence[Choice],
    sources: Sequence[Source],
    protocols: Sequence[Choice],
    ns: Sequence[int],
    seeds: Sequence[int],
    steps: int,
    lr: float | None,
    schedule: str,
    precision: str,
) -> list[RunSpec]:
    """Return the runs of every combination, each once, in the order in which they are given.

    A source is a task, an encoder and a critic that go together.
    """
    rate = DEFAULT_LEARNING_RATE[schedule] if lr is None else lr
    combinations = itertools.product(estimators, sources, protocols, ns, seeds)
    specs = (
        RunSpec(estimator, *source, protocol, n, steps, rate, schedule, precision, seed)
        for estimator, source, protocol, n, seed in combinations
    )
    return list(dict.fromkeys(specs))
