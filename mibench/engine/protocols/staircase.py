"""The published protocol: one training while the true MI is stepped up, read on its training batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor

from mibench.batch import Batch, Tensors
from mibench.engine.data import Chunk, training_chunks
from mibench.engine.fit import Fitted, fit
from mibench.engine.loop import Report
from mibench.engine.plan import Pack, at_level
from mibench.engine.protocols.base import Protocol
from mibench.engine.read import (
    Reader,
    Readers,
    Readout,
    exact_readings,
    failure,
    mean_and_error,
    standard_error,
)
from mibench.errors import UsageError
from mibench.estimators.base import Estimator
from mibench.options import option, real_number
from mibench.registry import Choice
from mibench.spec import RunSpec
from mibench.validation import check_sizes

STEPS_A_LEVEL = 4000
"""Steps of each stair in the published experiments."""

BLOCKS = 20
"""The standard error at a level is that of the means of this many blocks: near steps share their model."""


@dataclass(frozen=True)
class Staircase(Protocol):
    """The papers' protocol: the true MI is stepped up while one model goes on training.

    Each level has an equal share of the steps. A step's value is the estimator's value on its training batch,
    before the step. The estimate at a level is the mean, over the level's last `tail` share, of the whole
    curve smoothed by an exponentially weighted average of span `span` (Song & Ermon 2020, arXiv 1910.06222).
    Every estimate is of training batches, each of which was unseen before its step.
    """

    levels: str = option("2/4/6/8/10", "true MI of each stair in nats; --mi sets it")
    span: int = option(200, "span of the exponentially weighted average; 1 smooths nothing")
    tail: float = option(0.5, "share of a level that counts, from its end")

    name = "staircase"
    reference: ClassVar[str] = "Poole et al. 2019, arXiv 1905.06922; Song, Ermon 2020, arXiv 1910.06222"
    only_trained: ClassVar[bool] = True
    climbs: ClassVar[bool] = True
    methods: ClassVar[str] = """
