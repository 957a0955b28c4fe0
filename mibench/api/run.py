"""Running a grid: what is missing is run, every outcome becomes a record."""

from __future__ import annotations

import itertools
import math
import platform
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from mibench import __version__, encoders, estimators, protocols, tasks
from mibench.api.plan import OneOrMore, Plan, one_of, plan
from mibench.api.representing import Pairs, missing_encoders
from mibench.engine import device as devices
from mibench.engine import execute as engine
from mibench.engine.encoding import seconds_to_train
from mibench.engine.plan import dims_of, objective_of, training_key
from mibench.protocols import Samples
from mibench.registry import Choice
from mibench.spec import RunSpec
from mibench.store import segments as stores
from mibench.store.encoders import EncoderStore
from mibench.store.record import KINDS, NO_ENCODER, Record, to_frame

RERUN = ("never", "failed", "all")

START_SECONDS = 6.0
"""What a command takes beside its packs: imports, tables and figures."""

PROCESS_BYTES = 500 * 2**20
"""Memory of a process that trains and draws, beside its packs."""

Append = Callable[[Record, stores.Curve | None], None]


def run(
    estimator: OneOrMore[str] = "infonce",
    task: OneOrMore[str] = "gaussian",
    *,
    out: Path | str | None = None,
    rerun: str = "never",
    **grid_arguments: Any,  # noqa: ANN401 - those of `plan`
) -> pd.DataFrame:
    """Run a grid of estimators on tasks and return one row a run, finished or failed.

    Every argument that takes a value takes a list as well; the grid is every combination.

    Args:
        estimator: names with options, such as `"nce[k=5]"`.
        task: names with options.
        dim: coordinates of x and of y (20).
        mi: true mutual information in nats (2, 4, 6, 8, 10), or
        rho: the correlation instead.
        n: sizes of the score matrix (16, 32, 64, 128).
        data: path of a file with one's own data, for tasks that take one (`digits`).
        encoder: names with options, of what stands between the task and the critic (the task's own; "none"
            for most).
        critic: names with options (the task's own; "separable" for most).
        protocol: "stream": fresh data at each step; "staircase": the papers', where `mi` is climbed by one
            critic; "samples": a fixed data set with early stopping.
        samples: sizes of the data set, which ask for the protocol "samples" (10,000).
        steps: training steps (1000; 4000 a level on the staircase; at most 2000 on samples).
        seeds: how many seeds, from 0 (3); or which: a list, or "0:8".
        lr: learning rate; the peak of the one-cycle schedule (2e-3), or the constant (5e-4).
        schedule: "one-cycle" (the default on the stream) or "constant" (elsewhere).
        precision: "float32", "float64" or, on CUDA, "tf32".
        device: "auto", "cpu", "cuda" or "cuda:1".
        out: folder of a results store; what is finished there is not run again. None keeps nothing.
        rerun: which of the runs that the store has already are run again: "never" repeats none that
            finished (those that failed are tried again), "failed" runs those alone that failed before,
            "all" runs everything.

    Returns:
        A table with the columns of `mibench.store.record.Record`; `mibench.summarise` makes cells of it.

    Raises:
        UsageError: an argument that is not allowed, or a store that cannot be used.
    """
    planned = plan(estimator, task, **grid_arguments)
    one_of(rerun, "rerun", RERUN)
    if out is None:
        return to_frame(execute(planned, planned.specs, {}))
    store = stores.Store(out)
    known = store.load()
    with store.writer() as writer:
        selected = select(planned, known, rerun)
        pairs = Pairs(selected, planned.device, EncoderStore(out))
        return to_frame(execute(planned, selected, known, writer.append, pairs=pairs))


def select(planned: Plan, known: Mapping[str, Record], rerun: str) -> list[RunSpec]:
    """Return those runs of a plan that are to be run, given the records that there are already."""
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
    pairs: Pairs | None = None,
) -> list[Record]:
    """Run the selected runs and return the records of all the plan's runs that there now are.

    `pairs` are what their critics see, with the encoders that they need; left out, these are trained first.
    Each new record is given to `append` as soon as its pack is finished, with its curve if it has one.
    `report` is told of the work done, as the packs' `work` counts it.
    """
    seen = pairs or Pairs(selected, planned.device)
    failed = [engine.Outcome(spec, "failed", words, None, 0.0) for spec, words in seen.failures.items()]
    packs = planned.packs(seen.sound(selected), seen)
    new = []
    for outcomes in itertools.chain([failed], engine.execute(packs, planned.device, report)):
        readers = Counter(training_key(outcome.spec) for outcome in outcomes)
        for outcome in outcomes:
            training_s = outcome.wall_s * readers[training_key(outcome.spec)]
            new.append(_record(outcome, training_s, planned, seen))
            append(new[-1], _curve(outcome))
    return kept(planned, stores.merge([*known.values(), *new]))


def kept(planned: Plan, known: Mapping[str, Record]) -> list[Record]:
    """Return those of some records that are of a plan's runs."""
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
    registries = (estimators.registry, tasks.registry, encoders.registry)
    return {
        "mibench": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "pandas", "scipy", "seaborn", "typer")},
        "devices": ["cpu", *cuda],
        "threads": torch.get_num_threads(),
        "plugins": [
            f"{registry.kind} {entry.name} ({entry.origin})"
            for registry in registries
            for entry in registry.entries.values()
            if entry.origin != "mibench"
        ],
    }


def _curve(outcome: engine.Outcome) -> stores.Curve | None:
    if outcome.readout is None or outcome.readout.curve is None:
        return None
    return outcome.readout.curve.float().numpy()


def _record(outcome: engine.Outcome, training_s: float, planned: Plan, pairs: Pairs) -> Record:
    spec, readout = outcome.spec, outcome.readout
    task = tasks.registry.make(spec.task)
    dim_x, dim_y = dims_of(spec)
    low, high = pairs.interval(spec)
    facts = pairs.facts(spec)
    ceiling = estimators.registry.make(spec.estimator).ceiling(spec.n)
    protocol = protocols.registry.make(spec.protocol)
    return Record(
        key=spec.key,
        training=training_key(spec),
        objective=objective_of(spec),
        estimator=spec.estimator.label,
        bound=None,
        oracle_is_best=None,
        task=spec.task.label,
        dim_x=dim_x,
        dim_y=dim_y,
        true_mi_nats=task.true_mi_nats,
        true_mi_low_nats=low,
        true_mi_high_nats=high,
        truth=None,
        truth_confidence=None,
        encoder=spec.encoder.label,
        n=spec.n,
        critic=spec.critic.label,
        protocol=spec.protocol.label,
        samples=protocol.size if isinstance(protocol, Samples) else None,
        steps=spec.steps,
        lr=spec.lr,
        schedule=spec.schedule,
        precision=spec.precision,
        seed=spec.seed,
        choices={kind: _chosen(getattr(spec, kind)) for kind in KINDS},
        estimate_nats=readout.estimate if readout else None,
        estimate_se_nats=readout.estimate_se if readout else None,
        batch_std_nats=readout.batch_std if readout else None,
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
        training_s=training_s,
        device=str(planned.device),
        version=__version__,
        finished_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _chosen(choice: Choice) -> dict[str, Any] | None:
    """Return a choice as a record has it."""
    return None if choice.name == NO_ENCODER else {"name": choice.name, "options": dict(choice.options)}


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
