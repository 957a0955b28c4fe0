"""Baselines of estimator bias: made of a grid's records, and made a grid again."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import mibench
from mibench import encoders, estimators, protocols, tasks
from mibench.api import plan as planning
from mibench.api.plan import Plan
from mibench.errors import UsageError
from mibench.models import critics
from mibench.registry import Choice, Registry, real_number, whole_number
from mibench.reports.tables import setting
from mibench.spec import NO_ENCODER, PRECISIONS, SCHEDULES, RunSpec
from mibench.store.baseline import Baseline, FrozenCell
from mibench.store.record import Record
from mibench.tasks.images import load

_REGISTRIES: dict[str, Registry[Any]] = {
    "estimator": estimators.registry,
    "task": tasks.registry,
    "encoder": encoders.registry,
    "critic": critics.registry,
    "protocol": protocols.registry,
}

_AROUND = ("api", "commands", "store", "analysis", "reports", "baselines")
"""Folders of the package that make no numbers: a baseline is of the same sources whatever is in them."""

_NO_ENCODER = {"name": NO_ENCODER, "options": {}}

_BELOW = ("convolution.py", "geometry.py", "networks.py", "protocols.py", "seeding.py", "spec.py")


REFERENCE_GRID: dict[str, Any] = {
    "critic": "separable[hidden=64]",
    "n": 64,
    "steps": 300,
    "seeds": 16,
}
REFERENCE_TASK = "gaussian"
REFERENCE_LEVELS: dict[str, Any] = {"dim": 5, "mi": (0.5, 1.5)}
"""Large enough that every estimator learns something, small enough for a minute on two cores."""


def grid_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `plan` for a baseline: what is given, and the rest as the reference has it.

    The reference's levels are of its task: they are left out where another task is given.
    """
    own = [name for name, entry in estimators.registry.entries.items() if entry.origin == "mibench"]
    levels = {} if "task" in given else REFERENCE_LEVELS
    if "rho" in given:
        levels = {key: value for key, value in levels.items() if key != "mi"}
    return {"estimator": own, **REFERENCE_GRID, **levels, **given}


def freeze(planned: Plan, records: Iterable[Record]) -> Baseline:
    """Return the baseline of a plan's records."""
    by_key = {record.key: record for record in records}
    seeds = list(dict.fromkeys(spec.seed for spec in planned.specs))
    cells = []
    for specs in cells_of(planned.specs):
        found = [by_key[spec.key] for spec in specs]
        estimates = [record.estimate_nats for record in found]
        cells.append(FrozenCell(_identity(specs[0]), estimates, failures_of(found)))
    return Baseline(made_with(planned), seeds, cells)


def plan_of(frozen: Baseline, name: str, device: str, data: Sequence[str] = ()) -> Plan:
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
    return planning.on_device(specs, device)


def agree(frozen: Plan, given: Mapping[str, Any], name: str) -> None:
    """Raise a UsageError where a baseline is of another grid than the one that is given.

    Only the settings that are given are compared.
    """
    if not given:
        return
    there = _facets(frozen.specs)
    own: dict[str, Any] = {"n": there["n"], "steps": max(there["steps"])}  # they have to go with the others
    if there["task"] != {REFERENCE_TASK}:
        own["task"] = sorted(there["task"])
    asked = _facets(planning.plan(**grid_of({**own, **given})).specs)
    for facet in given:
        if asked[facet] != there[facet]:
            raise UsageError(
                f"The baseline {name} is of another grid: {facet} is {_listed(there[facet])} in it, "
                f"{_listed(asked[facet])} here.",
                "Leave the grid to the baseline, or make another one of this grid with --save.",
            )


def _facets(specs: Iterable[RunSpec]) -> dict[str, set[Any]]:
    """Return the values of each argument of `plan` in a grid."""
    found: dict[str, set[Any]] = {}
    for spec in specs:
        task, protocol = dict(spec.task.options), dict(spec.protocol.options)
        values = {
            "estimator": spec.estimator.label,
            "task": spec.task.name,
            **{key: task.get(key) for key in ("dim", "mi", "rho")},
            "data": task.get("sha256"),  # a file is its contents, wherever it is
            "encoder": spec.encoder.label,
            "critic": spec.critic.label,
            "protocol": spec.protocol.label,
            "samples": protocol.get("size"),
            "n": spec.n,
            "steps": spec.steps,
            "seeds": spec.seed,
            "lr": spec.lr,
            "schedule": spec.schedule,
            "precision": spec.precision,
        }
        for key, value in values.items():
            found.setdefault(key, set()).add(value)
    return found


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
    """Return by its seed why each run failed that did."""
    return {record.seed: f"{record.status}: {record.message}" for record in records if record.status != "ok"}


