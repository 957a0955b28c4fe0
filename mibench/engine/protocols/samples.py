"""A finite data set: train on one part, stop early by another, estimate from the third."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import torch
from torch import Tensor

from mibench.batch import Batch, Tensors
from mibench.engine.data import Batches, Chunk
from mibench.engine.fit import Fitted, fit
from mibench.engine.loop import Report
from mibench.engine.plan import Pack
from mibench.engine.protocols.base import Protocol
from mibench.engine.read import Reader, Readout, constant, exact_readings, outputs_of, readings, summarise
from mibench.errors import UsageError
from mibench.registry import option
from mibench.seeding import stream
from mibench.spec import RunSpec
from mibench.tasks.pair import Pair
from mibench.validation import check_sizes

Parts = list[Chunk]
"""The train, validation and test rows of every run: x (R, rows, dim_x) and y (R, rows, dim_y), in float64."""


@dataclass(frozen=True)
class Samples(Protocol):
    """A finite data set, split into train, validation and test; early stopping; the estimate from test alone.

    `size` pairs are drawn once per seed. The model trains on batches of n without replacement, epoch by
    epoch. After the first step and every `every` steps the objective is taken on the validation part; the
    model with the best value is kept, and training ends after `patience` values without a better one, or
    after the steps of the run. The estimate is made on the batches of n that the test part has; the same on
    train and validation is stored beside it, so that the optimism of fitting and of selecting can be seen.
    Where no critic is better on validation than a constant one, the run reads 0 and its best step is 0.

    An estimator that trains nothing reads all rows at once: its n is the size of the data set.
    """

    size: int = option(10_000, "pairs in the data set; --samples sets it")
    train: float = option(0.6, "share of the pairs that train the model")
    validation: float = option(0.2, "share of the pairs that decide when to stop; the rest is the test part")
    every: int = option(25, "steps between two values on the validation part")
    patience: int = option(10, "values on the validation part without a better one before training ends")

    name = "samples"
    reference: ClassVar[str] = "this package"
    sized: ClassVar[bool] = True
    methods: ClassVar[str] = """
