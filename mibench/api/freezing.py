"""Baselines of estimator bias: made of a grid's records, and made a grid again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mibench import encoders, estimators, models, tasks
from mibench.api import fingerprint
from mibench.api.expand import OF_TRAINING, views_of
from mibench.api.placement import Placement
from mibench.api.plan import Plan, placed, plan_grid
from mibench.api.registries import REGISTRIES
from mibench.engine.protocols import registry as protocols
from mibench.errors import UsageError
from mibench.grid import PLACES, SETTINGS, Grid, defaults, one_of, read, values_of
from mibench.options import real_number, whole_number
from mibench.presets import FILLED
from mibench.registry import OWN, Choice, Registry
from mibench.reports.tables import setting
from mibench.spec import PRECISIONS, SCHEDULES, Fit, RunSpec
from mibench.store.baseline import KNOWN, Baseline, FrozenCell
from mibench.store.record import KINDS, Record
from mibench.tasks.images import load

REFERENCE_GRIDS: tuple[Mapping[str, str], ...] = (
    {},  # all of mibench's own estimators, with the defaults of `mibench check`
    {"estimator": "nce[k=1],smile[tau=1]"},
    {"estimator": "infonce,interpolated,smile", "n": "4,8", "mi": "1.5"},
    {"estimator": "infonce,js,smile", "mi": "6"},
    {"estimator": "infonce", "task": "cubic", "dim": "5", "mi": "1.5"},
    {"estimator": "infonce", "task": "bigram[vocabulary=100]", "critic": "embedding"},
    {"estimator": "infonce", "task": "digits", "steps": "100"},
    {"estimator": "infonce", "task": "digits", "encoder": "simclr[batch=32,dim=8,steps=30]"},
    {"estimator": "infonce", "task": "linear-encoder", "encoder": "linear[steps=100]"},
    {
        "estimator": "infonce",
        "task": "cpc[dim=2,horizon=1,length=8,observed=4,past=4]",
        "encoder": "cpc[batch=64,dim=8,horizons=4,steps=50]",
    },
)
"""The grids of the reference: large enough that every estimator learns something, and together small enough
for two minutes on a core."""

BESIDE_GRID = {*PLACES, "seeds"}
"""Settings that all grids of the reference can share."""


def plan_to_freeze(given: Mapping[str, Any]) -> Plan:
    """Return the plan of a grid whose settings are those given, and the rest as the reference has them.

    Where no setting of a grid is given, it is the plan of all `REFERENCE_GRIDS`.
    """
    if not given.keys() <= BESIDE_GRID:
        return _plan(given)
    specs = [spec for grid in REFERENCE_GRIDS for spec in _plan({**grid, **given}).specs]
    return placed(list(dict.fromkeys(specs)), Placement.given("check", given))


def _plan(given: Mapping[str, Any]) -> Plan:
    """Return the plan of one grid.

    The true MI and dimension of the reference belong to its task: they are left out where another is given.
    """
    if "estimator" in given:
        return plan_grid(_grid(given, read("plan", {"estimator": given["estimator"]}).estimator))
    read("plan", given)  # a value that cannot be read is no reason to leave out those that would use it
    own = [name for name, entry in estimators.registry.entries.items() if entry.origin == OWN]
    specs: list[RunSpec] = []
    refused: list[UsageError] = []
    for name in own:  # all that can be run with these settings
        used = {key: value for key, value in given.items() if key not in OF_TRAINING or _trained([name])}
        try:
            specs += plan_grid(_grid(used, [name])).specs
        except UsageError as error:
            refused.append(error)
    if not specs:
        raise refused[0]
    return placed(specs, Placement.given("check", given))


def _grid(given: Mapping[str, Any], names: Sequence[str]) -> Grid:
    """Return the grid of some estimators: what is given, and the rest as the reference has it."""
    levels = {name for name, about in SETTINGS.items() if about.level}
    unused = levels if "task" in given else {"mi"} if "rho" in given else set()
    trained = _trained(names)
    if "critic" not in trained:
        unused |= {"critic"}
    if not trained:
        unused |= {*OF_TRAINING}
    if "preset" in given:
        unused |= {*FILLED}
    reference = {name: text for name, text in defaults("check").items() if name not in unused}
    return read("plan", {**reference, **given, "estimator": list(names)})


def _trained(names: Sequence[str]) -> set[str]:
    """Return the kinds of models that some estimators train."""
    objectives = (estimators.objective_of(estimators.registry.choose(name)) for name in names)
    return {objective.model for objective in objectives if objective is not None}


def freeze(planned: Plan, records: Iterable[Record]) -> Baseline:
    """Return the baseline of a plan's records."""
    by_key = {record.key: record for record in records}
    seeds = list(dict.fromkeys(spec.seed for spec in planned.specs))
    cells = []
    for specs in cells_of(planned.specs):
        found = [by_key[spec.key] for spec in specs]
        estimates = [record.estimate_nats for record in found]
        names = {kind: getattr(found[0], kind) for kind in KINDS}
        cells.append(FrozenCell(_identity(specs[0]), estimates, failures_of(found), names, known_of(found)))
    return Baseline(made_with(planned), seeds, cells)


