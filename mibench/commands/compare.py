"""`mibench compare`: estimators against each other on the same data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mibench.commands.console import show_json, show_table
from mibench.commands.grids import run_and_show, say_written
from mibench.commands.options import Running, Settings, command

if TYPE_CHECKING:
    import pandas as pd


@command("compare", without=("estimator",))
def compare(
    *,
    estimators: Annotated[
        list[str], typer.Argument(help="Two estimators or more, such as infonce or nce[k=5].")
    ],
    settings: Settings,
    alpha: Annotated[
        str, typer.Option(metavar="NUMBER", help="Probability of any false verdict in the table.")
    ] = "0.05",
    running: Running,
) -> None:
    """Compare estimators: bias, standard deviation and RMSE, cost, and which is nearer the truth.

    Which of two is nearer on most seeds is tested by exact sign tests on the same data, adjusted by Holm's
    method. The tests assume that seeds are independent, and nothing else.

    Runs what is missing in --out. Writes tables (CSV, Markdown, LaTeX with booktabs and siunitx) and figures.
    Exit status: 0 fine, 1 some runs failed, 2 bad usage, 130 interrupted.
    """
    from mibench.api.compare import prepare

    planned, level = prepare({"estimator": estimators, **settings}, alpha)
    run_and_show(planned, running, lambda frame: _show(frame, level, running))


def _show(frame: pd.DataFrame, alpha: float, running: Running) -> None:
    from mibench.analysis.cells import in_unit
    from mibench.analysis.comparison import compare as compare_records
    from mibench.reports.comparison_tables import cells_table, pairs_table
    from mibench.reports.output import write_comparison  # seaborn takes two seconds to import
    from mibench.store.record import SCHEMA, to_json

    if not len(frame):
        return
    comparison = compare_records(frame, alpha)
    say_written(write_comparison(comparison, running.out, running.unit), running.out)
    if running.as_json:
        show_json(
            {
                "schema": SCHEMA,
                "alpha": comparison.alpha,
                "seeds_needed": comparison.seeds_needed,
                "cells": to_json(in_unit(comparison.cells, running.unit)),
                "pairs": to_json(in_unit(comparison.pairs, running.unit)),
            }
        )
        return
    show_table(cells_table(comparison, running.unit))
    show_table(pairs_table(comparison, running.unit))
