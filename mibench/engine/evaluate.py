"""The read-out: fresh data after training, enough of it, and the oracle on the same batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mibench.engine import data
from mibench.engine.plan import Pack
from mibench.engine.train import Trained, scores_of
from mibench.estimators.base import Estimator, log_mean_exp_negatives, positives
from mibench.registry import Choice
from mibench.spec import RunSpec

TARGET_SE_NATS = 0.02
PILOT_BATCHES = 48
MARGIN = 1.5
"""A pilot of 48 batches misjudges the variance by a fifth; so many times more batches are read."""

MOST_ROWS = 2**16
"""The read-out stops at so many pairs a run, whatever the estimator's variance."""

WORSE_THAN_NOTHING_NATS = -10.0
WORSE_SHARE = 0.1
"""A critic that ignores its input reads about 0. More than a tenth of the batches below -10 is a failure:
even NWJ's heavy tail, where E_Q[exp(f - 1)] = 1, has a batch mean above 11 with probability below 1/11."""

ABSURD_NATS = -1000.0
"""A mean below this is a failure, however few batches make it so."""


@dataclass(frozen=True)
class Readout:
    """What one run read on fresh data, in nats; `message` says why it does not count, or is empty.

    `estimate_se` and `oracle_se` are standard errors over the `batches`, and `critic_gap_se` that of the
    difference batch by batch, which the shared data make smaller. `batch_std` is the standard deviation of
    a single batch's value. Where the truth is unknown the oracle is NaN.

    A run on samples has also its read-out on the parts that it was fitted and selected on, and after how many
    steps the best critic stood; a run on the staircase has its level's part of the curve.
    """

    estimate: float
    estimate_se: float
    batch_std: float
    batches: int
    oracle: float
    oracle_se: float
    critic_gap_se: float
    message: str
    log_ratio_rmse: float | None = None
    log_partition: float | None = None
    train: float | None = None
    validation: float | None = None
    best_step: int | None = None
    curve: Tensor | None = field(default=None, repr=False, compare=False)


Seat = tuple[Choice, int]
"""An estimator and the place on the run axis of the critic that it reads."""


class Readers:
    """The estimators that read a pack out, each the critics of its own runs."""

    def __init__(self, pack: Pack) -> None:
        self._at_once = pack.runs_read_at_once
        self.seats: dict[Choice, list[int]] = {choice: [] for choice in pack.readers}
        for place, training in enumerate(pack.trainings):
            for choice in dict.fromkeys(spec.estimator for spec in training):
                self.seats[choice].append(place)
        self._pack = pack

    def read(self, choice: Choice, scores: Tensor) -> Tensor:
        """Return an estimator's read-out of its runs' matrices, (R, n, n) -> (its runs), in float64."""
        return self.apply(choice, scores, lambda estimator, part: estimator.estimate(part))

    def apply(self, choice: Choice, scores: Tensor, read: Callable[[Estimator, Tensor], Tensor]) -> Tensor:
        """Return what is read of the matrices of an estimator's runs, a few at a time: it makes copies."""
        places = self.seats[choice]
        chosen = scores if len(places) == len(scores) else scores[places]
        estimator = self._pack.readers[choice]
        return torch.cat([read(estimator, part) for part in torch.split(chosen, self._at_once)])

    def by_seat(self, values: Mapping[Choice, Tensor]) -> dict[Seat, Tensor]:
        """Return what was read, (batches, runs, ...) for each estimator, as one tensor a seat, on the CPU."""
        return {
            (choice, place): column
            for choice, read in values.items()
            for place, column in zip(self.seats[choice], read.cpu().unbind(1), strict=True)
        }


@torch.no_grad()
def read_out(pack: Pack, trained: Trained) -> dict[RunSpec, Readout]:
    """Return the read-out of every run of a trained pack, on fresh data.

    A pilot on data of its own says how many batches bring the standard error to 0.02 nats; it is not
    averaged in, so the number of batches does not depend on the values that are averaged. Only where the
    pilot misjudged a heavy tail is more read than it asked for.
    """
    readers = Readers(pack)
    seats = [(choice, place) for choice, places in readers.seats.items() for place in places]
    pilot = _Reading(pack, trained, readers, "pilot").first(dict.fromkeys(seats, PILOT_BATCHES))
    counts = {seat: _enough(pack, values) for seat, values in pilot.items()}
    reading = _Reading(pack, trained, readers, "readout")
    values = reading.first(counts)
    while True:
        more = {
            seat: count if _precise(values[seat]) else max(count, _enough(pack, values[seat]))
            for seat, count in counts.items()
        }
        if more == counts:
            break
        counts, values = more, reading.first(more)
    accuracies = _accuracies(pack, trained, readers)
    oracles = _oracles(pack, counts, on_cuda=_device_of(trained).type == "cuda")
    constant = _constant(pack, trained)
    return {
        spec: summarise(
            values[spec.estimator, place],
            oracles.get((spec.estimator, place)),
            constant[place],
            **accuracies.get((spec.estimator, place), {}),
        )
        for place, training in enumerate(pack.trainings)
        for spec in training
    }