def plan_of(frozen: Baseline, name: str, where: Placement, data: Sequence[str] = ()) -> Plan:
    """Return the plan of a baseline's runs; `data` are paths of the files with the images that they need.

    Raises:
        UsageError: a cell is not what it was when the baseline was made; it names what differs. Or a file
            with a cell's images is not among those given.
    """
    paths = {load(path).sha256: path for path in data}
    firsts = [_spec(cell.identity, name, paths) for cell in frozen.cells]
    specs = [replace(first, seed=seed) for first in firsts for seed in frozen.seeds]
    if len(set(specs)) < len(specs):
        raise UsageError(f"The baseline {name} has a cell twice.", "Delete one of the two lines.")
    return placed(specs, where)


def agree(frozen: Plan, given: Mapping[str, Any], name: str) -> None:
    """Raise a UsageError where a baseline is of another grid than the one that is given.

    Only the settings that are given are compared.
    """
    if not given:
        return
    there = _values(frozen.specs)
    asked = _values(_asked(there, given).specs)
    for key in (given.keys() - {"preset"}) | (set(FILLED) if "preset" in given else set()):
        # Estimators that train nothing have no setting of training.
        if asked[key] - {None} != there[key] - {None}:
            raise UsageError(
                f"The baseline {name} is of another grid: {key} is {_listed(there[key])} in it, "
                f"{_listed(asked[key])} here.",
                "Leave the grid to the baseline, or make another one of this grid with --save.",
            )


def _asked(there: Mapping[str, set[Any]], given: Mapping[str, Any]) -> Plan:
    """Return the plan of what is given, on the tasks and with the n of a baseline where they are one grid."""
    own: dict[str, Any] = {"n": there["n"]}
    if "estimator" not in given or _trained(read("plan", {"estimator": given["estimator"]}).estimator):
        own["steps"] = max(filter(None, there["steps"]), default=None)
    if there["task"] != {defaults("check")["task"]}:
        own["task"] = sorted(there["task"])
    try:
        return plan_to_freeze({**own, **given})
    except UsageError:  # of a baseline of several grids, or of what is given: then it is raised again
        return plan_to_freeze(given)


def _values(specs: Iterable[RunSpec]) -> dict[str, set[Any]]:
    """Return the values of each setting in a grid."""
    values = [values_of(spec) for spec in specs]
    return {name: {each[name] for each in values} for name in values[0]}


def _listed(values: set[Any]) -> str:
    return ", ".join(sorted(map(_word, values)))


def _word(value: object) -> str:
    return "none" if value is None else setting(value)


def cells_of(specs: Iterable[RunSpec]) -> list[list[RunSpec]]:
    """Return the runs of each cell, in the order of their seeds."""
    cells: dict[RunSpec, list[RunSpec]] = {}
    for spec in specs:
        cells.setdefault(replace(spec, seed=0), []).append(spec)
    return list(cells.values())


