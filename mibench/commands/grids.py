"""What the commands that train have in common: the dry run, the run itself, and the report of failures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mibench.commands.console import ANSWERED_NO, INTERRUPTED, progress, say

MOST_REASONS = 5
"""Why runs failed is said this many times at most; the records have all reasons."""

if TYPE_CHECKING:
    from mibench.api.plan import Plan
    from mibench.api.run import Append
    from mibench.engine.plan import Pack
    from mibench.spec import RunSpec
    from mibench.store.encoders import EncoderStore
    from mibench.store.record import Record


def dry_run(planned: Plan, out: Path, rerun: str, as_json: bool) -> None:
    """Show what a grid would take, given what is finished in a store."""
    from mibench.api.run import cost, select
    from mibench.store.encoders import EncoderStore
    from mibench.store.segments import Store

    estimate = cost(planned, select(planned, Store(out).load(), rerun), EncoderStore(out))
    if as_json:
        typer.echo(json.dumps(estimate))
        return
    typer.echo(planned.device_message)
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


def run_grid(planned: Plan, out: Path, rerun: str, quiet: bool) -> list[Record]:
    """Run what a store does not have of a grid, and return all records of the grid."""
    from mibench.api.run import kept, select
    from mibench.store.encoders import EncoderStore
    from mibench.store.segments import Store

    store = Store(out)
    known = store.load()
    selected = select(planned, known, rerun)
    if not selected:
        records = kept(planned, known)
        if rerun == "failed":
            say("No run of this grid failed before, so nothing is run.")
        else:
            say(f"{len(records)} of {len(planned.specs)} runs are finished in {out}, none is left to run.")
        return records
    with store.writer() as writer:
        say(planned.device_message)
        try:
            return train(planned, selected, known, quiet, writer.append, EncoderStore(out))
        except KeyboardInterrupt:
            finished = len(planned.specs) - len(select(planned, store.load(), "never"))
            say(f"Interrupted. {finished} of {len(planned.specs)} runs are finished and kept in {out}.")
            say("The same command goes on from there.")
            raise typer.Exit(INTERRUPTED) from None


def train(
    planned: Plan,
    selected: Sequence[RunSpec],
    known: Mapping[str, Record],
    quiet: bool,
    append: Append = lambda record, curve: None,
    encoder_store: EncoderStore | None = None,
) -> list[Record]:
    """Train the encoders that runs need, then their models, each with a bar, and return all records."""
    from mibench.api.encode import encode, encoder_failures, encoder_steps, missing_encoders
    from mibench.api.run import execute

    missing = missing_encoders(selected, encoder_store)
    if encoder_steps(missing):
        title = f"Training {sum(map(len, missing))} encoders"
        with progress(title, encoder_steps(missing), quiet) as report:
            pairs = encode(selected, planned.device, encoder_store, report)
    else:
        pairs = encode(selected, planned.device, encoder_store)
    lost = encoder_failures(selected, pairs)
    packs = planned.packs([spec for spec in selected if spec not in lost], pairs)
    with progress(title_of(packs), sum(pack.work for pack in packs), quiet) as report:
        return execute(planned, selected, known, append, report, pairs)


def title_of(packs: Sequence[Pack]) -> str:
    """Return what the progress bar of packs is called."""
    trained = sum(len(pack.trainings) for pack in packs if pack.first.fit is not None)
    return f"Training {trained} models" if trained else "Estimating, without training"


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