def standard_error(values: Tensor) -> float:
    """Return the standard error of the mean of independent values."""
    return values.std().item() / math.sqrt(len(values))


def _precise(values: Tensor) -> bool:
    return standard_error(values) <= TARGET_SE_NATS


def _enough(pack: Pack, values: Tensor) -> int:
    """Return how many batches a run needs, judged by the values of some."""
    needed = MARGIN * (values.std().item() / TARGET_SE_NATS) ** 2
    if not math.isfinite(needed):
        return PILOT_BATCHES
    return min(max(PILOT_BATCHES, math.ceil(needed)), _most(pack))


class _Reading:
    """What the readers of a pack have read so far of one stream of batches; it can be asked for more."""

    def __init__(self, pack: Pack, trained: Trained, readers: Readers, purpose: str) -> None:
        self._readers = readers
        self._scores = _scores(pack, trained, purpose, _most(pack))
        self._values: dict[Choice, list[Tensor]] = {choice: [] for choice in readers.seats}
        self._done = 0

    def first(self, counts: Mapping[Seat, int]) -> dict[Seat, Tensor]:
        """Return each seat's values on its first batches, so many as its count, in float64 on the CPU."""
        # Every reader reads every batch, so that none has to begin again where another needed more.
        while self._done < max(counts.values()):
            scores = next(self._scores)
            for choice, read in self._values.items():
                read.append(self._readers.read(choice, scores))
            self._done += 1
        whole = {choice: torch.stack(read) for choice, read in self._values.items()}
        return {seat: column[: counts[seat]] for seat, column in self._readers.by_seat(whole).items()}