On the staircase{{ cite(reference) }} the true MI climbs while one model goes on training, each level for an
equal share of the steps; the estimate at a level is the mean over its last {{ "{:.0%}".format(tail) }} of the
estimator's values on the training batches, taken before each step and smoothed by an exponentially weighted
average of span {{ span | setting }}. The oracle there is the plain mean over the same batches.
"""

    def __post_init__(self) -> None:
        levels = [real_number(level, "a level of 'staircase'") for level in self.levels.split("/")]
        object.__setattr__(self, "levels", "/".join(repr(level).removesuffix(".0") for level in levels))
        if levels != sorted(set(levels)):
            raise UsageError(
                f"The levels of 'staircase' do not climb: {self.levels}.",
                "Give each level once, from the lowest to the highest, as in 2/4/6.",
            )
        check_sizes(self.name, span=self.span)
        if not 0 < self.tail <= 1:
            raise UsageError(
                f"tail of 'staircase' must be above 0 and at most 1, not {self.tail!r}.",
                "0.5 reads the second half of each level.",
            )

    @property
    def stairs(self) -> tuple[float, ...]:
        """The levels as numbers."""
        return tuple(map(float, self.levels.split("/")))

    @property
    def steps(self) -> int:
        """4000 per level."""
        return STEPS_A_LEVEL * len(self.stairs)

    def check(self, n: int, steps: int) -> None:
        """Raise a UsageError where the steps do not divide into levels of which a tail can be read."""
        count = len(self.stairs)
        how = f"Give --steps as a multiple of {count}, such as {count * STEPS_A_LEVEL}."
        if steps % count:
            raise UsageError(f"{steps} steps do not divide into {count} levels.", how)
        if self.tail * (steps // count) < 2:
            raise UsageError(f"The last {self.tail:.0%} of a level has fewer than 2 steps.", how)

    def follow(
        self, pack: Pack, device: torch.device, report: Report
    ) -> tuple[Fitted, dict[RunSpec, Readout]]:
        """Train a pack up all the stairs, and return the estimate of each run at its level."""
        steps = pack.steps // len(self.stairs)
        curves = _Curves(pack, device)
        chunks = chain.from_iterable(training_chunks(pack.at(level), device, steps) for level in self.stairs)
        fitted = fit(pack, device, report, chunks, curves.watch)
        whole = curves.by_reader()
        readouts = {}
        for number, level in enumerate(self.stairs):
            own = slice(number * steps, (number + 1) * steps)
            for place, training in enumerate(pack.trainings):
                specs = [spec for spec in training if spec.task == at_level(spec.task, level)]
                exact = self._exact(pack, specs, steps)
                for spec in specs:
                    curve = whole[spec.estimator, place]
                    estimator = pack.estimators[spec.estimator]
                    readouts[spec] = self._readout(estimator, spec.n, curve, own, exact.get(spec.estimator))
        return fitted, readouts

    def _exact(self, pack: Pack, specs: list[RunSpec], steps: int) -> dict[Choice, Tensor]:
        """Return the exact values of a run's estimators on a level's training batches, those of its tail."""
        if not specs:
            return {}
        alone = Pack((tuple(specs),), pack.source)
        chunks = _last(training_chunks(alone, torch.device("cpu"), steps), steps - self._tail_steps(steps))
        return {choice: values for (choice, _), values in exact_readings(alone, 0, chunks).items()}

    def _tail_steps(self, steps: int) -> int:
        return max(2, round(self.tail * steps))

    def _readout(
        self, estimator: Estimator, n: int, curve: Tensor, level: slice, exact: Tensor | None
    ) -> Readout:
        """Return the readout of one level of a curve, given the exact values on the batches of its tail."""
        tail = self._tail_steps(level.stop - level.start)
        # Smoothed as a whole: a level begins where the one before it ended, as in the papers' figures.
        smoothed = torch.from_numpy(pd.Series(curve.numpy()).ewm(span=self.span).mean().to_numpy(copy=True))
        values, raw = smoothed[level][-tail:], curve[level][-tail:]
        # The raw values are checked: smoothing carries the last finite one over all that are not.
        finite = bool(curve[level].isfinite().all())
        oracle, oracle_se = mean_and_error(exact)
        message = failure(estimator, n, values, exact) if finite else "a training batch's value is not finite"
        return Readout(
            estimate=values.mean().item(),
            estimate_se=_blocked_error(raw),
            batch_std=raw.std().item(),
            batches=len(raw),
            oracle=oracle,
            oracle_se=oracle_se,
            critic_gap_se=math.nan if exact is None else _blocked_error(raw - exact),
            message=message,
            exact=oracle,
            exact_se=oracle_se,
            curve=curve[level],
        )


class _Curves:
    """The values of every reader, step by step; steps after all runs have diverged stay NaN."""

    def __init__(self, pack: Pack, device: torch.device) -> None:
        self._readers = Readers(pack)
        self._values = {
            choice: torch.full((pack.steps, len(places)), math.nan, dtype=torch.float64, device=device)
            for choice, places in self._readers.places.items()
        }

    def watch(self, step: int, batch: Batch, outputs: Tensors, parameters: Tensors) -> bool:
        """Read the outputs before a step; never end the training."""
        for choice, values in self._readers.read(outputs, batch).items():
            self._values[choice][step - 1] = values
        return False

    def by_reader(self) -> dict[Reader, Tensor]:
        """Return the curve of every reader."""
        return self._readers.by_reader(self._values)


def _blocked_error(values: Tensor) -> float:
    blocks = min(BLOCKS, len(values))
    means = [block.mean() for block in values[len(values) % blocks :].chunk(blocks)]
    return standard_error(torch.stack(means))


def _last(chunks: Iterator[Chunk], skipped: int) -> Iterator[Chunk]:
    """Yield the batches of a single run, (batches, n, dim), but for the first ones."""
    for x, y in chunks:
        drop = min(skipped, x.shape[1])
        skipped -= drop
        if drop < x.shape[1]:
            yield x[0, drop:], y[0, drop:]
