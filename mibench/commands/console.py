"""What all commands share: messages, errors, the log, progress bars and tables."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NoReturn, ParamSpec

import typer

from mibench.errors import StoreWarning, UsageError

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from mibench.reports.tables import Table

P = ParamSpec("P")

FRAME = re.compile(r'File "(.+?)", line (\d+), in (.+)')
"""A place in a traceback."""

PADDING = 3
"""Spaces beside each column of a table, at most."""

FINE, ANSWERED_NO, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130

Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout and nothing else.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of every error, and the log.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


def explained(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a user's mistake into two lines and status 2, Ctrl-C into status 130, and show what is logged."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        debug = bool(kwargs.get("debug"))
        try:
            with _logged(debug), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # library warnings are not actionable here
                warnings.simplefilter("always", StoreWarning)
                warnings.showwarning = _show_warning
                command(*args, **kwargs)
        except UsageError as error:
            _end_with(error.what, error.how, debug)
        except BrokenPipeError:  # the reader of stdout has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(FINE) from None
        except OSError as error:
            where = f" {error.filename!r}" if error.filename else ""
            _end_with(f"cannot read or write{where}: {error.strerror}.", "Give another --out folder.", debug)
        except KeyboardInterrupt:
            say("Interrupted.")
            raise typer.Exit(INTERRUPTED) from None

    return wrapped


def _end_with(what: str, how: str, debug: bool) -> NoReturn:
    """Say what is wrong, after its traceback with --debug, and end the command."""
    if debug:
        say(traceback.format_exc().rstrip())
    say(f"Error: {what}", how)
    raise typer.Exit(BAD_USAGE) from None


@contextmanager
def _logged(debug: bool) -> Iterator[None]:
    """Show what the package logs while a command runs, and leave logging as it was."""
    logger, handler = logging.getLogger("mibench"), _Log(debug)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.end()


class _Log(logging.Handler):
    """Each distinct error once: with --debug its traceback at once, else a line at the end of the command."""

    def __init__(self, debug: bool) -> None:
        super().__init__()
        self._debug = debug
        self._errors: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record, or keep its error for the end."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            say(f"{record.levelname.capitalize()}: {record.getMessage()}")
            return
        line = _in_a_line(error)
        if self._debug:
            say(f"{record.levelname.capitalize()}: {record.getMessage()}")
            say(line if line in self._errors else "".join(traceback.format_exception(error)).rstrip())
        self._errors[line] = None

    def end(self) -> None:
        """Say which errors there were."""
        if self._errors and not self._debug:
            say(*self._errors, "--debug shows the traceback.")


def _in_a_line(error: BaseException) -> str:
    """Return an error with the place where it was raised."""
    text = " ".join(traceback.format_exception_only(error)[0].split())
    frames = [
        (frame.filename, frame.lineno, frame.name) for frame in traceback.extract_tb(error.__traceback__)
    ]
    # The error of another process has its traceback in a note.
    noted = [FRAME.findall(note) for note in getattr(error, "__notes__", ())]
    places = [place for note in noted for place in note] or frames
    return "{} ({}, line {}, in {})".format(text, *places[-1]) if places else text


def say(*lines: str) -> None:
    """Write lines to stderr."""
    for line in lines:
        typer.echo(line, err=True)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    say(f"Warning: {message}")


@contextmanager
def progress(title: str, total: float, quiet: bool) -> Iterator[Callable[[float], None]]:
    """Show a bar on stderr while the block runs; the block reports how much of the total is done."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    if quiet or not total:
        yield lambda work: None
        return
    columns = (*Progress.get_default_columns(), TextColumn("left, elapsed:"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda work: bar.update(task, advance=work)


def show_json(content: object) -> None:
    """Write JSON to stdout."""
    typer.echo(json.dumps(content, allow_nan=False))


def show_table(shown: Table) -> None:
    """Write a table to stdout."""
    from rich.console import Console

    # Numbers are never cut: a table that is too wide for the terminal overflows it.
    grid, natural = drawn(shown)
    Console(highlight=False, width=natural).print(grid, markup=False)


def drawn(shown: Table) -> tuple[RichTable, int]:
    """Return a table as it is drawn in a terminal, and its natural width."""
    from rich import box
    from rich.cells import cell_len
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
    return grid, sum(widths) + PADDING * len(widths)
