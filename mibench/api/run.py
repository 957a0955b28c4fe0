"""Running a grid: what is missing is run, every outcome becomes a record."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Unpack

import pandas as pd

from mibench import __version__
from mibench.api import shards
from mibench.api.encode import encode, encoder_failures
from mibench.api.fingerprint import sources_digest
from mibench.api.observer import SILENT, Observer
from mibench.api.plan import Plan, plan_grid
from mibench.api.recording import record_of
from mibench.api.renewal import load
from mibench.engine.backends import base as backends
from mibench.engine.jobs import Outcome, PackJob
from mibench.grid import GridArguments, OneOrMore, one_of, read, takes
from mibench.reports.words import counted
from mibench.spec import RunSpec
from mibench.store.encoders import EncoderStore
from mibench.store.presence import Presence, Progress
from mibench.store.record import Record, is_superseded, to_frame
from mibench.store.segments import Curve, Store, merge

RERUN: dict[str, Callable[[str | None], bool]] = {
    "never": lambda status: status != "ok",
    "failed": lambda status: status not in (None, "ok"),
    "all": lambda status: True,
}
"""Whether a run is run, by the status of the record that there is already, None for none."""

Append = Callable[[Record, Curve | None], None]


@takes(GridArguments)
def run(
    estimator: OneOrMore[str] | None = None,
    task: OneOrMore[str] | None = None,
    *,
    out: Path | str | None = None,
    rerun: str = "never",
    shard: str | None = None,
    **settings: Unpack[GridArguments],
) -> pd.DataFrame:
    """Run a grid of estimators on tasks and return one row per run, finished or failed.

    Every argument that takes a value takes a list as well; the grid is every combination.

    >>> import mibench
    >>> frame = mibench.run("nce[k=1|7]", dim=2, mi=1, n=8, seeds=2, steps=5)
    >>> frame[["estimator", "seed", "status"]]
      estimator  seed status
    0  nce[k=1]     0     ok
    1  nce[k=1]     1     ok
    2  nce[k=7]     0     ok
    3  nce[k=7]     1     ok

    Args:
        {settings}
        out: folder of a results store; what is finished there is not run again. None keeps nothing.
        rerun: which of the runs that the store has already are run again: "never" repeats none that
            finished (those that failed are tried again), "failed" runs only those that failed before,
            "all" runs everything. What was judged by an earlier rule counts as failed.
        shard: run a part of the grid alone: "3/16" is the third of sixteen parts, for the jobs of an array.

    Returns:
        A table with the columns of `mibench.store.record.Record`; `mibench.summarise` makes cells of it.

    Raises:
        UsageError: an argument that is not allowed, or a store that cannot be used.
    """
    grid = read("run", {"estimator": estimator, "task": task, **settings})
    return to_frame(run_plan(shards.part_of(plan_grid(grid), shard), out, rerun))


def run_plan(planned: Plan, out: Path | str | None, rerun: str, observer: Observer = SILENT) -> list[Record]:
    """Run what a store does not have of a plan; return the records of all its runs."""
    one_of(rerun, "rerun", RERUN)
    if out is None:
        return execute(planned.of(planned.specs), observer=observer)
    known, changed = load(planned, out)
    running = planned.of(select(planned, known, rerun))
    new: list[Record] = []
    if running.specs or changed:
        slots, count = running.backend.slots, len(running.specs)
        progress = Progress(__version__, sources_digest(), planned.part, slots, count)
        with Presence(out, progress) as presence, Store(out).writer() as writer:
            for record in changed:
                writer.append(record)
            _say_what_runs(running, known, len(changed), presence.others, observer)
            if running.specs:
                append, followed = _counted(writer.append, progress), _followed(observer, progress)
                new = execute(running, append, EncoderStore(out), followed)
    if not running.specs:
        observer.say(_nothing_left(planned, known, out, rerun))
    return _kept(planned, merge([*known.values(), *new]))


def _nothing_left(planned: Plan, known: Mapping[str, Record], out: Path | str, rerun: str) -> str:
    if rerun == "failed":
        return "No run of this grid failed before, so nothing is run."
    count, finished = len(planned.specs), len(_kept(planned, known))
    return f"{finished} of {counted(count, 'run is', 'runs are')} finished in {out}, none is left to run."


def _say_what_runs(
    running: Plan, known: Mapping[str, Record], changed: int, others: int, observer: Observer
) -> None:
    if changed:
        observer.say(f"{counted(changed, 'run is', 'runs are')} judged anew: the truth is exact now.")
    superseded = sum(spec.key in known and is_superseded(known[spec.key]) for spec in running.specs)
    if superseded:
        observer.say(f"{counted(superseded, 'run was', 'runs were')} judged by an earlier rule: run again.")
    if others and not running.part:
        many = counted(others, "other process writes", "other processes write")
        observer.say(f"{many} to this folder: runs that both have to do are done twice.")
    if running.specs:
        observer.say(running.device_message)


def _counted(append: Append, progress: Progress) -> Append:
    """Return a function that appends a record and counts it."""

    def counted_too(record: Record, curve: Curve | None) -> None:
        append(record, curve)
        if record.status == "ok":
            progress.finished += 1
        else:
            progress.failed += 1

    return counted_too


def _followed(observer: Observer, progress: Progress) -> Observer:
    """Return an observer that also keeps an account of the progress, which other processes can read."""

    @contextmanager
    def followed(title: str, total: float) -> Iterator[Callable[[float], None]]:
        progress.title, progress.total, progress.done, progress.stage_started = title, total, 0.0, time.time()
        with observer.progress(title, total) as report:

            def both(work: float) -> None:
                progress.done += work
                report(work)

            yield both

    return Observer(observer.say, followed)


def select(planned: Plan, known: Mapping[str, Record], rerun: str) -> list[RunSpec]:
    """Return the runs of a plan that are to be run, given the records that there are already.

    A record that was judged by an earlier rule counts as that of a failed run.
    """
    status = {key: "superseded" if is_superseded(record) else record.status for key, record in known.items()}
    return [spec for spec in planned.specs if RERUN[rerun](status.get(spec.key))]


def execute(
    planned: Plan,
    append: Append = lambda record, curve: None,
    encoder_store: EncoderStore | None = None,
    observer: Observer = SILENT,
) -> list[Record]:
    """Train the encoders that the runs of a plan need, then the runs; return their records in its order.

    Each record is given to `append` as soon as its pack is finished, with its curve if it has one.
    """
    pairs = encode(planned.specs, planned, encoder_store, observer)
    lost = encoder_failures(planned.specs, pairs)
    failed = [Outcome(spec, "failed", words, None, 0.0) for spec, words in lost.items()]
    jobs = planned.jobs([spec for spec in planned.specs if spec not in lost], pairs)
    records = []
    for outcome in itertools.chain(failed, train(planned, jobs, observer)):
        records.append(record_of(outcome, planned, pairs))
        append(records[-1], _curve(outcome))
    by_key = {record.key: record for record in records}
    return [by_key[spec.key] for spec in planned.specs]


def train(planned: Plan, jobs: Sequence[PackJob], observer: Observer) -> Iterator[Outcome]:
    """Do jobs of a plan by its backend; yield how their runs ended as soon as a job is finished."""
    trained = sum(len(job.trainings) for job in jobs if job.trainings[0][0].fit is not None)
    title = f"Training {trained} models" if trained else "Estimating, without training"
    with observer.progress(title, sum(job.work for job in jobs)) as report:
        for outcomes in backends.execute(jobs, planned.backend, planned.device, report):
            yield from outcomes


def _kept(planned: Plan, known: Mapping[str, Record]) -> list[Record]:
    """Return the records of a plan's runs, of those that are known."""
    return [known[spec.key] for spec in planned.specs if spec.key in known]


def _curve(outcome: Outcome) -> Curve | None:
    if outcome.readout is None or outcome.readout.curve is None:
        return None
    return outcome.readout.curve.float().numpy()
