"""From settings to a grid of runs that has been checked."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from mibench import encoders, estimators, protocols, tasks
from mibench.engine import device as devices
from mibench.engine.plan import Pack, TaskOf, packs, task_itself
from mibench.errors import UsageError
from mibench.grid import SETTINGS, Grid, GridArguments, OneOrMore, read, takes
from mibench.models import critics
from mibench.protocols import STEPS_A_LEVEL, Protocol, Samples, Staircase, Stream
from mibench.registry import Choice, Registry, parse
from mibench.spec import NO_ENCODER, RunSpec, Source
from mibench.spec import grid as combinations
from mibench.tasks.base import Task

if TYPE_CHECKING:
    import torch

DEFAULT_STEPS = {Stream.name: 1000, Samples.name: 2000}
DEFAULT_SCHEDULE = {Stream.name: "one-cycle", Staircase.name: "constant", Samples.name: "constant"}


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

    def packs(self, specs: Sequence[RunSpec] | None = None, task_of: TaskOf = task_itself) -> list[Pack]:
        """Return the packs in which the given runs, or all, would train."""
        return packs(self.specs if specs is None else specs, devices.budget_bytes(self.device), task_of)


@takes(GridArguments)
def plan(
    estimator: OneOrMore[str] | None = None,
    task: OneOrMore[str] | None = None,
    **settings: Unpack[GridArguments],
) -> Plan:
    """Check a grid and return its plan; nothing is trained or written.

    Args:
        {settings}

    Raises:
        UsageError: the first argument that is not allowed.
    """
    return plan_grid(read("plan", {"estimator": estimator, "task": task, **settings}))


def plan_grid(grid: Grid) -> Plan:
    """Return the plan of a grid that has been read.

    Raises:
        UsageError: the first thing that is wrong with it.
    """
    chosen = _chosen(estimators.registry, grid.estimator)
    sources = _sources(
        [choice for name in grid.task for choice in _levels(name, grid)],
        _chosen(encoders.registry, grid.encoder) or None,
        _chosen(critics.registry, grid.critic) or None,
    )
    for choice, n in itertools.product(chosen, grid.n):
        estimators.registry.make(choice).check(n)
    for choice, n in itertools.product(dict.fromkeys(source[0] for source in sources), grid.n):
        tasks.registry.make(choice).check(n)
    specs: list[RunSpec] = []
    for followed in _protocols(grid):
        made = protocols.registry.make(followed)
        steps = grid.steps or _default_steps(made)
        for n in grid.n:
            made.check(n, steps)
        specs += combinations(
            estimators=chosen,
            sources=_on_stairs(followed, sources),
            protocols=[followed],
            ns=grid.n,
            seeds=grid.seeds,
            steps=steps,
            lr=grid.lr,
            schedule=grid.schedule or DEFAULT_SCHEDULE[followed.name],
            precision=grid.precision,
        )
    return on_device(specs, grid.device)


def on_device(specs: Sequence[RunSpec], device: str, task_of: TaskOf = task_itself) -> Plan:
    """Return the plan of runs on a device.

    Raises:
        UsageError: the device is not here, cannot hold a run, or lacks its precision.
    """
    chosen, message = devices.resolve(device)
    if chosen.type != "cuda" and any(spec.precision == "tf32" for spec in specs):
        raise UsageError(f"precision tf32 needs a CUDA device, not {chosen}.", "Give --precision float32.")
    planned = Plan(tuple(specs), chosen, message)
    check_memory(planned.packs(task_of=task_of), chosen)
    return planned


def _chosen(registry: Registry[Any], names: Sequence[str]) -> list[Choice]:
    return [registry.choose(name) for name in names]


def check_critic(critic: Choice, seen: Task | None) -> None:
    """Raise a UsageError where a critic cannot see a pair: a task's own, or a representation (None)."""
    critics.registry.make(critic).check(getattr(seen, "vocabulary", None))


