"""`mibench estimate`: the mutual information of one's own data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mibench.commands import options
from mibench.commands.console import ANSWERED_NO, Debug, Json, Quiet, explained, progress, say, show_table

if TYPE_CHECKING:
    from mibench.api.estimate import Estimates


@explained
def estimate(
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
    estimator: Annotated[
        list[str] | None,
        typer.Option("--estimator", "-e", metavar="NAMES", help="[default: infonce,nwj,mine,smile]"),
    ] = None,
    n: Annotated[
        str | None,
        typer.Option(
            "-n", metavar="NUMBER", help="Size of the score matrix. [default: as the data allow, up to 500]"
        ),
    ] = None,
    critic: Annotated[
        str, typer.Option("--critic", "-c", metavar="NAME", help="separable, bilinear or joint.")
    ] = "separable",
    seeds: Annotated[list[str] | None, options.seed_count(5)] = None,
    steps: Annotated[str, typer.Option(metavar="NUMBER", help="Training steps at most.")] = "2000",
    lr: Annotated[
        str | None, typer.Option("--lr", metavar="NUMBER", help="Learning rate. [default: 0.0005]")
    ] = None,
    no_shuffle: Annotated[
        bool, typer.Option("--no-shuffle", help="Leave out the check with y shuffled.")
    ] = False,
    device: options.Device = "auto",
    unit: options.Unit = "nats",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Estimate the mutual information of your own data, with an interval, the ceiling and a check.

    Each seed splits the rows into train, validation and test (60/20/20); the value is from the test rows,
    which no critic has seen. Exit status: 0 fine, 1 some runs failed, 2 bad usage, 130 interrupted.
    """
    from mibench.analysis.cells import UNITS
    from mibench.api import datafiles
    from mibench.api import estimate as estimating
    from mibench.api import plan as planning

    planning.one_of(unit, "unit", UNITS)
    values_x, values_y = datafiles.read(data, _names(x), _names(y))
    prepared = estimating.prepare(
        values_x,
        values_y,
        estimator or estimating.DEFAULT_ESTIMATORS,
        n=n,
        critic=critic,
        seeds=seeds or estimating.DEFAULT_SEEDS,
        steps=steps,
        lr=lr,
        shuffle=not no_shuffle,
        device=device,
    )
    say(prepared.device_message)
    packs = prepared.packs(prepared.specs)
    title = f"Training {sum(len(pack.trainings) for pack in packs)} critics"
    with progress(title, sum(pack.work for pack in packs), quiet) as report:
        found = estimating.run(prepared, report)
    _show(found, unit, as_json)
    if found.table["failed"].any():
        raise typer.Exit(ANSWERED_NO)


def _names(texts: list[str] | None) -> list[str] | None:
    return None if texts is None else [name.strip() for text in texts for name in text.split(",")]


def _show(found: Estimates, unit: str, as_json: bool) -> None:
    from mibench.analysis.cells import in_unit
    from mibench.reports.estimates import table
    from mibench.store.record import SCHEMA, to_json

    shown = in_unit(found.table, unit)
    if as_json:
        content = {
            "schema": SCHEMA,
            "n": found.n,
            "rows": found.rows,
            "parts": found.parts,
            "estimates": to_json(shown),
            "runs": to_json(found.runs),
            "warnings": found.warnings,
        }
        typer.echo(json.dumps(content, allow_nan=False))
        return
    show_table(table(shown, found.n, found.parts, unit))
    for warning in found.warnings:
        say(f"Warning: {warning}")
