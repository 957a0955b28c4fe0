"""From settings to a grid of runs that has been checked."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

from mibench import encoders, estimators, models, tasks
from mibench.api.expand import OF_TRAINING, Training, runs_of, views_of
from mibench.api.placement import Placement, check_memory
from mibench.engine.backends.base import Backend
from mibench.engine.balance import divided
from mibench.engine.encoding import encoder_packs
from mibench.engine.jobs import EncoderJob, PackJob
from mibench.engine.plan import Pack, packs
from mibench.engine.protocols import registry as protocols
from mibench.engine.sources import Source
from mibench.errors import UsageError
from mibench.grid import SETTINGS, Grid, GridArguments, OneOrMore, read, takes
from mibench.notation import parse
from mibench.registry import Choice, Registry
from mibench.spec import RunSpec
from mibench.store.record import NO_ENCODER

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Plan:
    """A grid that has been checked, and how it would run.

    Attributes:
        specs: every run of the grid.
        device: where it would run; `device_message` says how that was chosen.
        backend: what would train and read its models there.
        where: where the user wants jobs to run.
        part: which part of a larger grid it is, such as "3/16"; "" for a whole one.
    """

    specs: tuple[RunSpec, ...]
    device: torch.device
    device_message: str
    backend: Backend
    where: Placement
    part: str = ""

    def of(self, specs: Sequence[RunSpec], source: Source | None = None) -> Plan:
        """Return the plan of some of its runs; a backend that is left to us is the fastest for them."""
        some = replace(self, specs=tuple(specs))
        if not specs or not self.where.is_open:
            return some
        encoders = [EncoderJob(tuple(pack)) for pack in encoder_packs(specs)]
        backend = self.where.fastest(some.packs(source=source), encoders, self.device)
        device, message = backend.resolve(self.where.device)
        return replace(some, device=device, device_message=message, backend=backend)

    def packs(self, specs: Sequence[RunSpec] | None = None, source: Source | None = None) -> list[Pack]:
        """Return the packs in which the given runs, or all, would train."""
        budget = self.backend.budget_bytes(self.device)
        return packs(self.specs if specs is None else specs, budget, source)

    def jobs(self, specs: Sequence[RunSpec] | None = None, source: Source | None = None) -> list[PackJob]:
        """Return the jobs by which the given runs, or all, would be done: the longest first."""
        return divided([PackJob.of(pack) for pack in self.packs(specs, source)], self.backend.slots)


@takes(GridArguments)
def plan(
    estimator: OneOrMore[str] | None = None,
    task: OneOrMore[str] | None = None,
    **settings: Unpack[GridArguments],
) -> Plan:
    """Check a grid and return its plan; nothing is trained or written.

    Args:
        {settings}

    >>> import mibench
    >>> len(mibench.plan("infonce,nwj", mi=[2, 4], n=64, seeds=3, device="cpu").specs)
    12

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
    views = views_of([choice for name in grid.task for choice in _levels(name, grid)], _encoders(grid))
    training = training_of(grid)
    sizes = {*grid.n, *training.rows(training.of_critics)} - {None}
    for choice, n in itertools.product(dict.fromkeys(view.task for view in views), sizes):
        with tasks.registry.blaming(choice.name):
            tasks.registry.make(choice).check(n)
    specs: list[RunSpec] = []
    for followed in _protocols(grid):
        specs += runs_of(chosen, views, followed, grid.n, grid.seeds, training)
    return placed(list(dict.fromkeys(specs)), Placement.of(grid))


def training_of(grid: Grid, verb: str = "run") -> Training:
    """Return how the models of a grid are trained, as far as the user says."""
    chosen, usual = _chosen(models.registry, grid.critic) or None, read(verb, {})
    given = [
        name for name in OF_TRAINING if getattr(grid, name) not in (getattr(usual, name), (None,), (), None)
    ]
    return Training(
        chosen,
        grid.steps,
        grid.lr,
        grid.schedule,
        grid.precision,
        given,
        grid.train_n,
        grid.anchors or (None,),
        grid.preset,
    )


def placed(specs: Sequence[RunSpec], where: Placement, source: Source | None = None) -> Plan:
    """Return the plan of runs on a device, by a backend.

    Raises:
        UsageError: the device is not here, cannot hold a run, or lacks its precision; an unknown backend, or
            more workers than memory allows.
    """
    backend = where.named()
    chosen, message = backend.resolve(where.device)
    if chosen.type != "cuda" and any(spec.fit and spec.fit.precision == "tf32" for spec in specs):
        raise UsageError(f"precision tf32 needs a CUDA device, not {chosen}.", "Give --precision float32.")
    planned = Plan(tuple(specs), chosen, message, backend, where)
    check_memory(planned.packs(source=source), backend, chosen)
    return planned


def _chosen(registry: Registry[Any], names: Sequence[str]) -> list[Choice]:
    return [registry.choose(name) for name in names]


def _encoders(grid: Grid) -> list[Choice | None] | None:
    """Return the encoders of a grid, of which "none" is None; None asks for each task's own."""
    if not grid.encoder:
        return None
    return [None if name == NO_ENCODER else encoders.registry.choose(name) for name in grid.encoder]


def _protocols(grid: Grid) -> list[Choice]:
    """Return the protocols at every size of the data set; a size alone asks for `samples`."""
    names = grid.protocol or (("samples",) if grid.samples else ("stream",))
    chosen, any_sized = [], False
    for name in names:
        followed = protocols.load(parse(name, "protocol")[0])
        any_sized |= followed.sized
        levels = "/".join(map(str, grid.mi)) if followed.climbs else ""
        sizes = grid.samples if followed.sized else ()
        chosen += [protocols.choose(name, levels=levels or None, size=size) for size in sizes or (None,)]
    if grid.samples and not any_sized:
        raise UsageError(
            f"samples are given, and the protocol is {', '.join(names)}.",
            "Give --protocol samples, or leave out --samples.",
        )
    return chosen


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
