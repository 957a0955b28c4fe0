"""The staircase: one critic goes on training while the true MI climbs, read out on its training batches."""

from __future__ import annotations

import math
from itertools import chain

import pandas as pd
import torch
from torch import Tensor

from mibench.engine.evaluate import Readers, Readout, failure, read_exactly, standard_error
from mibench.engine.plan import Pack
from mibench.engine.train import Critics, Report, Trained, fresh_data, train
from mibench.protocols import Staircase
from mibench.spec import RunSpec

BLOCKS = 20
"""The standard error at a level is that of the means of so many blocks: near steps share their critic."""


def climb(pack: Pack, device: torch.device, report: Report) -> tuple[Trained, dict[RunSpec, Readout]]:
    """Train a pack up all the stairs, and return the read-out of each run at its level."""
    protocol = pack.protocol
    assert isinstance(protocol, Staircase)
    stairs = {level: pack.at(level) for level in protocol.stairs}
    steps = pack.first.steps // len(stairs)
    readers = Readers(pack)
    # What is never reached, since every run of the pack has diverged, stays NaN.
    values = {
        choice: torch.full((pack.first.steps, len(places)), math.nan, dtype=torch.float64, device=device)
        for choice, places in readers.seats.items()
    }

    def watch(step: int, scores: Tensor, critics: Critics) -> bool:
        for choice, read in values.items():
            read[step - 1] = readers.read(choice, scores)
        return False

    feed = chain.from_iterable(fresh_data(stair, device, steps) for stair in stairs.values())
    trained = train(pack, device, report, feed, watch)
    curves = readers.by_seat(values)
    readouts = {}
    for place, training in enumerate(pack.trainings):
        for level, (truth, stair) in enumerate(stairs.items()):
            specs = [spec for spec in training if dict(spec.task.options)["mi"] == truth]
            ratios = _ratios(stair, place, steps, protocol) if specs else []
            for spec in specs:
                oracle = torch.cat([read_exactly(pack.readers[spec.estimator], part) for part in ratios])
                curve = curves[spec.estimator, place]
                readouts[spec] = _read(curve, oracle, slice(level * steps, (level + 1) * steps), protocol)
    return trained, readouts


def _read(curve: Tensor, oracle: Tensor, level: slice, protocol: Staircase) -> Readout:
    """Return the read-out of one level of a curve, given the oracle on the batches of its tail."""
    # Smoothed as a whole, so that a level begins where the one before it ended, as in the papers' figures.
    smoothed = torch.from_numpy(pd.Series(curve.numpy()).ewm(span=protocol.span).mean().to_numpy(copy=True))
    values, raw = smoothed[level][-len(oracle) :], curve[level][-len(oracle) :]
    # The raw values are judged: smoothing carries the last finite one over all that are not.
    finite = bool(curve[level].isfinite().all())
    message = failure(values, oracle, constant=False) if finite else "a training batch's value is not finite"
    return Readout(
        estimate=values.mean().item(),
        estimate_se=_blocked_error(raw),
        batch_std=raw.std().item(),
        batches=len(raw),
        oracle=oracle.mean().item(),
        oracle_se=standard_error(oracle),
        critic_gap_se=_blocked_error(raw - oracle),
        message=message,
        curve=curve[level],
    )


def _blocked_error(values: Tensor) -> float:
    blocks = min(BLOCKS, len(values))
    means = [block.mean() for block in values[len(values) % blocks :].chunk(blocks)]
    return standard_error(torch.stack(means))


def _ratios(stair: Pack, place: int, steps: int, protocol: Staircase) -> list[Tensor]:
    """Return the exact log density ratios on a level's training batches, those of its tail."""
    skipped = steps - max(2, round(protocol.tail * steps))
    alone = Pack((stair.trainings[place],), stair.task_of)
    parts = []
    for x, y in fresh_data(alone, torch.device("cpu"), steps):
        drop = min(skipped, x.shape[1])
        skipped -= drop
        if drop < x.shape[1]:
            parts.append(alone.tasks[0].log_density_ratio(x[0, drop:], y[0, drop:]))
    return parts