The pairs of a data set were split into {{ "{:.0%}".format(train) }} for training,
{{ "{:.0%}".format(validation) }} for early stopping and
{{ "{:.0%}".format(1 - train - validation) }} for the estimate; the model with the best objective on the
second part{{ " (step %s)" | format(best_steps | spread) if best_steps }} was read on the third, which was
unseen.
{% if constant %}
In {{ counted(constant, "run") }} no critic was better there than a constant one, which reads 0.
{% endif %}
"""

    def __post_init__(self) -> None:
        check_sizes(self.name, size=self.size, every=self.every, patience=self.patience)
        if min(self.train, self.validation) <= 0 or self.train + self.validation >= 1:
            raise UsageError(
                f"train={self.train:g} and validation={self.validation:g} leave a part empty.",
                "Both must be above 0, and their sum below 1: the rest is the test part.",
            )

    @property
    def steps(self) -> int:
        """At most 2000."""
        return 2000

    @property
    def parts(self) -> tuple[int, int, int]:
        """Pairs in the train, validation and test part."""
        train, both = round(self.train * self.size), round((self.train + self.validation) * self.size)
        return train, both - train, self.size - both

    @property
    def rows_held(self) -> int:
        """All of them."""
        return self.size

    def n_untrained(self, n: int) -> int:
        """Return the size of the data set."""
        return self.size

    def untrained(self) -> Samples:
        """Return the protocol at the default split and stopping."""
        return Samples(size=self.size)

    def check(self, n: int, steps: int) -> None:
        """Raise a UsageError where a part has fewer than two batches of n."""
        names = ("train", "validation", "test")
        rows, part = min(zip(self.parts, names, strict=True))
        if rows < 2 * n:
            raise UsageError(
                f"{self.size} samples have {rows} rows in the {part} part: "
                f"fewer than two batches of n = {n}.",
                f"Give n of at most {rows // 2}, or more samples." if rows >= 4 else "Give more samples.",
            )

    def follow(
        self, pack: Pack, device: torch.device, report: Report
    ) -> tuple[Fitted, dict[RunSpec, Readout]]:
        """Train a pack on its samples, and return the estimate of each run from its test part."""
        return self._read_all(pack, device) if pack.objective is None else self._train(pack, device, report)

    def _read_all(self, pack: Pack, device: torch.device) -> tuple[Fitted, dict[RunSpec, Readout]]:
        """Return the estimates of all rows, which need no training."""
        fitted = fit(pack, device)
        runs = [_drawn(pair, self.size, spec) for pair, spec in zip(pack.pairs, pack.leaders, strict=True)]
        x, y = (torch.stack(side).to(device, pack.dtype) for side in zip(*runs, strict=True))
        values = readings(pack, fitted, Batches(pack, "samples", device).of(x[:, None], y[:, None]))
        return fitted, {
            spec: summarise(
                pack.estimators[spec.estimator], spec.n, values[spec.estimator, place], None, collapsed=False
            )
            for place, specs in enumerate(pack.trainings)
            for spec in specs
        }

    def _train(
        self, pack: Pack, device: torch.device, report: Report
    ) -> tuple[Fitted, dict[RunSpec, Readout]]:
        parts = self._parts(pack)
        training, validation, test = ((x.to(device, pack.dtype), y.to(device, pack.dtype)) for x, y in parts)
        stop = _EarlyStop(pack, self, _batches(pack, "validation", validation, device))
        fitted = fit(pack, device, report, _epochs(pack, *training), stop.watch)
        diverged_at = _diverged_before(fitted, stop.settled_at.tolist())
        best = Fitted(stop.parameters, diverged_at, fitted.seconds)
        batches = [
            _batches(pack, purpose, part, device)
            for purpose, part in (("train", training), ("validation", validation), ("test", test))
        ]
        read = [readings(pack, best, part) for part in batches]
        exact = _exact(pack, parts[2])
        collapsed = _collapsed(pack, best, chain(*reversed(batches)))
        readouts = {}
        for place, specs in enumerate(pack.trainings):
            step = int(stop.best_step[place])
            for spec in specs:
                reader = (spec.estimator, place)
                fitting, selecting, unseen = (_settled(values[reader], step) for values in read)
                readouts[spec] = summarise(
                    pack.estimators[spec.estimator],
                    spec.n,
                    unseen,
                    exact.get(reader),
                    collapsed[place] and step > 0,
                    train=fitting.mean().item(),
                    validation=selecting.mean().item(),
                    best_step=step,
                )
        return best, readouts

    def _parts(self, pack: Pack) -> Parts:
        """Return every run's samples in three parts; which row is in which depends on task and seed alone."""
        runs = [self._run_parts(pair, spec) for pair, spec in zip(pack.pairs, pack.leaders, strict=True)]
        return [
            (torch.stack([x for x, _ in part]), torch.stack([y for _, y in part]))
            for part in zip(*runs, strict=True)
        ]

    def _run_parts(self, pair: Pair, leader: RunSpec) -> Parts:
        """Return one run's samples in three parts; the test part is of the pair itself."""

        def parted(source: Pair) -> Parts:
            x, y = (torch.split(side, list(self.parts)) for side in _drawn(source, self.size, leader))
            return list(zip(x, y, strict=True))

        parts = parted(pair.for_training)
        return parts if pair.training is None else [*parts[:2], parted(pair)[2]]


def _drawn(pair: Pair, size: int, spec: RunSpec) -> Chunk:
    return pair.draw(size, stream("samples", spec.task.identity, spec.seed), torch.float64)


def _settled(values: Tensor, step: int) -> Tensor:
    """Return a run's values; 0, that of a constant critic, where none was better than it (step 0)."""
    return values if step else torch.zeros_like(values)