def _most(pack: Pack) -> int:
    """Return at how many batches a read-out stops."""
    return max(PILOT_BATCHES, MOST_ROWS // pack.first.n)


def _constant(pack: Pack, trained: Trained) -> list[bool]:
    """Return which critics give one score to every pair."""
    flat = [scores.amax((-2, -1)) == scores.amin((-2, -1)) for scores in _scores(pack, trained, "pilot", 2)]
    return torch.stack(flat).all(0).tolist()


def _accuracies(pack: Pack, trained: Trained, readers: Readers) -> dict[Seat, dict[str, float]]:
    """Return how near each seat's critic is to the log density ratio, where that is known and it has one.

    `log_ratio_rmse` is its root mean square error on joint samples, and `log_partition` the log of the mean
    of the learned ratio over the noise: 0 where it is normalised.
    """
    places = [place for place, task in enumerate(pack.tasks) if task.knows_ratio]
    if not places:
        return {}
    learned: dict[Choice, list[Tensor]] = {
        choice: [] for choice in readers.seats if pack.readers[choice].has_one_optimum
    }
    if not learned:
        return {}
    for scores in _scores(pack, trained, "pilot", PILOT_BATCHES):
        for choice, parts in learned.items():
            parts.append(readers.apply(choice, scores, _ratio_and_normaliser))
    by_seat = readers.by_seat({choice: torch.stack(parts) for choice, parts in learned.items()})
    exact = {place: _exact_positives(pack, place) for place in places}
    return {
        (choice, place): {
            "log_ratio_rmse": (values[:, :-1] - exact[place]).square().mean().sqrt().item(),
            "log_partition": values[:, -1].logsumexp(0).item() - math.log(PILOT_BATCHES),
        }
        for (choice, place), values in by_seat.items()
        if place in exact
    }


def _ratio_and_normaliser(estimator: Estimator, scores: Tensor) -> Tensor:
    """Return the learned log ratio of joint samples, and the log of its mean over the noise: (..., n + 1)."""
    ratio = estimator.log_ratio(scores)
    return torch.cat([positives(ratio), log_mean_exp_negatives(ratio)[..., None]], -1)


def _exact_positives(pack: Pack, place: int) -> Tensor:
    """Return the exact log density ratio of the pilot's joint samples, (batches, n)."""
    batches = _batches(pack, place, "pilot", PILOT_BATCHES)
    return torch.cat([positives(pack.tasks[place].log_density_ratio(x, y)) for x, y in batches])


def _scores(pack: Pack, trained: Trained, purpose: str, count: int) -> Iterator[Tensor]:
    """Yield the critics' scores on each of `count` batches, (R, n, n)."""
    device = _device_of(trained)
    feeds = [_batches(pack, place, purpose, count) for place in range(len(pack.trainings))]
    for x, y in data.stacked(feeds, device, pack.dtype):
        for batch_x, batch_y in zip(x.unbind(1), y.unbind(1), strict=True):
            yield scores_of(pack, trained.critic, trained.learned, batch_x, batch_y)


def _device_of(trained: Trained) -> torch.device:
    """Return where a trained pack's tensors are."""
    return next(iter(trained.critic.values())).device


def _oracles(pack: Pack, counts: Mapping[Seat, int], on_cuda: bool) -> dict[Seat, Tensor]:
    """Return every seat's oracle, on the CPU: by several threads where a pack can have a thousand runs."""
    with ThreadPoolExecutor() as pool:
        apply = pool.map if on_cuda else map
        parts = apply(lambda place: _oracle(pack, place, counts), range(len(pack.trainings)))
        return {seat: values for part in parts for seat, values in part.items()}


def _oracle(pack: Pack, place: int, counts: Mapping[Seat, int]) -> dict[Seat, Tensor]:
    """Return the values of the optimal critic on the read-out batches of each seat of a place."""
    left = {seat: count for seat, count in counts.items() if seat[1] == place}
    if not pack.tasks[place].knows_ratio:
        return {}
    values: dict[Seat, list[Tensor]] = {seat: [] for seat in left}
    for x, y in _batches(pack, place, "readout", max(left.values())):
        ratios = pack.tasks[place].log_density_ratio(x, y)
        for seat, count in left.items():
            if count > 0:
                values[seat].append(read_exactly(pack.readers[seat[0]], ratios[:count]))
            left[seat] = count - len(x)
    return {seat: torch.cat(parts) for seat, parts in values.items()}


def read_exactly(estimator: Estimator, ratios: Tensor) -> Tensor:
    """Return an estimator's values at the optimal critic, log density ratios (batches, n, n) -> (batches)."""
    return estimator.estimate(estimator.optimal_critic(ratios))


def _batches(pack: Pack, place: int, purpose: str, count: int) -> Iterator[data.Batches]:
    """Yield a training's batches in float64: the oracle needs it, and the critic casts them."""
    # Drawn in whole pieces, so that a run's batches are the same however many its pack mates need.
    size = pack.batches_at_once
    whole = math.ceil(count / size) * size
    spec, task = pack.leaders[place], pack.tasks[place]
    left = count
    for x, y in data.batches(task, spec, purpose, whole, size, torch.float64):
        yield x[:left], y[:left]
        left -= len(x)


def summarise(values: Tensor, oracle: Tensor | None, constant: bool, **more: Any) -> Readout:  # noqa: ANN401
    """Return the read-out of a run's values on batches, and of the oracle's on the same; `more` is kept.

    Where the exact critic reads infinity, as Donsker and Varadhan's does if no noise could be data, there is
    no oracle.
    """
    if oracle is not None and oracle.isposinf().any():
        oracle = None
    return Readout(
        estimate=values.mean().item(),
        estimate_se=standard_error(values),
        batch_std=values.std().item(),
        batches=len(values),
        oracle=math.nan if oracle is None else oracle.mean().item(),
        oracle_se=math.nan if oracle is None else standard_error(oracle),
        critic_gap_se=math.nan if oracle is None else standard_error(values - oracle),
        message=failure(values, oracle, constant),
        **more,
    )


def failure(values: Tensor, oracle: Tensor | None, constant: bool) -> str:
    """Return why a read-out does not count, or nothing."""
    if oracle is not None and not oracle.isfinite().all():
        return "the exact critic's read-out is not finite in float64"
    if not values.isfinite().all():
        return "the read-out is not finite"
    if constant:
        return "the critic collapsed: the same score for every pair"
    worse = (values < WORSE_THAN_NOTHING_NATS).double().mean().item()
    if worse > WORSE_SHARE:
        return f"the read-out is below {WORSE_THAN_NOTHING_NATS:g} nats in {worse:.0%} of the batches"
    if values.mean() < ABSURD_NATS:
        return f"the read-out's mean is {values.mean().item():.3g} nats"
    return ""
