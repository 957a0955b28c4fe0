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
def compare(
    estimators: Annotated[
        list[str], typer.Argument(help="Two estimators or more, such as infonce or nce[k=5].")
    ],
    task: options.Tasks = ["gaussian"],  # noqa: B006 - Typer copies it
    dim: options.Dim = None,
    mi: options.Mi = None,
    rho: options.Rho = None,
    data: options.Data = None,
    encoder: options.Encoders = None,
    n: Annotated[list[str] | None, options.sizes("64")] = None,
    critic: options.Critics = None,
    protocol: options.Protocols = None,
    samples: options.SampleSizes = None,
    steps: options.Steps = None,
    seeds: Annotated[list[str] | None, options.seed_count(12)] = None,
    lr: options.LearningRate = None,
    schedule: options.Schedule = None,
    precision: options.Precision = "float32",
    device: options.Device = "auto",
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
    from mibench.analysis.cells import UNITS
    from mibench.analysis.comparison import compare as compare_records
    from mibench.api import compare as comparing
    from mibench.api import plan as planning
    from mibench.api.run import RERUN
    from mibench.store.record import to_frame

    planning.one_of(rerun, "rerun", RERUN)
    planning.one_of(unit, "unit", UNITS)
    level = comparing.check_alpha(alpha)
    planned = planning.plan(
        estimators,
        task,
        dim=dim,
        mi=mi,
        rho=rho,
        data=data,
        encoder=encoder,
        n=n or comparing.DEFAULT_N,
        critic=critic,
        protocol=protocol,
        samples=samples,
        steps=steps,
        seeds=seeds or comparing.DEFAULT_SEEDS,
        lr=lr,
        schedule=schedule,
        precision=precision,
        device=device,
    )
    comparing.check_several(spec.estimator.label for spec in planned.specs)
    if dry_run:
        show_plan(planned, out, rerun, as_json)
        return
    records = run_grid(planned, out, rerun, quiet)
    if records:
        comparison = compare_records(to_frame(records), level)
        from mibench.reports.output import write_comparison  # seaborn takes two seconds to import

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