def _identity(spec: RunSpec) -> dict[str, Any]:
    """Return what identifies a cell: that of its runs, without the seed."""
    return {key: value for key, value in spec.identity.items() if key != "seed"}


def _spec(identity: Mapping[str, Any], name: str, paths: Mapping[str | None, str]) -> RunSpec:
    """Return the run at seed 0 that an identity in a baseline describes, as it is described here."""
    there = {"encoder": _NO_ENCODER, **identity}  # an identity has an encoder only where there is one
    try:
        spec = RunSpec(
            **{kind: _choice(registry, there[kind], paths) for kind, registry in _REGISTRIES.items()},
            n=whole_number(identity["n"], "n", least=2),
            steps=whole_number(identity["steps"], "steps", least=1),
            lr=real_number(identity["lr"], "lr"),
            schedule=planning.one_of(identity["schedule"], "schedule", SCHEDULES),
            precision=planning.one_of(identity["precision"], "precision", PRECISIONS),
            seed=0,
        )
        estimators.registry.make(spec.estimator).check(spec.n)
        protocols.registry.make(spec.protocol).check(spec.n, spec.steps)
    except UsageError as error:
        raise UsageError(f"The baseline {name} cannot be run here. {error.what}", error.how) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"The baseline {name} is damaged: the settings of a cell cannot be read ({error}).",
            "Restore it from a copy, or make it anew with --save.",
        ) from error
    differs = _differences(identity, _identity(spec))
    if differs:
        raise UsageError(
            f"The baseline {name} was made by an incompatible version: {'; '.join(differs)}.",
            "Make it anew with --save, or install the version that made it.",
        )
    return spec


def _choice(registry: Registry[Any], identity: Mapping[str, Any], paths: Mapping[str | None, str]) -> Choice:
    """Return the choice of an identity, which has the contents of a file and not its path."""
    options = dict(identity["options"])
    if options.get("sha256") in paths:
        options["data"] = paths[options["sha256"]]
    return registry.from_options(identity["name"], options)


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return in words where the identity of a cell in a baseline is not what it is here."""
    found: list[str] = []
    for key in sorted({*there, *here}):
        if key in _REGISTRIES and key in there and key in here:
            what = f"{key} {here[key]['name']}"
            one, other = ({**part[key]["options"], "version": part[key]["version"]} for part in (there, here))
            found += [f"{what}: {words}" for words in unlike(one, other)]
        else:
            found += unlike(*({key: part[key]} if key in part else {} for part in (there, here)))
    return found


def unlike(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return in words the items of a baseline that are others here."""
    return [
        f"{key} {_word(there.get(key, 'missing'))} in the baseline, {_word(here.get(key, 'missing'))} here"
        for key in sorted({*there, *here})
        if there.get(key) != here.get(key)
    ]


def made_with(planned: Plan) -> dict[str, Any]:
    """Return versions, machine and sources: where all are the same, so must be the numbers of a plan."""
    device = planned.device
    on_cuda = device.type == "cuda"
    return {
        "mibench": mibench.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if on_cuda else device.type,
        "sources": _sources(planned.specs),
    }


def _processor() -> str:
    """Return the processor's model, and which of its instructions torch uses."""
    model, information = platform.processor(), Path("/proc/cpuinfo")
    if information.is_file():
        lines = information.read_text("utf-8", errors="replace").splitlines()
        models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        model = next(models, model)
    return f"{model or 'unknown'}, {torch.backends.cpu.get_cpu_capability()}"


def _sources(specs: Iterable[RunSpec]) -> str:
    """Return the beginning of the sha256 of the source files that make the numbers, plug-ins included."""
    folder = Path(mibench.__file__).parent
    own = (path for path in folder.glob("*/**/*.py") if path.relative_to(folder).parts[0] not in _AROUND)
    chosen = {(kind, getattr(spec, kind)) for spec in specs for kind in _REGISTRIES}
    modules = {_REGISTRIES[kind].load(choice.name).__module__ for kind, choice in chosen}
    used = {
        *own,
        *(folder / name for name in _BELOW),
        *(Path(sys.modules[m].__file__ or "") for m in modules),
    }
    digest = hashlib.sha256()
    for path in sorted(used):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
