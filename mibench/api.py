"""What the command line and notebooks share: plan a grid, run it, summarise it, write it down."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import pandas as pd

from mibench import __version__, critics, estimators, tasks
from mibench.engine import device as devices
from mibench.engine import execute as engine
from mibench.engine.plan import Pack, packs
from mibench.errors import UsageError, unknown
from mibench.registry import Choice, option_rows, parse, real_number, split_names, whole_number
from mibench.results import store as stores
from mibench.results.record import Record, to_frame
from mibench.results.statistics import summarise
from mibench.spec import PRECISIONS, SCHEDULES, RunSpec, grid

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
OneOrMore: TypeAlias = T | Iterable[T]

DEFAULT_MI_NATS = (2.0, 4.0, 6.0, 8.0, 10.0)
DEFAULT_N = (16, 32, 64, 128)
DEFAULT_STEPS = 1000
DEFAULT_SEEDS = 3
RERUN = ("never", "failed", "all")

START_SECONDS = 6.0
"""What a command takes beside its packs: imports, tables and figures."""

PROCESS_BYTES = 500 * 2**20
"""Memory of a process that trains and draws, beside its packs."""


@dataclass(frozen=True)
class Plan:
    """A grid that has been checked, and how it would run.

    Attributes:
        specs: every run of the grid.
        device: where it would run; `device_message` says how that was chosen.
    """

    specs: tuple[RunSpec, ...]
    device: torch.device
    device_message: str

    def packs(self, specs: Sequence[RunSpec] | None = None) -> list[Pack]:
        """Return the packs in which the given runs, or all, would train."""
        return packs(self.specs if specs is None else specs, devices.budget_bytes(self.device))


def plan(
    estimator: OneOrMore[str] = "infonce",
    task: OneOrMore[str] = "gaussian",
    *,
    dim: OneOrMore[int | str] | None = None,
    mi: OneOrMore[float | str] | None = None,
    rho: OneOrMore[float | str] | None = None,
    n: OneOrMore[int | str] = DEFAULT_N,
    critic: OneOrMore[str] = "separable",
    steps: int | str = DEFAULT_STEPS,
    seeds: OneOrMore[int | str] = DEFAULT_SEEDS,
    lr: float | str | None = None,
    schedule: str = "one-cycle",
    precision: str = "float32",
    device: str = "auto",
) -> Plan:
    """Check a grid and return its plan; nothing is trained or written. For the arguments see `run`.

    Raises:
        UsageError: whatever is wrong with the arguments, the first of it.
    """
    chosen_estimators = [estimators.registry.choose(name) for name in _names(estimator)]
    chosen_critics = [critics.registry.choose(name) for name in _names(critic)]
    chosen_tasks = [
        choice
        for name in _names(task)
        for choice in _levels(name, _given(dim, "dim"), _given(mi, "mi"), _given(rho, "rho"))
    ]
    ns = [whole_number(value, "n", least=2) for value in _items(n)]
    for choice in chosen_estimators:
        for size in ns:
            estimators.registry.make(choice).check(size)
    rate = None if lr is None else real_number(lr, "lr")
    if rate is not None and rate <= 0:
        raise UsageError(f"lr must be positive, not {rate:g}.", "Give a learning rate above 0.")
    specs = grid(
        estimators=_some(chosen_estimators, "estimator"),
        tasks=_some(chosen_tasks, "task"),
        critics=_some(chosen_critics, "critic"),
        ns=_some(ns, "n"),
        seeds=_some(_seeds(seeds), "seed"),
        steps=whole_number(steps, "steps", least=1),
        lr=rate,
        schedule=one_of(schedule, "schedule", SCHEDULES),
        precision=one_of(precision, "precision", PRECISIONS),
    )
    chosen_device, message = devices.resolve(device)
    if precision == "tf32" and chosen_device.type != "cuda":
        raise UsageError(
            f"precision tf32 needs a CUDA device, not {chosen_device}.",
            "Give --precision float32.",
        )
    planned = Plan(tuple(specs), chosen_device, message)
    _check_memory(planned)
    return planned


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
        critic: names with options ("separable").
        steps: training steps (1000).
        seeds: how many seeds, from 0 (3); or which: a list, or "0:8".
        lr: learning rate; the peak of the one-cycle schedule (2e-3), or the constant (5e-4).
        schedule: "one-cycle" or "constant".
        precision: "float32", "float64" or, on CUDA, "tf32".
        device: "auto", "cpu", "cuda" or "cuda:1".
        out: folder of a results store; what is finished there is not run again. None keeps nothing.
        rerun: which of the runs that the store has already are run again: "never" repeats none that
            finished (those that failed are tried again), "failed" runs those alone that failed before,
            "all" runs everything.

    Returns:
        A table with the columns of `mibench.results.record.Record`; `mibench.summarise` makes cells of it.

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
        return to_frame(execute(planned, select(planned, known, rerun), known, writer.append))


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
    append: Callable[[Record], None] = lambda record: None,
    report: Callable[[float], None] = lambda work: None,
) -> list[Record]:
    """Run the selected runs and return the records of all the plan's runs that there now are.

    Each new record is given to `append` as soon as its pack is finished. `report` is told of the work
    done, as the packs' `work` counts it.
    """
    new = []
    for pack in engine.execute(planned.packs(selected), planned.device, report):
        for outcome in pack:
            new.append(_record(outcome, planned))
            append(new[-1])
    records = stores.merge([*known.values(), *new])
    return [records[spec.key] for spec in planned.specs if spec.key in records]


def cost(planned: Plan, selected: Sequence[RunSpec]) -> dict[str, float]:
    """Return what running the selected runs of a plan would take, measuring the device for a moment."""
    chosen = planned.packs(selected)
    rate = devices.flops_per_second(planned.device)
    largest = max((pack.bytes for pack in chosen), default=0)
    return {
        "runs": len(selected),
        "finished": len(planned.specs) - len(selected),
        "packs": len(chosen),
        "largest_pack": max((len(pack.specs) for pack in chosen), default=0),
        "seconds": START_SECONDS + sum(pack.seconds(rate) for pack in chosen),
        "pack_mib": largest / 2**20,
        "memory_mib": (PROCESS_BYTES + largest) / 2**20,
    }


def environment() -> dict[str, Any]:
    """Return versions, devices, threads and plug-ins, as JSON values."""
    import torch

    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    registries = (estimators.registry, tasks.registry)
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


def write_tables(records: pd.DataFrame, folder: Path, unit: str = "nats") -> list[Path]:
    """Write a grid's table as CSV, Markdown and LaTeX, and its figures as PNG and PDF; return the paths."""
    from mibench.results import figures, tables  # seaborn takes two seconds to import
    from mibench.results.statistics import in_unit

    summary = summarise(records)
    shown = tables.table(summary, unit)
    texts = {
        "table.csv": in_unit(summary, unit).to_csv(index=False),
        "table.md": tables.markdown(shown),
        "table.tex": tables.latex(shown),
    }
    paths = []
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
        paths.append(folder / name)
    paths += figures.save(figures.bias_vs_n(summary, unit), folder / "bias_vs_n")
    paths += figures.save(figures.estimate_vs_true(summary, unit), folder / "estimate_vs_true")
    return paths


