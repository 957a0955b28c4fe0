"""`mibench compare`: estimators against each other on the same data."""

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
    from mibench.analysis.comparison import Comparison


@explained
@options.with_settings("compare", without=("estimator",))
def compare(
    estimators: Annotated[
        list[str], typer.Argument(help="Two estimators or more, such as infonce or nce[k=5].")
    ],
    settings: options.Settings,
    alpha: Annotated[
        str, typer.Option(metavar="NUMBER", help="Probability of any false difference in the table.")
    ] = "0.05",
    out: options.Out = Path("results"),
    rerun: options.Rerun = "never",
    unit: options.Unit = "nats",
    dry_run: options.DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare estimators: bias, standard deviation and RMSE, cost, and paired tests on the same data.

    Runs what is missing in --out. Writes tables (CSV, Markdown, LaTeX with booktabs and siunitx) and figures.
    Exit status: 0 fine, 1 some runs failed, 2 bad usage, 130 interrupted.
    """
    from mibench.analysis.comparison import compare as compare_records
    from mibench.api.compare import check_alpha, check_several
    from mibench.api.plan import plan_grid
    from mibench.grid import read
    from mibench.store.record import to_frame

    options.check(rerun, unit)
    level = check_alpha(alpha)
    planned = plan_grid(read("compare", {"estimator": estimators, **settings}))
    check_several(spec.estimator.label for spec in planned.specs)
    if dry_run:
        show_plan(planned, out, rerun, as_json)
        return
    records = run_grid(planned, out, rerun, quiet)
    if records:
        from mibench.reports.output import write_comparison  # seaborn takes two seconds to import

        comparison = compare_records(to_frame(records), level)
        paths = write_comparison(comparison, out, unit)
        say(f"Written to {out}: {', '.join(path.name for path in paths)}")
        _show(comparison, unit, as_json)
    end_with_failures(records)


def _show(comparison: Comparison, unit: str, as_json: bool) -> None:
    from mibench.analysis.cells import in_unit
    from mibench.reports.comparison_tables import cells_table, pairs_table
    from mibench.store.record import SCHEMA, to_json

    if as_json:
        content = {
            "schema": SCHEMA,
            "alpha": comparison.alpha,
            "seeds_needed": comparison.seeds_needed,
            "cells": to_json(in_unit(comparison.cells, unit)),
            "pairs": to_json(in_unit(comparison.pairs, unit)),
        }
        typer.echo(json.dumps(content, allow_nan=False))
        return
    show_table(cells_table(comparison, unit))
    show_table(pairs_table(comparison, unit))
