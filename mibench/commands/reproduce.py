"""`mibench reproduce`: a published protocol, and its numbers beside ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mibench.commands.console import say, show_json, show_table
from mibench.commands.grids import run_and_show, say_written
from mibench.commands.options import Running, Settings, command
from mibench.grid import PLACES

if TYPE_CHECKING:
    import pandas as pd

    from mibench.api.reproduce import Suite


@command("reproduce", only=("seeds", *PLACES))
def reproduce(
    *,
    suite: Annotated[
        str,
        typer.Argument(
            help="song-ermon-2020, lee-rhee-2024, poole-2019, or the path of a TOML file like them."
        ),
    ],
    critic: Annotated[
        list[str] | None,
        typer.Option("--critic", "-c", metavar="NAME", help="One of the suite's critics. [default: all]"),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMES", help="Only these of its estimators: infonce,smile. [default: all]"),
    ] = None,
    settings: Settings,
    running: Running,
) -> None:
    """Run a published protocol, show ours beside the published numbers, and draw the paper's figure.

    Finished runs stay in --out and are not run again; --dry-run says how long it takes. Exit status: 0 fine,
    1 some runs failed, 2 bad usage, 130 interrupted.
    """
    from mibench.api.reproduce import load

    chosen = load(suite)
    published = chosen.published_numbers()
    planned = chosen.plan(critic, only, **settings)
    run_and_show(planned, running, lambda frame: _show(frame, chosen, published, running))


def _show(frame: pd.DataFrame, suite: Suite, published: pd.DataFrame | None, running: Running) -> None:
    from mibench.analysis.cells import in_unit
    from mibench.analysis.reproduction import beside
    from mibench.reports.output import write_reproduction  # seaborn takes two seconds to import
    from mibench.reports.reproduction_tables import table
    from mibench.store.record import SCHEMA, to_json

    if not len(frame):
        return
    named = suite.named(frame)
    rows = beside(named, published)
    shown = table(rows, list(suite.notes), running.unit)
    paths = write_reproduction(rows, shown, named, running.out, suite.title, running.unit)
    if not any(path.stem.startswith("staircase") for path in paths):
        say("No curves are stored beside these runs, so no staircase is drawn: --rerun all makes them.")
    say(suite.title)
    say_written(paths, running.out)
    if running.as_json:
        show_json({"schema": SCHEMA, "rows": to_json(in_unit(rows, running.unit))})
    else:
        show_table(shown)
