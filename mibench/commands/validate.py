"""`mibench validate`: does a class do what it promises?"""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mibench.commands.console import ANSWERED_NO, Json, say, show_json
from mibench.commands.options import command

if TYPE_CHECKING:
    from mibench.testing.conformance import Conformance

SCHEMA = 1


@command()
def validate(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Estimators, tasks, models or encoders, such as nwj or 'nce[k=5]', or a class of your own "
            "as module:Class."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Validate every estimator, task, model and encoder.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Test that a class does what it promises: bound, ceiling, invariances, gradient, exact values, shapes.

    One line per property: ok, FAILED with what was expected and seen, or an expected exception with the
    reason that the class declares. Everything random has a fixed seed. Exit status: 0 fine, 1 a property
    fails, 2 bad usage, 130 interrupted.
    """
    from mibench.api.validate import subjects

    sys.path.insert(0, "")  # module:Class in the folder where the command is given
    found = []
    for subject in subjects(names or [], everything):
        found.append(subject.examine())
        if not as_json:
            _show(found[-1])
    broken = [f"{one.kind} {one.name}" for one in found if not one.fine]
    if as_json:
        show_json({"schema": SCHEMA, "fine": not broken, "validated": [_to_json(one) for one in found]})
    count = sum(len(one.results) for one in found)
    if broken:
        say(f"Not as promised: {', '.join(broken)}.")
        raise typer.Exit(ANSWERED_NO)
    say(f"{len(found)} validated, {count} properties: all as promised.")


def _show(found: Conformance) -> None:
    typer.echo(f"{found.kind} {found.name}")
    for result in found.results:
        typer.echo(f"  {result}")


def _to_json(found: Conformance) -> dict[str, Any]:
    results = [dataclasses.asdict(result) for result in found.results]
    return {"kind": found.kind, "name": found.name, "fine": found.fine, "properties": results}
