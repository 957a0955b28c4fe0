"""Options that several commands have: the settings of a grid, where it runs, and where its records go."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_type_hints

import typer

from mibench.grid import SETTINGS, FitArguments, GridArguments, one_of, settings_of

Settings: TypeAlias = dict[str, Any]
"""The settings that a user gave on the command line, as texts."""

NONE: Settings = {}
"""Stands for the options in a command's signature, where others with defaults precede them."""

Out = Annotated[
    Path,
    typer.Option(
        "--out", "-o", metavar="FOLDER", envvar="MIBENCH_OUT", help="Folder for records, tables, figures."
    ),
]
Rerun = Annotated[
    str,
    typer.Option(
        metavar="WHICH",
        help="never: repeat no finished run (failed ones are tried again); "
        "failed: only those that failed before; all: everything.",
    ),
]
Unit = Annotated[str, typer.Option(metavar="NAME", help="nats or bits, for the table and the figures.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would run, and run nothing.")]


def check(rerun: str = "never", unit: str = "nats") -> None:
    """Raise a UsageError where one of these options cannot have its value."""
    from mibench.analysis.cells import UNITS
    from mibench.api.run import RERUN

    one_of(rerun, "rerun", RERUN)
    one_of(unit, "unit", UNITS)


def with_settings(
    verb: str, only: Collection[str] = SETTINGS, without: Collection[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each setting of a verb, in place of its parameter `settings`.

    The command gets in `settings` those that the user gave.
    """
    arguments = FitArguments if verb == "estimate" else GridArguments
    names = [name for name in settings_of(arguments, without) if name in only]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(command, include_extras=True)
        parameters: list[inspect.Parameter] = []
        for own in inspect.signature(command).parameters.values():
            if own.name == "settings":
                parameters += [_option(name, verb) for name in names]
            else:
                parameters.append(own.replace(annotation=hints[own.name]))

        @functools.wraps(command)
        def wrapped(**given: Any) -> None:  # noqa: ANN401 - what the command takes
            settings = {name: given.pop(name) for name in names}
            command(settings={k: v for k, v in settings.items() if v not in (None, [])}, **given)

        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
        return wrapped

    return decorate


def _option(name: str, verb: str) -> inspect.Parameter:
    """Return the option of a setting as a parameter; its default is in words."""
    about = SETTINGS[name]
    default = about.default_of(verb)
    words = about.help + (f" [default: {default}]" if default else "")
    return inspect.Parameter(
        name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=typer.Option(None, *about.flags, metavar=about.placeholder, help=words),
        annotation=list[str] | None if about.many else str | None,
    )
