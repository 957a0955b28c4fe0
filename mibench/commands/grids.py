"""What the commands that train have in common: the dry run, the run itself, and the report of failures."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mibench.commands.console import ANSWERED_NO, INTERRUPTED, progress, say, show_json
from mibench.commands.options import Running

MOST_REASONS = 5
"""Why runs failed is said this many times at most; the records have all reasons."""

if TYPE_CHECKING:
    import pandas as pd

    from mibench.api.observer import Observer
    from mibench.api.plan import Plan
    from mibench.store.record import Record


def observer(quiet: bool) -> Observer:
    """Return what shows the progress of a run on stderr."""
    from mibench.api.observer import Observer

    return Observer(say, functools.partial(progress, quiet=quiet))


def run_and_show(planned: Plan, running: Running, show: Callable[[pd.DataFrame], None]) -> None:
    """Run what a store does not have of a grid, give all its records to `show`, and end with its failures.

    With --dry-run only what it would take is shown.
    """
    from mibench.api.run import run_plan, select
    from mibench.api.shards import part_of
    from mibench.store.record import SCHEMA, to_frame, to_json
    from mibench.store.segments import Store

    planned = part_of(planned, running.shard)
    if not planned.specs:
        say(f"Part {running.shard} of the grid has no runs: the grid has fewer.")
        return
    if running.dry_run:
        _dry_run(planned, running)
        return
    try:
        records = run_plan(planned, running.out, running.rerun, observer(running.quiet))
    except KeyboardInterrupt:
        left = select(planned, Store(running.out).load(), "never")
        finished, count = len(planned.specs) - len(left), len(planned.specs)
        say(f"Interrupted. {finished} of {count} runs are finished and kept in {running.out}.")
        say("The same command goes on from there.")
        raise typer.Exit(INTERRUPTED) from None
    if running.shard is None:
        show(to_frame(records))
    elif running.as_json:
        show_json({"schema": SCHEMA, "records": to_json(to_frame(records))})
    else:
        say(f"Part {running.shard} of the grid is done: {len(records)} runs, in {running.out}.")
        say("Once all parts are, the same command without --shard shows and draws the whole.")
    end_with_failures(records)


def _dry_run(planned: Plan, running: Running) -> None:
    """Show what a grid would take, given what is finished in a store."""
    from mibench.api.cost import cost
    from mibench.api.renewal import load
    from mibench.api.run import select
    from mibench.store.encoders import EncoderStore

    known, _ = load(planned, running.out)
    selected = select(planned, known, running.rerun)
    chosen = planned.of(selected)
    estimate = cost(chosen, len(planned.specs) - len(selected), EncoderStore(running.out))
    if running.as_json:
        show_json(estimate)
        return
    typer.echo(chosen.device_message)
    typer.echo(f"runs: {estimate['runs']} ({estimate['finished']} of the grid are not run)")
    typer.echo(f"trainings: {estimate['trainings']} (estimators with one objective share one)")
    if estimate["encoders"]:
        typer.echo(f"encoders: {estimate['encoders']} to train first, each once")
    typer.echo(f"packs: {estimate['packs']}, of up to {estimate['largest_pack']} trainings")
    typer.echo(f"time: about {estimate['seconds']:.0f} s")
    typer.echo(
        f"memory: about {estimate['memory_mib']:.0f} MiB "
        f"({estimate['pack_mib']:.0f} MiB of it for the largest pack)"
    )


def say_written(paths: Iterable[Path], out: Path) -> None:
    """Say which files were written into a folder."""
    say(f"Written to {out}: {', '.join(path.name for path in paths)}")


def end_with_failures(records: list[Record]) -> None:
    """Say why runs failed, one line per distinct reason, and end with status 1 if any did."""
    failures = [record for record in records if record.status != "ok"]
    by_reason: dict[tuple[str, str, str], list[Record]] = {}
    for record in failures:
        by_reason.setdefault((record.status, record.estimator, record.message), []).append(record)
    for (status, estimator, message), same in list(by_reason.items())[:MOST_REASONS]:
        more = f" (and {len(same) - 1} more)" if len(same) > 1 else ""
        say(
            f"{status}: {estimator}, true MI {same[0].true_mi_nats:g}, n = {same[0].n}, "
            f"seed {same[0].seed}{more}: {message}"
        )
    if failures:
        say(f"{len(failures)} of {len(records)} runs failed.")
        raise typer.Exit(ANSWERED_NO)
