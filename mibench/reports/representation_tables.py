"""Representations as a table: where the truth of each lies, and what else is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mibench.analysis.cells import REPRESENTATION, error_name, in_unit
from mibench.reports.tables import TITLES, TRUTH, Table, interval, level, rounded, table_of, with_error

_TITLES = {
    "alignment": "Alignment",
    "uniformity": "Uniformity",
    "effective_rank": "Effective rank",
    "probe_accuracy": "Probe",
    "encoder_nats": "Own estimate",
}
_CEILING = "Its ceiling"
_OWN = "Own estimate: the recipe's own loss, read as information, on unseen data"
_OF_VIEWS = "; of images, between two views of one, which is not the pair of the task."
_ABOUT = {
    "alignment": "Alignment: E |z/|z| - z'/|z'||^2 over pairs of one class, 0 at best (Wang & Isola 2020).",
    "uniformity": "Uniformity: log E exp(-2 |z/|z| - z'/|z'||^2) over all pairs, lower is more even.",
    "effective_rank": "Effective rank: exp of the entropy of the normalised covariance spectrum of z "
    "(Roy & Vetterli 2007).",
    "probe_accuracy": "Probe: accuracy of a linear probe on data unseen by encoder and probe.",
}


def table(cells: pd.DataFrame, unit: str = "nats") -> Table:
    """Return the representations as a table in `nats` or `bits`, without columns that are empty."""
    measured = [column for column in REPRESENTATION if cells[column].notna().any()]
    without = [title for column, title in _TITLES.items() if column not in measured]
    without += [] if cells["encoder_ceiling_nats"].notna().any() else [_CEILING]
    without += [] if cells["failed"].any() else ["Failed"]
    several = cells["task"].nunique() > 1
    without += [] if several else ["task"]
    rows = [_row(row, unit) for row in in_unit(cells, unit).to_dict("records")]
    caption = "" if several else f"Representations of task {cells['task'].iloc[0]}"
    return table_of(rows, without, caption, _notes(cells, measured, unit))


def _row(row: Mapping[Any, Any], unit: str) -> dict[str, str]:
    def named(column: str) -> float:
        return float(row[column.replace("_nats", f"_{unit}")])

    return {
        "task": row["task"],
        "encoder": row["encoder"],
        TITLES["true_mi_nats"]: level(named("true_mi_nats")),
        TRUTH: interval(named("true_mi_low_nats"), named("true_mi_high_nats")),
        **{title: with_error(named(name), named(error_name(name))) for name, title in _TITLES.items()},
        _CEILING: rounded(named("encoder_ceiling_nats")),
        "Seeds": str(row["seeds"]),
        "Failed": f"{row['failed']} of {row['seeds']}",
    }


def _notes(cells: pd.DataFrame, measured: list[str], unit: str) -> list[str]:
    notes = [
        f"In {unit}. ± one standard error across the seeds of the encoder. Truth: interval containing the MI "
        "of the representation; True MI: of the task, which none can exceed.",
        *(_ABOUT[column] for column in measured if column in _ABOUT),
    ]
    if "encoder_nats" in measured:
        notes.append(_OWN + (_OF_VIEWS if "probe_accuracy" in measured else "."))
    if "probe_accuracy" in measured:
        notes.append("Of images side by side, all but Truth, True MI and effective rank are of one image.")
    return notes + [
        f"{row['encoder']} on {row['task']}: {row['failed']} of {row['seeds']} failed: {row['reasons']}."
        for row in cells[cells["failed"] > 0].to_dict("records")
    ]
