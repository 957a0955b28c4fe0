"""Reading estimates from trained models: on unseen data, beside the exact values on the same batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from mibench.batch import Batch, Tensors
from mibench.engine.data import Batches, Chunk, evaluation_chunks, known, stacked
from mibench.engine.fit import Fitted
from mibench.engine.plan import Pack
from mibench.estimators.base import Estimator
from mibench.limits import ABSURD_NATS, LARGEST, WORSE_SHARE, WORSE_THAN_NOTHING_NATS, too_high
from mibench.registry import Choice
from mibench.scores import log_mean_exp_negatives, positives
from mibench.spec import RunSpec
from mibench.tasks.pair import Pair, Pairwise
from mibench.tiles import Tiles

TARGET_SE_NATS = 0.02
MARGIN = 1.5
"""A pilot of 48 batches misjudges the variance by a fifth, one of 8 by half; this many times more batches are
read than it asks for. Where there are few, the standard error that ends the reading is a little too small."""


@dataclass(frozen=True)
class Readout:
    """What one run read on unseen data, in nats; `message` says why it does not count, or is empty.

    `estimate_se` and `oracle_se` are standard errors over the `batches`, and `critic_gap_se` that of the
    difference batch by batch, which the shared data make smaller; of a single batch they are NaN. `exact` is
    the oracle's value over as many batches as its own variance asks for.
    `batch_std` is the standard deviation of a single batch's value. Where the exact value is unknown the
    oracle is NaN.

    A run on samples has also its estimate on the parts that it was fitted and selected on, and after how many
    steps the best model stood; a run on the staircase has its level's part of the curve.
    """

    estimate: float
    estimate_se: float
    batch_std: float
    batches: int
    oracle: float
    oracle_se: float
    critic_gap_se: float
    message: str
    exact: float = math.nan
    exact_se: float = math.nan
    log_ratio_rmse: float | None = None
    log_partition: float | None = None
    train: float | None = None
    validation: float | None = None
    best_step: int | None = None
    curve: Tensor | None = field(default=None, repr=False, compare=False)


Reader = tuple[Choice, int]
"""An estimator, and the place on the run axis that it reads."""


class Readers:
    """The estimators that read a pack, each the models of its own runs.

    Attributes:
        places: for each estimator, the places on the run axis that it reads.
    """

    def __init__(self, pack: Pack) -> None:
        self._estimators, self._at_once = pack.estimators, pack.runs_read_at_once
        self._runs = len(pack.trainings)
        self.places: dict[Choice, list[int]] = {choice: [] for choice in pack.estimators}
        for place, training in enumerate(pack.trainings):
            for choice in dict.fromkeys(spec.estimator for spec in training):
                self.places[choice].append(place)

    @property
    def all(self) -> list[Reader]:
        """Every estimator at each of its places."""
        return [(choice, place) for choice, places in self.places.items() for place in places]

    def read(self, outputs: Tensors, batch: Batch) -> dict[Choice, Tensor]:
        """Return what each estimator reads of its runs, (its runs,) in float64."""
        return {choice: self._read(choice, outputs, batch) for choice in self.places}

    def _read(self, choice: Choice, outputs: Tensors, batch: Batch) -> Tensor:
        """Read an estimator's runs a few at a time: it makes copies, but of tiles."""
        places = self.places[choice]
        if any(isinstance(value, Tiles) for value in outputs.values()):
            return self._estimators[choice].read(outputs, batch)[places]
        if len(places) < self._runs:
            outputs = {key: value[places] for key, value in outputs.items()}
            batch = batch.map(lambda tensor: tensor[places])
        parts = [
            self._estimators[choice].read(
                {key: value[start:end] for key, value in outputs.items()},
                batch.map(lambda tensor: tensor[start:end]),  # noqa: B023 - called at once
            )
            for start, end in _slices(len(places), self._at_once)
        ]
        return torch.cat(parts)

    def by_reader(self, values: Mapping[Choice, Tensor]) -> dict[Reader, Tensor]:
        """Return what was read, (batches, runs) for each estimator, as one tensor per reader on the CPU."""
        return {
            (choice, place): column
            for choice, read in values.items()
            for place, column in zip(self.places[choice], read.cpu().unbind(1), strict=True)
        }


