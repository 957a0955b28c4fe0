"""`mibench run`: a grid of estimators on tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mibench.commands import options
from mibench.commands.console import Debug, Json, Quiet, explained, say, show_table
from mibench.commands.grids import dry_run as show_plan
from mibench.commands.grids import end_with_failures, run_grid

if TYPE_CHECKING:
    import pandas as pd


@explained
@options.with_settings("run")
def run(
    settings: options.Settings,
    out: options.Out = Path("results"),
    rerun: options.Rerun = "never",
    unit: options.Unit = "nats",
    dry_run: options.DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run estimators on tasks, and show their bias against n, the exact model and the ceiling.

    Every list is comma-separated or repeated; the grid is every combination. Finished runs stay in --out
    and are not run again. Exit status: 0 fine, 1 some runs failed, 2 bad usage, 130 interrupted.
    """
    from mibench.api.plan import plan_grid
    from mibench.grid import read
    from mibench.store.record import to_frame

    options.check(rerun, unit)
    planned = plan_grid(read("run", settings))
    if dry_run:
        show_plan(planned, out, rerun, as_json)
        return
    records = run_grid(planned, out, rerun, quiet)
    frame = to_frame(records)
    if records:
        from mibench.reports.output import write_tables  # seaborn takes two seconds to import

        paths = write_tables(frame, out, unit)
        say(f"Written to {out}: {', '.join(path.name for path in paths)}")
    if records or as_json:
        _show(frame, unit, as_json)
    end_with_failures(records)


def _show(frame: pd.DataFrame, unit: str, as_json: bool) -> None:
    from mibench.analysis.cells import in_unit, summarise
    from mibench.analysis.representations import representations
    from mibench.reports import tables
    from mibench.reports.representation_tables import table as representations_table
    from mibench.store.record import SCHEMA, to_json

    summary, encoded = summarise(frame), representations(frame)
    if as_json:
        content = {
            "schema": SCHEMA,
            "records": to_json(frame),
            "summary": to_json(in_unit(summary, unit)),
        }
        if len(encoded):
            content["representations"] = to_json(in_unit(encoded, unit))
        typer.echo(json.dumps(content, allow_nan=False))
        return
    show_table(tables.table(summary, unit))
    if len(encoded):
        show_table(representations_table(encoded, unit))
