"""The read-out: fresh data after training, enough of it, and the oracle on the same batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from mibench.engine import data
from mibench.engine.plan import Pack
from mibench.engine.train import Trained

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
    a single batch's value.
    """

    estimate: float
    estimate_se: float
    batch_std: float
    batches: int
    oracle: float
    oracle_se: float
    critic_gap_se: float
    message: str


@torch.no_grad()
def read_out(pack: Pack, trained: Trained) -> list[Readout]:
    """Return the read-out of every run of a trained pack.

    A pilot on data of its own says how many batches bring the standard error to 0.02 nats; it is not
    averaged in, so the number of batches does not depend on the values that are averaged. Only where the
    pilot misjudged a heavy tail is more read than it asked for.
    """
    pilot, constant = _pilot(pack, trained)
    counts = [_enough(pack, values) for values in pilot.unbind(1)]
    values = _values(pack, trained, max(counts))
    while True:
        more = [
            count if _standard_error(read) <= TARGET_SE_NATS else max(count, _enough(pack, read))
            for count, read in zip(counts, _heads(values, counts), strict=True)
        ]
        if more == counts:
            break
        counts, values = more, _values(pack, trained, max(more))
    oracles = _oracles(pack, counts, on_cuda=_device_of(trained).type == "cuda")
    return [
        _summarise(read, oracle, bool(flag))
        for read, oracle, flag in zip(_heads(values, counts), oracles, constant, strict=True)
    ]


def _heads(values: Tensor, counts: list[int]) -> list[Tensor]:
    """Return each run's own batches: the first of a column of values (batches, R)."""
    return [column[:count] for column, count in zip(values.unbind(1), counts, strict=True)]


def _standard_error(values: Tensor) -> float:
    return values.std().item() / math.sqrt(len(values))


def _enough(pack: Pack, values: Tensor) -> int:
    """Return how many batches a run needs, judged by the values of some."""
    most = max(PILOT_BATCHES, MOST_ROWS // pack.first.n)
    needed = MARGIN * (values.std().item() / TARGET_SE_NATS) ** 2
    if not math.isfinite(needed):
        return PILOT_BATCHES
    return min(max(PILOT_BATCHES, math.ceil(needed)), most)


def _pilot(pack: Pack, trained: Trained) -> tuple[Tensor, Tensor]:
    """Return the pilot's values (batches, R), and which runs' critics are constant (R)."""
    values, constant = [], []
    for scores in _scores(pack, trained, "pilot", PILOT_BATCHES):
        values.append(_estimate(pack, scores))
        constant.append(scores.amax((-2, -1)) == scores.amin((-2, -1)))
    return torch.stack(values).cpu(), torch.stack(constant).all(0).cpu()


def _values(pack: Pack, trained: Trained, count: int) -> Tensor:
    """Return the estimator's value on each of `count` batches, (count, R) in float64."""
    scores = _scores(pack, trained, "readout", count)
    return torch.stack([_estimate(pack, matrices) for matrices in scores]).cpu()


def _estimate(pack: Pack, scores: Tensor) -> Tensor:
    """Return the read-out of each run's matrix, a few runs at a time: it is in float64 and makes copies."""
    parts = torch.split(scores, pack.runs_read_at_once)
    return torch.cat([pack.estimator.estimate(part) for part in parts])


def _scores(pack: Pack, trained: Trained, purpose: str, count: int) -> Iterator[Tensor]:
    """Yield the critics' scores on each of `count` batches, (R, n, n)."""
    device = _device_of(trained)
    feeds = [_batches(pack, run, purpose, count) for run in range(len(pack.specs))]
    for x, y in data.stacked(feeds, device, pack.dtype):
        for batch_x, batch_y in zip(x.unbind(1), y.unbind(1), strict=True):
            raw = pack.critic.scores(trained.critic, batch_x, batch_y)
            yield pack.estimator.corrected(raw, trained.learned)


def _oracles(pack: Pack, counts: list[int], on_cuda: bool) -> list[Tensor]:
    """Return every run's oracle, on the CPU: by several threads where a pack can have a thousand runs."""
    with ThreadPoolExecutor() as pool:
        apply = pool.map if on_cuda else map
        return list(apply(lambda run: _oracle(pack, run, counts[run]), range(len(counts))))


def _device_of(trained: Trained) -> torch.device:
    """Return where a trained pack's tensors are."""
    return next(iter(trained.critic.values())).device


def _oracle(pack: Pack, run: int, count: int) -> Tensor:
    """Return the value of the optimal critic on a run's first `count` read-out batches, (count)."""
    ratios = (pack.tasks[run].log_density_ratio(x, y) for x, y in _batches(pack, run, "readout", count))
    estimator = pack.estimator
    return torch.cat([estimator.estimate(estimator.optimal_critic(ratio)) for ratio in ratios])


def _batches(pack: Pack, run: int, purpose: str, count: int) -> Iterator[data.Batches]:
    """Yield a run's batches in float64: the oracle needs it, and the critic casts them."""
    # Drawn in whole pieces, so that a run's batches are the same however many its pack mates need.
    size = pack.batches_at_once
    whole = math.ceil(count / size) * size
    spec, task = pack.specs[run], pack.tasks[run]
    left = count
    for x, y in data.batches(task, spec, purpose, whole, size, torch.float64):
        yield x[:left], y[:left]
        left -= len(x)


def _summarise(values: Tensor, oracle: Tensor, constant: bool) -> Readout:
    return Readout(
        estimate=values.mean().item(),
        estimate_se=_standard_error(values),
        batch_std=values.std().item(),
        batches=len(values),
        oracle=oracle.mean().item(),
        oracle_se=_standard_error(oracle),
        critic_gap_se=_standard_error(values - oracle),
        message=_failure(values, oracle, constant),
    )


def _failure(values: Tensor, oracle: Tensor, constant: bool) -> str:
    """Return why a read-out does not count, or nothing."""
    if not oracle.isfinite().all():
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