def _slices(count: int, at_once: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, at_once):
        yield start, min(start + at_once, count)


@torch.no_grad()
def outputs_of(pack: Pack, parameters: Tensors, batch: Batch) -> Tensors:
    """Return what estimators read of the models of all runs; nothing where nothing is trained."""
    return {} if pack.objective is None else pack.objective.outputs(pack.applied_model, parameters, batch)


@torch.no_grad()
def readings(pack: Pack, fitted: Fitted, batches: Iterable[Batch]) -> dict[Reader, Tensor]:
    """Return the values of every reader on batches, one per batch, in float64 on the CPU."""
    readers = Readers(pack)
    values = [readers.read(outputs_of(pack, fitted.parameters, batch), batch) for batch in batches]
    return readers.by_reader({choice: torch.stack([v[choice] for v in values]) for choice in readers.places})


@torch.no_grad()
def exact_readings(
    pack: Pack, place: int, chunks: Iterable[Chunk], counts: Mapping[Choice, int] | None = None
) -> dict[Reader, Tensor]:
    """Return the values of the estimators of a run for a perfect model, where that is known.

    `chunks` are batches of the run, x (batches, n, dim_x) and y; the first `counts` are read.
    """
    everything = {spec.estimator: math.inf for spec in pack.trainings[place]}
    left: dict[Choice, float] = everything if counts is None else dict(counts)
    values: dict[Choice, list[Tensor]] = {choice: [] for choice in left}
    pair = _remembering(pack.reading_pair(place))
    for x, y in chunks:
        batch = Batch(x, y, known=known([pair], x.device))
        for choice, count in left.items():
            first = int(min(count, len(x)))
            if first > 0:
                values[choice] += [read[:first] for read in _exact(pack.estimators[choice], pair, batch)]
            left[choice] = count - len(x)
    return {(choice, place): torch.cat(parts) for choice, parts in values.items() if parts}


def _exact(estimator: Estimator, pair: Pair, batch: Batch) -> list[Tensor]:
    """Return the exact values of several batches, or nothing where they are not known."""
    outputs = estimator.exact(pair, batch)
    return [] if outputs is None else [estimator.read(outputs, batch)]


def _remembering(pair: Pair) -> Pair:
    """Return a pair that keeps its last log density ratio: several estimators ask for the same."""
    if pair.log_ratio is None:
        return pair
    log_ratio: Pairwise = pair.log_ratio
    last: tuple[Tensor, Tensor, Tensor] | None = None

    def remembered(x: Tensor, y: Tensor) -> Tensor:
        nonlocal last
        if last is None or last[0] is not x or last[1] is not y:
            last = x, y, log_ratio(x, y)
        return last[2]

    return replace(pair, log_ratio=remembered)


@torch.no_grad()
def read_out(pack: Pack, fitted: Fitted, device: torch.device) -> dict[RunSpec, Readout]:
    """Return the estimate of every run of a trained pack, on fresh data.

    A pilot on data of its own says how many batches bring the standard error to 0.02 nats; it is not
    averaged in, so the number of batches does not depend on the values that are averaged. Only where the
    pilot misjudged a heavy tail is more read than it asked for.
    """
    pilot = _pilot(pack, fitted, device)
    counts = {reader: _enough(pack, values) for reader, values in pilot.values.items()}
    reading = _Reading(pack, fitted, device)
    values = reading.first(counts)
    while True:
        more = {
            reader: count if _precise(values[reader]) else max(count, _enough(pack, values[reader]))
            for reader, count in counts.items()
        }
        if more == counts:
            break
        counts, values = more, reading.first(more)
    exact = _exact_values(pack, counts, on_cuda=device.type == "cuda")
    precise = _precise_exact_values(pack, exact, on_cuda=device.type == "cuda")
    return {
        spec: summarise(
            pack.estimators[spec.estimator],
            pack.first.n,
            values[spec.estimator, place],
            exact.get((spec.estimator, place)),
            pilot.collapsed[place],
            precise.get((spec.estimator, place)),
            **pilot.accuracies.get(place, {}),
        )
        for place, training in enumerate(pack.trainings)
        for spec in training
    }


def standard_error(values: Tensor) -> float:
    """Return the standard error of the mean of independent values, NaN of a single one."""
    return deviation(values) / math.sqrt(len(values))


