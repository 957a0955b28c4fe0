"""`mibench check`: has an estimator's bias changed?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mibench.commands.console import ANSWERED_NO, Json, Quiet, say, show_json, show_table
from mibench.commands.grids import end_with_failures, observer
from mibench.commands.options import Settings, command
from mibench.errors import UsageError
from mibench.grid import PLACES, one_of

if TYPE_CHECKING:
    from mibench.api.check import Check

FORMATS = ("text", "github")


@command("check")
def check(
    *,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="What to compare with: a file that --save made, or the name of a shipped baseline. "
            "[default: reference]",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Run a grid and freeze its results in a new file; compare nothing."
        ),
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option(
            metavar="NATS",
            help="Changes up to this many nats do not count. [default: 0.001 on the machine and with the "
            "versions of the baseline, else 0.02]",
        ),
    ] = None,
    alpha: Annotated[
        str, typer.Option(metavar="NUMBER", help="Probability of any false alarm where nothing has changed.")
    ] = "0.01",
    settings: Settings,
    form: Annotated[
        str,
        typer.Option("--format", metavar="NAME", help="text, or github: annotations follow the table."),
    ] = "text",
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the verdicts to a file as JUnit XML.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Test estimators for a change of their bias, against results that were frozen with --save.

    The runs of a baseline are done again, on the same data, and compared seed by seed. A cell fails where its
    change is larger than --tolerance and significant (sign-flip test, Holm over all cells, --alpha), where
    the truth, the ceiling or the value at the exact ratio is another one, where an estimate is above its
    ceiling, where runs newly fail, and where the same machine with the same versions and sources gives
    another number. The grid is that of the baseline; with --save it is given by the options from --estimator
    to --precision, and without any it is that of the reference. Exit status: 0 fine, 1 a cell fails, 2 bad
    usage, 130 interrupted.
    """
    from mibench.api.check import limits_of, run_baseline
    from mibench.api.placement import Placement
    from mibench.store.baseline import REFERENCE

    one_of(form, "format", FORMATS)
    limits = limits_of(tolerance, alpha)
    if save is not None:
        others = {"baseline": baseline, "junit": junit, "json": as_json, "format": form != "text"}
        for name in (name for name, given in others.items() if given):
            raise UsageError(
                f"--save and --{name} are given together.", "--save compares nothing: give one of the two."
            )
        _save(save, settings, limits[1], quiet)
        return
    if as_json and form != "text":
        raise UsageError(f"--json and --format {form} both write to stdout.", "Give one of them.")
    if junit is not None and (junit.is_dir() or not junit.parent.is_dir()):
        raise UsageError(f"{str(junit)!r} cannot be written.", "Give --junit a file in a folder that exists.")
    where, data = Placement.given("check", settings), settings.get("data", ())
    cells = {name: value for name, value in settings.items() if name not in PLACES}
    found = run_baseline(baseline or REFERENCE, limits, data, where, cells, observer(quiet))
    _show(found, form, junit, as_json)


def _save(path: Path, settings: dict[str, Any], alpha: float, quiet: bool) -> None:
    from mibench.analysis.significance import seeds_needed, seeds_words
    from mibench.api import freezing
    from mibench.api.run import execute
    from mibench.store import baseline as baselines

    baselines.writable(path)
    planned = freezing.plan_to_freeze(settings)
    say(planned.device_message)
    records = execute(planned.of(planned.specs), observer=observer(quiet))
    frozen = freezing.freeze(planned, records)
    baselines.write(path, frozen)
    cells, seeds = len(frozen.cells), len(frozen.seeds)
    say(f"Written to {path}: {cells} cells, {seeds} seeds. Commit it.")
    needed = seeds_needed(cells, alpha)
    if needed is None or seeds < needed:
        words = seeds_words(cells, alpha)
        say(f"With these seeds no change can be found at alpha {alpha:g} in {cells} cells: {words}.")
    end_with_failures(records)


def _show(found: Check, form: str, junit: Path | None, as_json: bool) -> None:
    from mibench.reports import regression_reports as reports

    if junit is not None:
        junit.write_text(reports.junit(found.verdicts), "utf-8")
    if as_json:
        show_json(
            {
                "schema": reports.SCHEMA,
                "baseline": found.baseline,
                "tolerance_nats": found.tolerance,
                "alpha": found.alpha,
                "seeds_needed": found.seeds_needed,
                "differs": list(found.differs),
                "not_compared": found.not_compared,
                "fine": found.fine,
                "cells": reports.to_values(found.verdicts),
            }
        )
    else:
        show_table(found.table())
    for line in reports.github(found.verdicts) if form == "github" else ():
        typer.echo(line)
    say(found.summary)
    if not found.fine:
        raise typer.Exit(ANSWERED_NO)
