"""`mibench watch`: a live view of a store that is being written."""

from __future__ import annotations

import math
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mibench.commands.console import Json, drawn, say, show_json, show_table
from mibench.commands.options import Unit, command
from mibench.errors import StoreWarning, UsageError
from mibench.options import real_number
from mibench.store.presence import SILENT_SECONDS, Progress, present

if TYPE_CHECKING:
    from mibench.reports.tables import Table
    from mibench.store.record import Record

Present = list[tuple[Progress, float]]


@command()
def watch(
    folder: Annotated[
        Path, typer.Argument(help="A results folder, on this machine or a shared disk.")
    ] = Path("results"),
    interval: Annotated[str, typer.Option(metavar="SECONDS", help="How often the view is renewed.")] = "5",
    once: Annotated[bool, typer.Option("--once", help="Show the present state and end.")] = False,
    unit: Unit = "nats",
    as_json: Json = False,
) -> None:
    """Show what is finished in a results folder and which processes are at work there, until they have ended.

    Runs finished, failed and left, the rate and the time left of each process, and the cells so far. It only
    reads. Exit status: 0 fine, 2 bad usage, 130 interrupted.
    """
    from mibench.commands.options import check_unit

    check_unit(unit)
    seconds = real_number(interval, "interval")
    if seconds <= 0:
        raise UsageError(f"interval must be positive, not {seconds:g}.", "Give it in seconds, such as 5.")
    if not folder.is_dir():
        raise UsageError(f"There is no folder {str(folder)!r}.", "Give the --out folder of mibench run.")
    if as_json:
        show_json(_content(folder, present(folder)))
        return
    if once or not sys.stdout.isatty():
        _print(folder, present(folder), unit)
    else:
        _follow(folder, seconds, unit)
    if not _at_work(folder):
        say("No process is at work there.")


def _at_work(folder: Path) -> bool:
    return any(age <= SILENT_SECONDS for _, age in present(folder))


def _follow(folder: Path, seconds: float, unit: str) -> None:
    """Show the state anew every few seconds while a process is at work."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    def view() -> Group:
        head, shown = _state(folder, present(folder), unit)
        return Group(Text(head), *(drawn(table)[0] for table in shown))  # what does not fit is cut below

    with Live(view(), auto_refresh=False) as live:
        while _at_work(folder):
            time.sleep(seconds)
            live.update(view(), refresh=True)


def _print(folder: Path, there: Present, unit: str) -> None:
    head, shown = _state(folder, there, unit)
    typer.echo(head)
    for table in shown:
        show_table(table)


def _state(folder: Path, there: Present, unit: str) -> tuple[str, list[Table]]:
    """Return how many runs have ended, and the tables of cells and of processes."""
    from mibench.analysis.cells import summarise
    from mibench.reports import progress, tables
    from mibench.store.record import to_frame

    records = _records(folder)
    failed = sum(record.status != "ok" for record in records)
    shown = [progress.table(there)] if there else []
    if records:
        shown.append(tables.table(summarise(to_frame(records)), unit))
    return f"{folder}: {len(records) - failed} runs finished, {failed} failed", shown


def _records(folder: Path) -> list[Record]:
    """Return the records of a store; lines that are being written are no news."""
    from mibench.store.segments import Store

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        return list(Store(folder).load().values())


def _content(folder: Path, there: Present) -> dict[str, object]:
    from mibench.analysis.cells import summarise
    from mibench.store.record import SCHEMA, to_frame, to_json

    records = _records(folder)
    return {
        "schema": SCHEMA,
        "processes": [asdict(progress) | {"silent_s": _finite(age)} for progress, age in there],
        "finished": sum(record.status == "ok" for record in records),
        "failed": sum(record.status != "ok" for record in records),
        "summary": to_json(summarise(to_frame(records))) if records else [],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