def mean_and_error(values: Tensor | None) -> tuple[float, float]:
    """Return the mean of independent values and its standard error, NaN where there are none."""
    return (math.nan, math.nan) if values is None else (values.mean().item(), standard_error(values))


def deviation(values: Tensor) -> float:
    """Return the standard deviation of values, NaN of a single one."""
    return values.std().item() if len(values) > 1 else math.nan


def _precise(values: Tensor) -> bool:
    return standard_error(values) <= TARGET_SE_NATS


def _enough(pack: Pack, values: Tensor) -> int:
    """Return how many batches a run needs, given the values of a few."""
    needed = MARGIN * (values.std().item() / TARGET_SE_NATS) ** 2
    if not math.isfinite(needed):
        return pack.pilot_batches
    return min(max(pack.pilot_batches, math.ceil(needed)), pack.most_batches)


def _batches(pack: Pack, purpose: str, count: int, device: torch.device) -> Iterator[Batch]:
    """Yield the evaluation batches of all runs."""
    feeds = [evaluation_chunks(pack, place, purpose, count) for place in range(len(pack.trainings))]
    batches = Batches(pack, purpose, device)
    for x, y in stacked(feeds, device, pack.dtype):
        yield from batches.of(x, y)


class _Reading:
    """What has been read so far of a pack's evaluation batches; it can be asked for more."""

    def __init__(self, pack: Pack, fitted: Fitted, device: torch.device) -> None:
        self._pack, self._fitted, self._readers = pack, fitted, Readers(pack)
        self._batches = _batches(pack, "readout", pack.most_batches, device)
        self._values: list[dict[Choice, Tensor]] = []

    def first(self, counts: Mapping[Reader, int]) -> dict[Reader, Tensor]:
        """Return each reader's values on its first batches, in float64 on the CPU."""
        # Every reader reads every batch, so that none has to begin again where another needed more.
        while len(self._values) < max(counts.values()):
            batch = next(self._batches)
            outputs = outputs_of(self._pack, self._fitted.parameters, batch)
            self._values.append(self._readers.read(outputs, batch))
        whole = {
            choice: torch.stack([values[choice] for values in self._values])
            for choice in self._readers.places
        }
        return {reader: column[: counts[reader]] for reader, column in self._readers.by_reader(whole).items()}


@dataclass(frozen=True)
class _Pilot:
    """What a few batches tell of every run: values, whether its model is constant, how accurate it is."""

    values: dict[Reader, Tensor]
    collapsed: list[bool]
    accuracies: dict[int, dict[str, float]]


def _pilot(pack: Pack, fitted: Fitted, device: torch.device) -> _Pilot:
    readers = Readers(pack)
    values: list[dict[Choice, Tensor]] = []
    only: list[Tensor] = []
    ratios: list[Tensor] = []
    for batch in _batches(pack, "pilot", pack.pilot_batches, device):
        outputs = outputs_of(pack, fitted.parameters, batch)
        values.append(readers.read(outputs, batch))
        if pack.objective is None:
            continue
        only.append(pack.objective.only_score(outputs))
        ratio = pack.objective.log_ratio(outputs)
        if ratio is not None:
            ratios.append(torch.cat([positives(ratio), log_mean_exp_negatives(ratio)[..., None]], -1).cpu())
    by_reader = readers.by_reader({c: torch.stack([v[c] for v in values]) for c in readers.places})
    collapsed = constant(only) if only else [False] * len(pack.trainings)
    return _Pilot(by_reader, collapsed, _accuracies(pack, torch.stack(ratios)) if ratios else {})


def constant(only: Iterable[Tensor]) -> list[bool]:
    """Return which models give one score to all pairs, given the only score on each batch, NaN for several.

    Batches of data with few values can hold equal rows alone, so all are asked for while any run needs it.
    """
    batches = iter(only)
    first = next(batches)
    same = ~first.isnan()
    while same.any() and (score := next(batches, None)) is not None:
        same &= score == first
    return [bool(flag) for flag in same]