def failures_of(records: Iterable[Record]) -> dict[int, str]:
    """Return by seed why runs failed."""
    return {record.seed: f"{record.status}: {record.message}" for record in records if record.status != "ok"}


def known_of(records: Sequence[Record]) -> dict[str, list[float | None]]:
    """Return what a baseline has of records beside their estimates, by field, one value per record."""
    return {name: [getattr(record, name) for record in records] for name in KNOWN}


def _identity(spec: RunSpec) -> dict[str, Any]:
    """Return what identifies a cell: that of its runs, without the seed."""
    return {key: value for key, value in spec.identity.items() if key != "seed"}


def _spec(identity: Mapping[str, Any], name: str, paths: Mapping[str | None, str]) -> RunSpec:
    """Return the run at seed 0 that an identity in a baseline describes, as it is described here."""
    try:
        spec = RunSpec(
            _choice(estimators.registry, identity["estimator"]),
            _choice(tasks.registry, _located(identity["task"], paths)),
            _choice(encoders.registry, identity["encoder"]) if "encoder" in identity else None,
            _choice(protocols, identity["protocol"]),
            n=whole_number(identity["n"], "n", least=2),
            seed=0,
            fit=_fit(identity) if "critic" in identity else None,
        )
        (view,) = views_of([spec.task], [spec.encoder])
        estimators.registry.make(spec.estimator).check(spec.n, view.pair)
        if spec.fit is not None:
            protocols.make(spec.protocol).check(spec.n, spec.fit.steps)
    except UsageError as error:
        raise UsageError(f"The baseline {name} cannot be run here. {error.what}", error.how) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"The baseline {name} is damaged: the settings of a cell cannot be read ({error}).",
            "Restore it from a copy, or make it anew with --save.",
        ) from error
    differs = unlike(_flat(identity), _flat(_identity(spec)))
    if differs:
        raise UsageError(
            f"The baseline {name} was made by an incompatible version: {'; '.join(differs)}.",
            "Make it anew with --save, or install the version that made it.",
        )
    return spec


def _fit(identity: Mapping[str, Any]) -> Fit:
    return Fit(
        _choice(models.registry, identity["critic"]),
        whole_number(identity["steps"], "steps", least=1),
        real_number(identity["lr"], "lr"),
        one_of(identity["schedule"], "schedule", SCHEDULES),
        one_of(identity["precision"], "precision", PRECISIONS),
        *(
            None if name not in identity else whole_number(identity[name], name, least=least)
            for name, least in (("train_n", 2), ("anchors", 1))
        ),
    )


def _choice(registry: Registry[Any], identity: Mapping[str, Any]) -> Choice:
    """Return the choice that an identity describes, with the version that there is here."""
    return registry.from_options(identity["name"], identity["options"])


def _located(identity: Mapping[str, Any], paths: Mapping[str | None, str]) -> dict[str, Any]:
    """Return the identity of a task with the path of its file, of which it has the contents' digest alone."""
    options = dict(identity["options"])
    if options.get("sha256") in paths:
        options["data"] = paths[options["sha256"]]
    return {**identity, "options": options}


def _flat(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity of a cell with every option as an item of its own: "estimator nce: k"."""
    found: dict[str, Any] = {}
    for key, value in identity.items():
        if key in REGISTRIES:
            options = {**value["options"], "version": value["version"]}
            found |= {f"{key} {value['name']}: {option}": each for option, each in options.items()}
        else:
            found[key] = value
    return found


def unlike(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return in words which items of a baseline are different here."""
    return [
        f"{key} {_word(there.get(key, 'missing'))} in the baseline, {_word(here.get(key, 'missing'))} here"
        for key in sorted({*there, *here})
        if there.get(key) != here.get(key)
    ]


def made_with(planned: Plan) -> dict[str, Any]:
    """Return versions, machine and sources: where all are the same, so must be the numbers of a plan."""
    chosen = {
        (kind, choice.name) for spec in planned.specs for kind, choice in spec.choices.items() if choice
    }
    modules = {REGISTRIES[kind].load(name).__module__ for kind, name in chosen}
    return fingerprint.made_with(planned.device, modules)
