"""`mibench run`: a grid of estimators on tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mibench.commands.console import show_json, show_table
from mibench.commands.grids import run_and_show, say_written
from mibench.commands.options import Running, Settings, command

if TYPE_CHECKING:
    import pandas as pd


@command("run")
def run(settings: Settings, running: Running) -> None:
    """Run estimators on tasks, and show their bias against n, the exact model and the ceiling.

    Every list is comma-separated or repeated; the grid is every combination. Finished runs stay in --out
    and are not run again. Exit status: 0 fine, 1 some runs failed, 2 bad usage, 130 interrupted.
    """
    from mibench.api.plan import plan_grid
    from mibench.grid import read

    run_and_show(plan_grid(read("run", settings)), running, lambda frame: _show(frame, running))


def _show(frame: pd.DataFrame, running: Running) -> None:
    from mibench.analysis.cells import in_unit, summarise
    from mibench.analysis.representations import representations
    from mibench.reports import tables
    from mibench.reports.representation_tables import table as representations_table
    from mibench.store.record import SCHEMA, to_json

    unit = running.unit
    if len(frame):
        from mibench.reports.output import write_tables  # seaborn takes two seconds to import

        say_written(write_tables(frame, running.out, unit), running.out)
    elif not running.as_json:
        return
    summary, encoded = summarise(frame), representations(frame)
    content = {
        "schema": SCHEMA,
        "records": to_json(frame),
        "summary": to_json(in_unit(summary, unit)),
    }
    if len(encoded):
        content["representations"] = to_json(in_unit(encoded, unit))
    if running.as_json:
        show_json(content)
        return
    show_table(tables.table(summary, unit))
    if len(encoded):
        show_table(representations_table(encoded, unit))
