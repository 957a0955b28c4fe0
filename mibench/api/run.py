"""Running a grid: what is missing is run, every outcome becomes a record."""

from __future__ import annotations

import itertools
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Unpack

import pandas as pd

from mibench import __version__, encoders, estimators, models, tasks
from mibench.api.encode import encode, encoder_failures, missing_encoders
from mibench.api.plan import Plan, plan_grid
from mibench.engine import device as devices
from mibench.engine.backends import Backend, Local
from mibench.engine.backends import execute as execute_jobs
from mibench.engine.encoding import seconds_to_train
from mibench.engine.jobs import Outcome, PackJob
from mibench.engine.plan import objective_of, training_key
from mibench.engine.protocols import registry as protocols
from mibench.engine.sources import TaskPairs
from mibench.grid import GridArguments, OneOrMore, one_of, read, takes
from mibench.process import how_threads_wait
from mibench.registry import OWN, Choice
from mibench.spec import RunSpec
from mibench.store import segments as stores
from mibench.store.encoders import EncoderStore
from mibench.store.record import NO_ENCODER, Record, to_frame

RERUN = ("never", "failed", "all")

START_SECONDS = 6.0
"""What a command takes beside its packs: imports, tables and figures."""

PROCESS_BYTES = 500 * 2**20
"""Memory of a process that trains and draws, beside its packs."""

Append = Callable[[Record, stores.Curve | None], None]


@takes(GridArguments)
def run(
    estimator: OneOrMore[str] | None = None,
    task: OneOrMore[str] | None = None,
    *,
    out: Path | str | None = None,
    rerun: str = "never",
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
            "all" runs everything.

    Returns:
        A table with the columns of `mibench.store.record.Record`; `mibench.summarise` makes cells of it.

    Raises:
        UsageError: an argument that is not allowed, or a store that cannot be used.
    """
    grid = read("run", {"estimator": estimator, "task": task, **settings})
    return run_plan(plan_grid(grid), out, rerun)


def run_plan(planned: Plan, out: Path | str | None, rerun: str) -> pd.DataFrame:
    """Run what a store does not have of a plan; return the records of all its runs."""
    one_of(rerun, "rerun", RERUN)
    if out is None:
        return to_frame(execute(planned, planned.specs, {}))
    store = stores.Store(out)
    known = store.load()
    with store.writer() as writer:
        selected = select(planned, known, rerun)
        pairs = encode(selected, planned.device, EncoderStore(out))
        return to_frame(execute(planned, selected, known, writer.append, pairs=pairs))


def select(planned: Plan, known: Mapping[str, Record], rerun: str) -> list[RunSpec]:
    """Return the runs of a plan that are to be run, given the records that there are already."""
    status = {spec: known[spec.key].status if spec.key in known else None for spec in planned.specs}
    if rerun == "all":
        return list(planned.specs)
    if rerun == "failed":
        return [spec for spec in planned.specs if status[spec] not in (None, "ok")]
    return [spec for spec in planned.specs if status[spec] != "ok"]


def execute(
    planned: Plan,
    selected: Sequence[RunSpec],
    known: Mapping[str, Record],
    append: Append = lambda record, curve: None,
    report: Callable[[float], None] = lambda work: None,
    pairs: TaskPairs | None = None,
    backend: Backend | None = None,
) -> list[Record]:
    """Run the selected runs and return the records of all the plan's runs that there now are.

    `pairs` is where their pairs come from, with the encoders that they need; left out, these are trained
    first. Each new record is given to `append` as soon as its pack is finished, with its curve if it has one.
    `report` is called with the work done, as the packs' `work` counts it.
    """
    seen = encode(selected, planned.device) if pairs is None else pairs
    lost = encoder_failures(selected, seen)
    failed = [Outcome(spec, "failed", words, None, 0.0) for spec, words in lost.items()]
    packs = planned.packs([spec for spec in selected if spec not in lost], seen)
    jobs = [PackJob(pack.trainings, pack.source) for pack in packs]
    done = execute_jobs(jobs, backend or Local(planned.device), report)
    new = []
    for outcomes in itertools.chain([failed], done):
        for outcome in outcomes:
            new.append(_record(outcome, planned, seen))
            append(new[-1], _curve(outcome))
    return kept(planned, stores.merge([*known.values(), *new]))


def kept(planned: Plan, known: Mapping[str, Record]) -> list[Record]:
    """Return the records of a plan's runs, of those that are known."""
    return [known[spec.key] for spec in planned.specs if spec.key in known]


def cost(planned: Plan, selected: Sequence[RunSpec], encoder_store: EncoderStore) -> dict[str, float]:
    """Return what running the selected runs of a plan would take, measuring the device for a moment."""
    encoders = missing_encoders(selected, encoder_store)
    chosen = planned.packs(selected)
    rate = devices.flops_per_second(planned.device)
    largest = max((pack.bytes for pack in chosen), default=0)
    return {
        "runs": len(selected),
        "finished": len(planned.specs) - len(selected),
        "encoders": sum(map(len, encoders)),
        "trainings": sum(len(pack.trainings) for pack in chosen),
        "packs": len(chosen),
        "largest_pack": max((len(pack.trainings) for pack in chosen), default=0),
        "seconds": START_SECONDS
        + sum(seconds_to_train(pack, planned.device) for pack in encoders)
        + sum(pack.seconds(rate) for pack in chosen),
        "pack_mib": largest / 2**20,
        "memory_mib": (PROCESS_BYTES + largest) / 2**20,
    }


def environment() -> dict[str, Any]:
    """Return versions, devices, threads and plug-ins, as JSON values."""
    import torch

    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    registries = (estimators.registry, tasks.registry, encoders.registry, models.registry, protocols)
    return {
        "mibench": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "pandas", "scipy", "seaborn", "typer")},
        "devices": ["cpu", *cuda],
        "threads": torch.get_num_threads(),
        "waiting": how_threads_wait(),
        "plugins": [
            f"{registry.kind} {entry.name} ({entry.origin})"
            for registry in registries
            for entry in registry.entries.values()
            if entry.origin != OWN
        ],
        "broken": [
            f"{registry.kind} {name} ({registry.entries[name].origin}): {reason}"
            for registry in registries
            for name, reason in registry.broken.items()
        ],
    }


