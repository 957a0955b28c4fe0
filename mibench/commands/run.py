"""`mibench run`: a grid of estimators on tasks."""

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
def run(
    estimator: Annotated[
        list[str],
        typer.Option("--estimator", "-e", metavar="NAMES", help="Estimators, such as infonce or nce[k=5]."),
    ] = ["infonce"],  # noqa: B006 - Typer copies it
    task: options.Tasks = ["gaussian"],  # noqa: B006
    dim: options.Dim = None,
    mi: options.Mi = None,
    rho: options.Rho = None,
    data: options.Data = None,
    encoder: options.Encoders = None,
    n: Annotated[list[str] | None, options.sizes("16,32,64,128")] = None,
    critic: options.Critics = None,
    protocol: options.Protocols = None,
    samples: options.SampleSizes = None,
    steps: options.Steps = None,
    seeds: Annotated[list[str] | None, options.seed_count(3)] = None,
    lr: options.LearningRate = None,
    schedule: options.Schedule = None,
    precision: options.Precision = "float32",
    device: options.Device = "auto",
    out: options.Out = Path("results"),
    rerun: options.Rerun = "never",
    unit: options.Unit = "nats",
    dry_run: options.DryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run estimators on tasks, and show their bias against n, the exact critic and the ceiling.

    Every list is comma-separated or repeated; the grid is every combination. Finished runs stay in --out
    and are not run again. Exit status: 0 fine, 1 some runs failed, 2 bad usage, 130 interrupted.
    """
    from mibench.analysis.cells import UNITS
    from mibench.api import plan as planning
    from mibench.api.run import RERUN
    from mibench.store.record import to_frame

    planning.one_of(rerun, "rerun", RERUN)
    planning.one_of(unit, "unit", UNITS)
    planned = planning.plan(
        estimator,
        task,
        dim=dim,
        mi=mi,
        rho=rho,
        data=data,
        encoder=encoder,
        n=n or planning.DEFAULT_N,
        critic=critic,
        protocol=protocol,
        samples=samples,
        steps=steps,
        seeds=seeds or planning.DEFAULT_SEEDS,
        lr=lr,
        schedule=schedule,
        precision=precision,
        device=device,
    )
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
        _show_results(frame, unit, as_json)
    end_with_failures(records)


def _show_results(frame: pd.DataFrame, unit: str, as_json: bool) -> None:
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
