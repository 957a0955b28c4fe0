"""Running packs: every run comes back with an outcome, whatever happens to its pack."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from mibench.engine.device import matmul_precision
from mibench.engine.evaluate import Readout, read_out
from mibench.engine.plan import Pack
from mibench.engine.samples import fit
from mibench.engine.staircase import climb
from mibench.engine.train import Report as Steps
from mibench.engine.train import Trained, train
from mibench.protocols import Samples, Staircase, Stream
from mibench.spec import RunSpec

Report = Callable[[float], None]
Status = Literal["ok", "diverged", "failed"]


@dataclass(frozen=True)
class Outcome:
    """How one run ended: `ok` with a read-out, `diverged`, or `failed` with the error's words.

    `wall_s` is the run's share of the time that its pack took.
    """

    spec: RunSpec
    status: Status
    message: str
    readout: Readout | None
    wall_s: float


def execute(
    packs: Sequence[Pack], device: torch.device, report: Report = lambda work: None
) -> Iterator[list[Outcome]]:
    """Train and read out packs, and yield the outcomes of each as soon as it is finished.

    A pack for which memory does not suffice, or in which something raises, is halved, down to the single
    training and estimator that are to blame; their runs are `failed`, the others go on. `report` is told of
    the work done (`Pack.work`).
    """
    waiting = deque(packs)
    while waiting:
        pack = waiting.popleft()
        started = time.perf_counter()
        try:
            with matmul_precision(pack.first.precision):
                outcomes = _run(pack, device, report, started)
        except Exception as error:
            parts = pack.halves() if len(pack.trainings) > 1 else pack.by_estimator()
            if len(parts) > 1:
                waiting.extendleft(reversed(parts))
                continue
            words = f"{type(error).__name__}: {error}".strip().replace("\n", " ")
            wall_s = (time.perf_counter() - started) / len(pack.specs)
            outcomes = [Outcome(spec, "failed", words, None, wall_s) for spec in pack.specs]
        yield outcomes


def _run(pack: Pack, device: torch.device, report: Report, started: float) -> list[Outcome]:
    work_a_step = pack.work / pack.first.steps
    follow = _PROTOCOLS[pack.first.protocol.name]
    trained, readouts = follow(pack, device, lambda steps: report(steps * work_a_step))
    wall_s = (time.perf_counter() - started) / len(pack.specs)
    return [
        _judge(pack, trained.diverged_at[place], spec, readouts[spec], wall_s)
        for place, training in enumerate(pack.trainings)
        for spec in training
    ]


def _stream(pack: Pack, device: torch.device, report: Steps) -> tuple[Trained, dict[RunSpec, Readout]]:
    trained = train(pack, device, report)
    return trained, read_out(pack, trained)


_PROTOCOLS = {Stream.name: _stream, Staircase.name: climb, Samples.name: fit}


def _judge(pack: Pack, step: int | None, spec: RunSpec, readout: Readout, wall_s: float) -> Outcome:
    message = readout.message
    # On the staircase, levels below the one where the objective broke are sound.
    broken = step is not None and (message or spec.protocol.name != Staircase.name)
    if broken and not _samples_are_finite(pack, spec):
        message = f"the task's samples are beyond {spec.precision} at this true MI"
    elif broken:
        message = f"the objective is not finite at step {step} of {spec.steps} (learning rate {spec.lr:g})"
    if message:
        return Outcome(spec, "diverged", message, None, wall_s)
    return Outcome(spec, "ok", "", readout, wall_s)


def _samples_are_finite(pack: Pack, spec: RunSpec) -> bool:
    x, y = pack.task_of(spec).sample(1, torch.Generator(), pack.dtype)
    return bool(x.isfinite().all() and y.isfinite().all())