def _curve(outcome: Outcome) -> stores.Curve | None:
    if outcome.readout is None or outcome.readout.curve is None:
        return None
    return outcome.readout.curve.float().numpy()


def _record(outcome: Outcome, planned: Plan, pairs: TaskPairs) -> Record:
    spec, readout, fit = outcome.spec, outcome.readout, outcome.spec.fit
    task, objective = tasks.registry.make(spec.task), objective_of(spec)
    dims, representation = pairs.dims(spec), pairs.representation(spec)
    facts = {} if representation is None else representation.facts
    pair = task.pair() if representation is None else representation.pair
    low, high = (None, None) if pair is None else (pair.truth.low, pair.truth.high)
    estimator = estimators.registry.make(spec.estimator)
    ceiling = estimator.ceiling(spec.n)
    return Record(
        key=spec.key,
        training=None if objective is None else training_key(spec),
        objective=None if objective is None else objective.label,
        estimator=spec.estimator.label,
        bound=estimator.bound.side,
        oracle_is_best=estimator.oracle_is_best,
        task=spec.task.label,
        dim_x=dims.x,
        dim_y=dims.y,
        true_mi_nats=task.true_mi_nats,
        true_mi_low_nats=low,
        true_mi_high_nats=high,
        truth=None if pair is None else pair.truth.how,
        truth_confidence=None if pair is None else pair.truth.confidence,
        encoder=NO_ENCODER if spec.encoder is None else spec.encoder.label,
        n=spec.n,
        critic=None if fit is None else fit.model.label,
        protocol=spec.protocol.label,
        samples=protocols.make(spec.protocol).rows_held or None,
        steps=None if fit is None else fit.steps,
        lr=None if fit is None else fit.lr,
        schedule=None if fit is None else fit.schedule,
        precision=None if fit is None else fit.precision,
        seed=spec.seed,
        choices={kind: _chosen(choice) for kind, choice in spec.choices.items()},
        estimate_nats=readout.estimate if readout else None,
        estimate_se_nats=_known(readout.estimate_se) if readout else None,
        batch_std_nats=_known(readout.batch_std) if readout else None,
        batches=readout.batches if readout else None,
        oracle_nats=_known(readout.oracle) if readout else None,
        oracle_se_nats=_known(readout.oracle_se) if readout else None,
        critic_gap_se_nats=_known(readout.critic_gap_se) if readout else None,
        log_ratio_rmse_nats=_known(readout.log_ratio_rmse) if readout else None,
        log_partition_nats=_known(readout.log_partition) if readout else None,
        alignment=facts.get("alignment"),
        uniformity=facts.get("uniformity"),
        effective_rank=facts.get("effective_rank"),
        probe_accuracy=facts.get("probe_accuracy"),
        encoder_nats=facts.get("encoder_nats"),
        encoder_ceiling_nats=facts.get("encoder_ceiling_nats"),
        train_nats=readout.train if readout else None,
        validation_nats=readout.validation if readout else None,
        best_step=readout.best_step if readout else None,
        ceiling_nats=ceiling,
        saturated=ceiling is not None and low is not None and low > ceiling,
        status=outcome.status,
        message=outcome.message,
        wall_s=outcome.wall_s,
        training_s=outcome.training_s,
        device=str(planned.device),
        version=__version__,
        finished_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _chosen(choice: Choice | None) -> dict[str, Any] | None:
    """Return a choice as a record has it."""
    return None if choice is None else {"name": choice.name, "options": dict(choice.options)}


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