def _epochs(pack: Pack, x: Tensor, y: Tensor) -> Iterator[Chunk]:
    """Yield an epoch's batches at a time, each run's rows in its own order, none twice in an epoch."""
    orders = [stream("shuffle", leader.task.identity, leader.seed) for leader in pack.leaders]
    runs = torch.arange(len(orders), device=x.device)[:, None]
    rows, n, left = x.shape[1], pack.first.n, pack.steps
    while left > 0:
        count = min(rows // n, left)
        order = torch.stack([torch.randperm(rows, generator=generator) for generator in orders])
        chosen = order[:, : count * n].to(x.device)
        yield (
            x[runs, chosen].view(len(orders), count, n, -1),
            y[runs, chosen].view(len(orders), count, n, -1),
        )
        left -= count


class _EarlyStop:
    """Keeps each run's best parameters by the criterion on validation data; ends when none gets better.

    A run is settled when its own patience is at its end, however long the others in the pack go on. The first
    to beat, as step 0, is a model that sees no dependence at all and reads 0.
    """

    def __init__(self, pack: Pack, protocol: Samples, validation: list[Batch]) -> None:
        assert pack.objective is not None
        self.pack, self.protocol, self.validation = pack, protocol, validation
        self.objective = pack.objective
        runs, device = len(pack.trainings), validation[0].x.device
        nothing = self.objective.criterion_of_independence(pack.first.n)
        self.best = torch.full((runs,), nothing, dtype=torch.float64, device=device)
        self.best_step = torch.zeros(runs, dtype=torch.int64, device=device)
        self.waited = torch.zeros(runs, dtype=torch.int64, device=device)
        self.settled_at = torch.zeros(runs, dtype=torch.int64, device=device)
        self.parameters: Tensors = {}

    @torch.no_grad()
    def watch(self, step: int, batch: Batch, outputs: Tensors, parameters: Tensors) -> bool:
        """Look at the validation part now and then; return whether every run is settled."""
        if step % self.protocol.every and step not in (1, self.pack.steps):
            return False
        values = []
        for unseen in self.validation:
            found = outputs_of(self.pack, parameters, unseen)
            values.append(self.objective.criterion({key: value.double() for key, value in found.items()}))
        value = torch.stack(values).mean(0)
        open_ = self.settled_at == 0
        better = open_ & (value > self.best)
        self.parameters = _kept(self.parameters, parameters, better)
        self.best = torch.where(better, value, self.best)
        self.best_step = torch.where(better, step, self.best_step)
        self.waited = torch.where(better, 0, self.waited + 1)
        self.settled_at = torch.where(open_ & (self.waited >= self.protocol.patience), step, self.settled_at)
        return bool((self.settled_at > 0).all())


def _kept(old: Tensors, new: Tensors, better: Tensor) -> Tensors:
    """Return each run's new tensors where it is better, its old ones elsewhere."""
    return {
        key: torch.where(better.view(-1, *[1] * (value.ndim - 1)), value, old.get(key, value)).detach()
        for key, value in new.items()
    }


def _diverged_before(fitted: Fitted, settled_at: list[int]) -> list[int | None]:
    """Return where runs diverged before they were settled (0: never); what comes later does not matter."""
    return [
        None if step is None or 0 < settled < step else step
        for step, settled in zip(fitted.diverged_at, settled_at, strict=True)
    ]


def _batches(pack: Pack, purpose: str, part: Chunk, device: torch.device) -> list[Batch]:
    """Return the batches of n of a part; a ragged last one is left out."""
    x, y = (_by_batch(side, pack.first.n) for side in part)
    return list(Batches(pack, f"samples {purpose}", device).of(x, y))


def _by_batch(rows: Tensor, n: int) -> Tensor:
    """Return rows as batches, (R, rows, dim) -> (R, batches, n, dim)."""
    count = rows.shape[1] // n
    return rows[:, : count * n].view(len(rows), count, n, -1)


@torch.no_grad()
def _collapsed(pack: Pack, fitted: Fitted, batches: Iterable[Batch]) -> list[bool]:
    """Return which models are constant."""
    objective = pack.objective
    assert objective is not None
    return constant(objective.only_score(outputs_of(pack, fitted.parameters, batch)) for batch in batches)


def _exact(pack: Pack, part: Chunk) -> dict[Reader, Tensor]:
    """Return each reader's exact values, where they are known."""
    x, y = (_by_batch(side, pack.first.n) for side in part)
    found: dict[Reader, Tensor] = {}
    for place in range(len(pack.trainings)):
        found |= exact_readings(pack, place, [(x[place], y[place])])
    return found