def _protocols(grid: Grid) -> list[Choice]:
    """Return the protocols at every size of the data set; a size alone asks for `samples`."""
    names = grid.protocol or (Samples.name if grid.samples else Stream.name,)
    chosen = []
    for name in names:
        bare, _ = parse(name, "protocol")
        if bare == Samples.name:
            chosen += [protocols.registry.choose(name, size=size) for size in grid.samples or [None]]
        elif bare == Staircase.name and grid.mi:
            chosen.append(protocols.registry.choose(name, levels="/".join(map(str, grid.mi))))
        else:
            chosen.append(protocols.registry.choose(name))
    if grid.samples and not any(choice.name == Samples.name for choice in chosen):
        raise UsageError(
            f"samples are given, and the protocol is {', '.join(names)}.",
            "Give --protocol samples, or leave out --samples.",
        )
    return chosen


def _default_steps(protocol: Protocol) -> int:
    if isinstance(protocol, Staircase):
        return STEPS_A_LEVEL * len(protocol.stairs)
    return DEFAULT_STEPS[protocol.name]


def _sources(
    chosen: Sequence[Choice], with_encoders: Sequence[Choice] | None, with_critics: Sequence[Choice] | None
) -> list[Source]:
    """Return each task with every encoder and critic, or with its own where none is given."""
    found = []
    for critic in [None] if with_critics is None else with_critics:
        for task in chosen:
            made = tasks.registry.make(task)
            own = [encoders.registry.choose(made.default_encoder)]
            for encoder in own if with_encoders is None else with_encoders:
                encoders.registry.make(encoder).check(made)
                seen_by = critic or critics.registry.choose(made.default_critic)
                check_critic(seen_by, made if encoder.name == NO_ENCODER else None)
                found.append((task, encoder, seen_by))
    return found


def _on_stairs(protocol: Choice, sources: Sequence[Source]) -> list[Source]:
    """Return the sources of a grid: on the staircase, each at the level of every stair."""
    if protocol.name != Staircase.name:
        return list(sources)
    made = protocols.registry.make(protocol)
    assert isinstance(made, Staircase)
    found = []
    for task, encoder, critic in sources:
        options = dict(task.options)
        if "mi" not in options or options.get("rho") is not None or encoder.name != NO_ENCODER:
            raise UsageError(
                f"The staircase needs a task that is given by its true MI and no encoder; "
                f"{task.label!r} with encoder {encoder.label!r} is not that.",
                "Give --task gaussian or cubic with --mi, or another --protocol.",
            )
        stairs = [tasks.registry.choose(task.name, **options | {"mi": level}) for level in made.stairs]
        if len({(stair.dim_x, stair.dim_y) for stair in map(tasks.registry.make, stairs)}) > 1:
            raise UsageError(
                f"One critic cannot climb {task.label!r}: its dimensions change with the true MI.",
                "Give the option that holds them, such as m of 'digits'.",
            )
        found += [(stair, encoder, critic) for stair in stairs]
    return list(dict.fromkeys(found))


def _levels(name: str, grid: Grid) -> list[Choice]:
    """Return a task at every combination of the given options, and at the levels that are its own."""
    given = {key: getattr(grid, key) for key, about in SETTINGS.items() if about.level and getattr(grid, key)}
    if "mi" in given and "rho" in given:
        raise UsageError("mi and rho are given together.", "Give one: each determines the other.")
    bare, bracketed = parse(name, "task")
    stated = {*given, *bracketed}
    own = {
        key: list(levels)
        for key, levels in tasks.registry.load(bare).levels.items()
        if key not in stated and not (key == "mi" and "rho" in stated)
    }
    axes = given | own
    return [
        tasks.registry.choose(name, **dict(zip(axes, point, strict=True)))
        for point in itertools.product(*axes.values())
    ]


def check_memory(chosen: Sequence[Pack], device: torch.device) -> None:
    """Refuse packs in which a single run needs more memory than there is."""
    there = devices.memory_bytes(device)
    for pack in chosen:
        needed = Pack(pack.trainings[:1], pack.task_of).bytes
        if needed > there:
            raise UsageError(
                f"One run at n = {pack.first.n} with critic {pack.first.critic.label!r} needs about "
                f"{needed / 2**30:.0f} GiB; {device} has {there / 2**30:.0f} GiB.",
                "Give a smaller n, dim or critic, or fewer samples.",
            )