def _record(outcome: engine.Outcome, planned: Plan) -> Record:
    spec, readout = outcome.spec, outcome.readout
    task, ceiling = (
        tasks.registry.make(spec.task),
        estimators.registry.make(spec.estimator).ceiling(spec.n),
    )
    return Record(
        key=spec.key,
        estimator=spec.estimator.label,
        task=spec.task.label,
        dim_x=task.dim_x,
        dim_y=task.dim_y,
        true_mi_nats=task.true_mi_nats,
        n=spec.n,
        critic=spec.critic.label,
        steps=spec.steps,
        lr=spec.lr,
        schedule=spec.schedule,
        precision=spec.precision,
        seed=spec.seed,
        estimate_nats=readout.estimate if readout else None,
        estimate_se_nats=readout.estimate_se if readout else None,
        batch_std_nats=readout.batch_std if readout else None,
        batches=readout.batches if readout else None,
        oracle_nats=readout.oracle if readout else None,
        oracle_se_nats=readout.oracle_se if readout else None,
        critic_gap_se_nats=readout.critic_gap_se if readout else None,
        ceiling_nats=ceiling,
        saturated=ceiling is not None and task.true_mi_nats > ceiling,
        status=outcome.status,
        message=outcome.message,
        wall_s=outcome.wall_s,
        device=str(planned.device),
        version=__version__,
        finished_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _names(value: OneOrMore[str]) -> list[str]:
    texts = [value] if isinstance(value, str) else list(value)
    return [name for text in texts for name in split_names(text)]


def _items(value: Any) -> list[Any]:  # noqa: ANN401 - a value, a text of values, or many of either
    """Return the items of `4`, `"2,4"`, `[2, 4]` or `["2,4", "6"]`."""
    if value is None:
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    if isinstance(value, Iterable):
        return [item for part in value for item in _items(part)]
    return [value]


def _some(items: list[T], what: str) -> list[T]:
    if not items:
        raise UsageError(f"No {what} is given.", f"Give at least one {what}.")
    return items


def _given(value: Any, what: str) -> list[Any]:  # noqa: ANN401
    """Return the items of a value, which may be left out (None) but not be an empty list."""
    return [] if value is None else _some(_items(value), what)


def one_of(value: str, what: str, allowed: Collection[str]) -> str:
    """Return a value that is among those allowed, or raise a UsageError that names the nearest."""
    if value not in allowed:
        raise unknown(what, value, allowed, f"It is one of: {', '.join(allowed)}.")
    return value


def _seeds(value: OneOrMore[int | str]) -> list[int]:
    """Return the seeds of `3` (0, 1, 2), `"2:5"` (2, 3, 4) or a list of them."""
    items = _items(value)
    if len(items) == 1 and isinstance(items[0], str) and ":" in items[0]:
        first, _, end = items[0].partition(":")
        start = whole_number(first or 0, "first seed", least=0)
        return list(range(start, whole_number(end, "end of the seeds", least=start + 1)))
    if len(items) == 1 and (not isinstance(value, Iterable) or isinstance(items[0], str)):
        return list(range(whole_number(items[0], "seeds", least=1)))
    return [whole_number(item, "seed", least=0) for item in items]


def _levels(name: str, dims: list[Any], mis: list[Any], rhos: list[Any]) -> list[Choice]:
    """Return a task at every combination of dimension and level of information."""
    if mis and rhos:
        raise UsageError("mi and rho are given together.", "Give one: each determines the other.")
    bare, given = parse(name, "task")
    options = [row[0] for row in option_rows(tasks.registry.load(bare))]
    if "mi" in options and not (mis or rhos or {"mi", "rho"} & given.keys()):
        mis = list(DEFAULT_MI_NATS)
    levels = [{"mi": mi} for mi in mis] or [{"rho": rho} for rho in rhos] or [{}]
    return [tasks.registry.choose(name, dim=dim, **level) for dim in dims or [None] for level in levels]


def _check_memory(planned: Plan) -> None:
    """Refuse a grid in which a single run needs more memory than there is."""
    there = devices.memory_bytes(planned.device)
    for spec in planned.specs:
        needed = Pack((spec,)).bytes
        if needed > there:
            raise UsageError(
                f"One run at n = {spec.n} with critic {spec.critic.label!r} needs about "
                f"{needed / 2**30:.0f} GiB; {planned.device} has {there / 2**30:.0f} GiB.",
                "Give a smaller n, dim or critic.",
            )


__all__ = [
    "Plan",
    "execute",
    "plan",
    "run",
    "select",
    "summarise",
    "write_tables",
]
