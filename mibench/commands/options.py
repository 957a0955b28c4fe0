"""Options that several commands have: the settings of a grid, where it runs, and where its records go."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_type_hints

import typer

from mibench.commands.console import Debug, Json, Quiet, explained
from mibench.grid import SETTINGS, one_of

Settings: TypeAlias = dict[str, Any]
"""The settings that a user gave on the command line, as texts."""

Unit = Annotated[str, typer.Option(metavar="NAME", help="nats or bits, for the table and the figures.")]


@dataclass(frozen=True)
class Running:
    """The options of the commands that run what is missing in a results store, and show the results."""

    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FOLDER", envvar="MIBENCH_OUT", help="Folder for records, tables, figures."
        ),
    ] = Path("results")
    rerun: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help="never: repeat no finished run (failed ones are tried again); "
            "failed: only those that failed before; all: everything.",
        ),
    ] = "never"
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/K",
            help="Run part I of K equal parts of the grid, and draw nothing: for the jobs of an array.",
        ),
    ] = None
    unit: Unit = "nats"
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and run nothing.")] = False
    as_json: Json = False
    quiet: Quiet = False

    def __post_init__(self) -> None:
        from mibench.api.run import RERUN

        one_of(self.rerun, "rerun", RERUN)
        check_unit(self.unit)


def check_unit(unit: str) -> None:
    """Raise a UsageError for an unknown unit."""
    from mibench.analysis.cells import UNITS

    one_of(unit, "unit", UNITS)


def command(
    verb: str = "", only: Collection[str] = SETTINGS, without: Collection[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command: mistakes are explained, and there is a --debug.

    In place of its parameter `settings` the command has an option for each setting, with the verb's defaults,
    and gets those that the user gave. In place of a parameter that is a dataclass, such as `Running`, it has
    an option for each of the fields.
    """
    names = [name for name in SETTINGS if name in only and name not in without]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(function, include_extras=True)
        groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
        parameters: list[inspect.Parameter] = []
        for own in inspect.signature(function).parameters.values():
            if own.name == "settings":
                parameters += [_setting(name, verb) for name in names]
            elif own.name in groups:
                parameters += _fields(groups[own.name])
            else:
                parameters.append(_parameter(own.name, hints[own.name], own.default))
        parameters.append(_parameter("debug", Debug, False))

        @functools.wraps(function)
        def wrapped(*, debug: bool = False, **given: Any) -> None:  # noqa: ANN401 - what the command takes
            settings = {name: given.pop(name) for name in names if name in given}
            if "settings" in hints:
                given["settings"] = {k: v for k, v in settings.items() if v not in (None, [])}
            for name, group in groups.items():
                given[name] = group(**{each.name: given.pop(each.name) for each in fields(group)})
            function(**given)

        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
        return explained(wrapped)

    return decorate


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:  # noqa: ANN401 - of any type
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _fields(group: type[Any]) -> Iterator[inspect.Parameter]:
    """Yield the options that are the fields of a dataclass."""
    hints = get_type_hints(group, include_extras=True)
    for each in fields(group):
        yield _parameter(each.name, hints[each.name], each.default)


def _setting(name: str, verb: str) -> inspect.Parameter:
    """Return the option of a setting as a parameter; its default is in words."""
    about = SETTINGS[name]
    usual = about.default_of(verb)
    words = about.help + (f" [default: {usual}]" if usual else "")
    annotation = list[str] | None if about.many else str | None
    return _parameter(name, annotation, typer.Option(None, *about.flags, metavar=about.metavar, help=words))
