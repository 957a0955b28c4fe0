"""What all commands share: how they talk, how they fail, and how they show progress and tables."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, ParamSpec

import typer

from mibench.errors import StoreWarning, UsageError

if TYPE_CHECKING:
    from mibench.reports.tables import Table

P = ParamSpec("P")

PADDING = 3
"""Blanks beside each column of a table, at most."""

FINE, ANSWERED_NO, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130

Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout and nothing else.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


def explained(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a user's mistake into two lines and status 2, and Ctrl-C into status 130."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a library's warning says nothing to its user's users
                warnings.simplefilter("always", StoreWarning)
                warnings.showwarning = _show_warning
                command(*args, **kwargs)
        except UsageError as error:
            if kwargs.get("debug"):
                raise
            say(f"Error: {error.what}", f"{error.how}")
            raise typer.Exit(BAD_USAGE) from None
        except OSError as error:
            if kwargs.get("debug"):
                raise
            where = f" {error.filename!r}" if error.filename else ""
            say(f"Error: cannot read or write{where}: {error.strerror}.", "Give another --out folder.")
            raise typer.Exit(BAD_USAGE) from None
        except KeyboardInterrupt:
            say("Interrupted.")
            raise typer.Exit(INTERRUPTED) from None

    return wrapped


def say(*lines: str) -> None:
    """Write lines to stderr."""
    for line in lines:
        typer.echo(line, err=True)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    say(f"Warning: {message}")


@contextmanager
def progress(title: str, total: float, quiet: bool) -> Iterator[Callable[[float], None]]:
    """Show a bar on stderr while the block runs; the block says how much of the total is done."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    if quiet:
        yield lambda work: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda work: bar.update(task, advance=work)


def show_table(shown: Table) -> None:
    """Write a table to stdout."""
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(
        box=box.SIMPLE_HEAD,
        title=Text(shown.caption),  # no text of ours is markup: smile[tau=1] would be
        caption=Text("\n".join(shown.notes)),
        pad_edge=False,
        collapse_padding=True,
    )
    widths = [max(map(cell_len, column)) for column in zip(shown.titles, *shown.rows, strict=True)]
    for index, (title, width) in enumerate(zip(shown.titles, widths, strict=True)):
        grid.add_column(title, justify="left" if index == 0 else "right", no_wrap=True, min_width=width)
    for row in shown.rows:
        grid.add_row(*row)
    # A number is never cut: a table that is too wide for the terminal runs over.
    natural = sum(widths) + PADDING * len(widths)
    Console(highlight=False, width=natural).print(grid, markup=False)
