"""`mibench list`, `describe` and `info`: what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mibench.commands.console import Json, show_json
from mibench.commands.options import command
from mibench.errors import UsageError, unknown

if TYPE_CHECKING:
    from collections.abc import Collection

    from mibench.registry import Entry, Registry

OWN = "mibench"


@command()
def list_names(
    *,
    kind: Annotated[
        str,
        typer.Argument(
            help="estimators, tasks, encoders, protocols, backends or models, or one kind of models, such as "
            "critics"
        ),
    ],
    as_json: Json = False,
) -> None:
    """List the estimators, tasks, encoders, models, protocols or backends, those of plug-ins included."""
    from mibench.api.registries import ALL

    registries = {f"{registry.kind}s": registry for registry in ALL}
    registry = registries.get(kind, registries["models"])
    broken, entries = registry.broken, dict(registry.entries)
    if kind not in registries:
        families = {name: _family(entry, broken) for name, entry in entries.items()}
        entries = {name: entry for name, entry in entries.items() if families[name] == kind}
        known = list(dict.fromkeys([*registries, *filter(None, families.values())]))
        if kind not in known:
            raise unknown("kind", kind, known, f"It is one of: {', '.join(known)}.")
    if as_json:
        rows = [
            {"name": e.name, "summary": e.summary, "origin": e.origin, "broken": broken.get(e.name)}
            for e in entries.values()
        ]
        show_json(rows)
        return
    width = max(map(len, entries), default=0)
    for name, entry in entries.items():
        what = f"broken ({entry.origin}): {broken[name]}" if name in broken else entry.summary
        typer.echo(f"{name:<{width}}  {what}")


def _family(entry: Entry, broken: Collection[str]) -> str:
    """Return the plural of the kind of a model: its folder's name; a plug-in's class has to be asked."""
    if entry.origin == OWN:
        return entry.family
    return "" if entry.name in broken else f"{entry.load().kind}s"


@command()
def describe(
    *,
    name: Annotated[
        str, typer.Argument(help="An estimator, a task, an encoder, a model, a protocol or a backend.")
    ],
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Show the BibTeX entry alone.")] = False,
    as_json: Json = False,
) -> None:
    """Describe an estimator, task, encoder, model, protocol or backend: formula, options, reference."""
    from mibench.api.registries import that_know
    from mibench.notation import parse

    bare, _ = parse(name, "estimator, task or model")
    facts = [_facts(registry, bare) for registry in that_know(name)]
    if bibtex:
        if "bibtex" not in facts[0]:
            raise UsageError(f"{bare!r} has no BibTeX entry.", "Estimators have one.")
        typer.echo(facts[0]["bibtex"])
    elif as_json:
        show_json(facts[0] if len(facts) == 1 else facts)
    else:
        for each in facts:
            _show_facts(each)


def _facts(registry: Registry[Any], name: str) -> dict[str, Any]:
    from mibench import estimators
    from mibench.options import describe_class

    facts = describe_class(registry.kind, name, registry.load(name))
    if registry is estimators.registry:
        objective = estimators.objective_of(registry.choose(name))
        trains = "nothing" if objective is None else f"a {objective.model}, by {objective.label}"
        facts = {"trains": trains, **facts}
    return facts


def _show_facts(facts: dict[str, Any]) -> None:
    options = facts.pop("options")
    facts.pop("bibtex", None)
    typer.echo(f"{facts.pop('name')} ({facts.pop('kind')}): {facts.pop('summary')}")
    for key, value in facts.items():
        typer.echo(f"  {key + ':':<11} {value}")
    typer.echo("  options:" + ("" if options else "    none"))
    for option in options:
        typer.echo(f"    {option['name']}={option['default']}: {option['help']}")


@command()
def info(as_json: Json = False) -> None:
    """Show versions, devices, threads and plug-ins."""
    from mibench.api.environment import environment

    facts = environment()
    if as_json:
        show_json(facts)
        return
    for key, value in facts.items():
        items = value if isinstance(value, list) else [value]
        typer.echo(f"{key + ':':<12} {', '.join(map(str, items)) or 'none'}")
