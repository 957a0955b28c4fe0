"""Running packs: every run comes back with an outcome, whatever happens to its pack."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from mibench.engine.device import set_precision
from mibench.engine.evaluate import Readout, read_out
from mibench.engine.plan import Pack
from mibench.engine.train import Trained, train
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

    A pack for which memory does not suffice, or in which something raises, is halved, down to the single run
    that is to blame; that one is `failed`, the others go on. `report` is told of the work done (`Pack.work`).
    """
    waiting = deque(packs)
    while waiting:
        pack = waiting.popleft()
        started = time.perf_counter()
        try:
            outcomes = _run(pack, device, report, started)
        except Exception as error:
            if len(pack.specs) > 1:
                waiting.extendleft(reversed(pack.halves()))
                continue
            words = f"{type(error).__name__}: {error}".strip().replace("\n", " ")
            wall_s = time.perf_counter() - started
            outcomes = [Outcome(pack.first, "failed", words, None, wall_s)]
        yield outcomes


def _run(pack: Pack, device: torch.device, report: Report, started: float) -> list[Outcome]:
    set_precision(pack.first.precision)
    runs = len(pack.specs)
    work_a_step = pack.work / pack.first.steps
    trained = train(pack, device, lambda steps: report(steps * work_a_step))
    readouts = read_out(pack, trained)
    wall_s = (time.perf_counter() - started) / runs
    return [_judge(pack, trained, readout, run, wall_s) for run, readout in enumerate(readouts)]


def _judge(pack: Pack, trained: Trained, readout: Readout, run: int, wall_s: float) -> Outcome:
    spec, step = pack.specs[run], trained.diverged_at[run]
    message = readout.message
    if step is not None and not _samples_are_finite(pack, run):
        message = f"the task's samples are beyond {spec.precision} at this true MI"
    elif step is not None:
        message = f"the objective is not finite at step {step} of {spec.steps} (learning rate {spec.lr:g})"
    if message:
        return Outcome(spec, "diverged", message, None, wall_s)
    return Outcome(spec, "ok", "", readout, wall_s)


def _samples_are_finite(pack: Pack, run: int) -> bool:
    x, y = pack.tasks[run].sample(1, torch.Generator(), pack.dtype)
    return bool(x.isfinite().all() and y.isfinite().all())
