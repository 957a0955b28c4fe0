"""`mibench estimate`: the mutual information of your own data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mibench.commands.console import ANSWERED_NO, Json, Quiet, say, show_json, show_table
from mibench.commands.grids import observer
from mibench.commands.options import Settings, Unit, check_unit, command
from mibench.grid import FitArguments, items, read

if TYPE_CHECKING:
    from mibench.api.estimate import Estimates


@command("estimate", only=("estimator", *FitArguments.__annotations__))
def estimate(
    *,
    data: Annotated[
        list[Path], typer.Argument(help="One .npz, .csv or .parquet file, or two .npy files: x, then y.")
    ],
    x: Annotated[
        list[str] | None,
        typer.Option(
            "--x", metavar="NAMES", help="Columns of x: names, or patterns such as 'x_*'. [default: x*]"
        ),
    ] = None,
    y: Annotated[
        list[str] | None,
        typer.Option("--y", metavar="NAMES", help="Columns of y. [default: y*]"),
    ] = None,
    settings: Settings,
    train: Annotated[
        str, typer.Option(metavar="SHARE", help="Share of the rows on which models are trained.")
    ] = "0.6",
    validation: Annotated[
        str,
        typer.Option(
            metavar="SHARE", help="Share of the rows that decide when to stop; the rest is the test part."
        ),
    ] = "0.2",
    no_shuffle: Annotated[
        bool, typer.Option("--no-shuffle", help="Leave out the check with y shuffled.")
    ] = False,
    unit: Unit = "nats",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Estimate the mutual information of your own data, with an interval, the ceiling and a check.

    Each seed splits the rows into train, validation and test; the value is from the test rows, which no model
    has seen. Exit status: 0 fine, 1 some runs failed, 2 bad usage, 130 interrupted.
    """
    from mibench.api import datafiles
    from mibench.api import estimate as estimating

    check_unit(unit)
    sides = datafiles.read(data, x and items(x), y and items(y))
    grid = read("estimate", settings)
    prepared = estimating.prepare(*sides, grid, train=train, validation=validation, shuffle=not no_shuffle)
    found = estimating.run(prepared, observer(quiet))
    _show(found, unit, as_json)
    if found.table["failed"].any():
        raise typer.Exit(ANSWERED_NO)


def _show(found: Estimates, unit: str, as_json: bool) -> None:
    from mibench.analysis.cells import in_unit
    from mibench.reports.estimates import table
    from mibench.store.record import SCHEMA, to_json

    shown = in_unit(found.table, unit)
    if as_json:
        show_json(
            {
                "schema": SCHEMA,
                "n": found.n,
                "rows": found.rows,
                "parts": found.parts,
                "estimates": to_json(shown),
                "runs": to_json(found.runs),
                "warnings": found.warnings,
            }
        )
        return
    show_table(table(shown, found.n, found.parts, unit))
    say(*(f"Warning: {warning}" for warning in found.warnings))
