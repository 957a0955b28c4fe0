"""`mibench reproduce`: a published protocol, and its numbers beside ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mibench.commands import options
from mibench.commands.console import Debug, Json, Quiet, explained, say, show_table
from mibench.commands.grids import dry_run as show_plan
from mibench.commands.grids import end_with_failures, run_grid

if TYPE_CHECKING:
    import pandas as pd


@explained
@options.with_settings("reproduce", only=("seeds", "device"))
def reproduce(
    suite: Annotated[
        str, typer.Argument(help="song-ermon-2020, poole-2019, or the path of a TOML file like them.")
    ],
    critic: Annotated[
        list[str] | None,
        typer.Option("--critic", "-c", metavar="NAME", help="One of the suite's critics. [default: all]"),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMES", help="Only these of its estimators: infonce,smile. [default: all]"),
    ] = None,
    settings: options.Settings = options.NONE,
    out: options.Out = Path("results"),
    rerun: options.Rerun = "never",
    unit: options.Unit = "nats",
    dry_run: options.DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run a published protocol, show ours beside the published numbers, and draw the paper's figure.

    Finished runs stay in --out and are not run again; --dry-run says how long it takes. Exit status: 0 fine,
    1 some runs failed, 2 bad usage, 130 interrupted.
    """
    from mibench.analysis import reproduction
    from mibench.api import reproduce as reproducing
    from mibench.reports import reproduction_tables
    from mibench.store.record import to_frame

    options.check(rerun, unit)
    chosen = reproducing.load(suite)
    published = chosen.published_numbers()
    planned = chosen.plan(critic, only, **settings)
    if dry_run:
        show_plan(planned, out, rerun, as_json)
        return
    records = run_grid(planned, out, rerun, quiet)
    if records:
        from mibench.reports.output import write_reproduction  # seaborn takes two seconds to import

        named = chosen.named(to_frame(records))
        rows = reproduction.beside(named, published)
        shown = reproduction_tables.table(rows, list(chosen.notes), unit)
        paths = write_reproduction(rows, shown, named, out, chosen.title, unit)
        if not any(path.stem.startswith("staircase") for path in paths):
            say("No curves are stored beside these runs, so no staircase is drawn: --rerun all makes them.")
        say(chosen.title, f"Written to {out}: {', '.join(path.name for path in paths)}")
        if as_json:
            _show_json(rows, unit)
        else:
            show_table(shown)
    end_with_failures(records)


def _show_json(rows: pd.DataFrame, unit: str) -> None:
    from mibench.analysis.cells import in_unit
    from mibench.store.record import SCHEMA, to_json

    typer.echo(json.dumps({"schema": SCHEMA, "rows": to_json(in_unit(rows, unit))}, allow_nan=False))
