"""`mibench watch`: a live view of a store that is being written."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mibench.commands.console import Json, drawn, say, show_json
from mibench.commands.options import Unit, command
from mibench.errors import UsageError
from mibench.options import real_number

if TYPE_CHECKING:
    from rich.console import Group

    from mibench.store.presence import Progress

Present = list[tuple["Progress", float]]


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
    from mibench.store.presence import SILENT_SECONDS, present

    check_unit(unit)
    seconds = real_number(interval, "interval")
    if seconds <= 0:
        raise UsageError(f"interval must be positive, not {seconds:g}.", "Give it in seconds, such as 5.")
    if not folder.is_dir():
        raise UsageError(f"There is no folder {str(folder)!r}.", "Give the --out folder of mibench run.")
    if as_json:
        show_json(_content(folder, present(folder)))
        return
    from rich.live import Live

    with Live(_view(folder, present(folder), unit), auto_refresh=False, vertical_overflow="visible") as live:
        while not once and any(age <= SILENT_SECONDS for _, age in present(folder)):
            time.sleep(seconds)
            live.update(_view(folder, present(folder), unit), refresh=True)
    if not any(age <= SILENT_SECONDS for _, age in present(folder)):
        say("No process is at work there.")


def _content(folder: Path, there: Present) -> dict[str, object]:
    from mibench.analysis.cells import summarise
    from mibench.store.record import SCHEMA, to_frame, to_json
    from mibench.store.segments import Store

    records = list(Store(folder).load().values())
    return {
        "schema": SCHEMA,
        "processes": [
            asdict(progress) | {"silent_s": age if math.isfinite(age) else None} for progress, age in there
        ],
        "finished": sum(record.status == "ok" for record in records),
        "failed": sum(record.status != "ok" for record in records),
        "summary": to_json(summarise(to_frame(records))) if records else [],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _view(folder: Path, there: Present, unit: str) -> Group:
    from rich.console import Group
    from rich.text import Text

    from mibench.analysis.cells import summarise
    from mibench.reports import progress, tables
    from mibench.store.record import to_frame
    from mibench.store.segments import Store

    records = list(Store(folder).load().values())
    failed = sum(record.status != "ok" for record in records)
    head = f"{folder}: {len(records) - failed} runs finished, {failed} failed"
    cells = [drawn(tables.table(summarise(to_frame(records)), unit))[0]] if records else []
    at_work = [drawn(progress.table(there))[0]] if there else []
    return Group(*cells, Text(head), *at_work)