def _accuracies(pack: Pack, learned: Tensor) -> dict[int, dict[str, float]]:
    """Return how near each model is to the log density ratio, where that is known: (batches, R, n + 1).

    `log_ratio_rmse` is its root mean square error on joint samples, and `log_partition` the log of the mean
    of the learned ratio over the noise: 0 where it is normalised.
    """
    return {
        place: {
            "log_ratio_rmse": (values[:, :-1] - _exact_positives(pack, place)).square().mean().sqrt().item(),
            "log_partition": values[:, -1].logsumexp(0).item() - math.log(len(values)),
        }
        for place, values in enumerate(learned.unbind(1))
        if pack.pairs[place].log_ratio is not None
    }


def _exact_positives(pack: Pack, place: int) -> Tensor:
    """Return the exact log density ratio of the pilot's joint samples, (batches, n)."""
    log_ratio = pack.reading_pair(place).log_ratio
    assert log_ratio is not None
    chunks = evaluation_chunks(pack, place, "pilot", pack.pilot_batches)
    return torch.cat([positives(log_ratio(x, y)) for x, y in chunks])


def _exact_values(pack: Pack, counts: Mapping[Reader, int], on_cuda: bool) -> dict[Reader, Tensor]:
    """Return every reader's exact values, on the CPU: by several threads where a pack can have many runs."""

    def of_run(place: int) -> dict[Reader, Tensor]:
        own = {choice: count for (choice, there), count in counts.items() if there == place}
        if not own:
            return {}
        chunks = evaluation_chunks(pack, place, "readout", max(own.values()))
        return exact_readings(pack, place, chunks, own)

    with ThreadPoolExecutor() as pool:
        apply = pool.map if on_cuda else map
        return {reader: v for part in apply(of_run, range(len(pack.trainings))) for reader, v in part.items()}


def _precise_exact_values(pack: Pack, exact: Mapping[Reader, Tensor], on_cuda: bool) -> dict[Reader, Tensor]:
    """Return exact values on more batches, of readers for which those that the model was read on are too few.

    Where the expectation is known, none are needed.
    """
    more = {
        (choice, place): _enough(pack, values)
        for (choice, place), values in exact.items()
        if not pack.estimators[choice].unbiased_at_exact_ratio
        and values.isfinite().all()
        and not _precise(values)
        and _enough(pack, values) > len(values)
    }
    return _exact_values(pack, more, on_cuda) if more else {}


def summarise(
    estimator: Estimator,
    n: int,
    values: Tensor,
    exact: Tensor | None,
    collapsed: bool,
    precise: Tensor | None = None,
    **more: Any,  # noqa: ANN401
) -> Readout:
    """Return the readout of a run's values on batches, and of the exact ones on the same; `more` is kept.

    `precise` are the exact values on more batches, those of `exact` among them, where these are too few.
    Where the exact value is infinite, as Donsker and Varadhan's is if no noise could be data, there is no
    oracle.
    """
    if exact is not None and exact.isposinf().any():
        exact = precise = None
    oracle, oracle_se = mean_and_error(exact)
    judged, judged_se = mean_and_error(exact if precise is None else precise)
    return Readout(
        estimate=values.mean().item(),
        estimate_se=standard_error(values),
        batch_std=deviation(values),
        batches=len(values),
        oracle=oracle,
        oracle_se=oracle_se,
        critic_gap_se=math.nan if exact is None else standard_error(values - exact),
        message=failure(estimator, n, values, exact, collapsed),
        exact=judged,
        exact_se=judged_se,
        **more,
    )


def failure(
    estimator: Estimator, n: int, values: Tensor, exact: Tensor | None, collapsed: bool = False
) -> str:
    """Return why an estimate from batches of n does not count, or nothing."""
    if exact is not None and not exact.isfinite().all():
        return "the value at the exact density ratio is not finite in float64"
    if not values.isfinite().all():
        return "the estimate is not finite"
    if collapsed:
        return "the critic collapsed: the same score for every pair"
    worse = (values < WORSE_THAN_NOTHING_NATS).double().mean().item()
    if worse > WORSE_SHARE:
        return f"the estimate is below {WORSE_THAN_NOTHING_NATS:g} nats in {worse:.0%} of the batches"
    mean = values.mean().item()
    if not ABSURD_NATS <= mean <= LARGEST:
        return f"the estimate's mean is {mean:.3g} nats"
    if estimator.objective is None or estimator.bound.side == "upper":
        return ""
    return too_high(mean, None if exact is None else exact.mean().item(), n)
