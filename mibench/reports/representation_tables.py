"""Representations as a table: where the truth of each lies, and what else is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mibench.analysis.cells import shown_in
from mibench.reports.tables import TRUTH, Table, interval, measured, rounded, settings, table_of

_TITLES = {
    "alignment": "Alignment",
    "uniformity": "Uniformity",
    "effective_rank": "Effective rank",
    "probe_accuracy": "Probe",
    "probe": "Probe MI",
    "own": "Own estimate",
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
    "probe": "Probe MI: of the classes that the probe predicts on either side, a lower bound of the truth.",
}


def table(cells: pd.DataFrame, unit: str = "nats") -> Table:
    """Return the representations as a table in `nats` or `bits`, without columns that are empty."""
    shown = shown_in(cells, unit)
    known = [column for column in _TITLES if shown[column].notna().any()]
    without = [title for column, title in _TITLES.items() if column not in known]
    without += [] if cells["encoder_ceiling_nats"].notna().any() else [_CEILING]
    without += [] if cells["failed"].any() else ["Failed"]
    several = cells["task"].nunique() > 1
    without += [] if several else ["task"]
    rows = [_row(row) for row in shown.to_dict("records")]
    caption = "" if several else f"Representations of task {cells['task'].iloc[0]}"
    return table_of(rows, without, caption, _notes(cells, known, unit))


def _row(row: Mapping[Any, Any]) -> dict[str, str]:
    return {
        **settings(row, ["task", "encoder", "true_mi_nats"]),
        TRUTH: interval(row["true_mi_low"], row["true_mi_high"]),
        **{title: measured(row, column) for column, title in _TITLES.items()},
        _CEILING: rounded(row["encoder_ceiling"]),
        "Seeds": str(row["seeds"]),
        "Failed": f"{row['failed']} of {row['seeds']}",
    }


def _notes(cells: pd.DataFrame, known: list[str], unit: str) -> list[str]:
    notes = [
        f"In {unit}. ± one standard error across the seeds of the encoder. Truth: the MI of the "
        "representation, or an interval containing it; True MI: of the task, which none can exceed.",
        *(_ABOUT[column] for column in known if column in _ABOUT),
    ]
    if "own" in known:
        notes.append(_OWN + (_OF_VIEWS if "probe_accuracy" in known else "."))
    if "probe_accuracy" in known:
        notes.append(
            "Of images side by side, all but Truth, True MI, Probe MI and effective rank are of one image."
        )
    return notes + [
        f"{row['encoder']} on {row['task']}: {row['failed']} of {row['seeds']} failed: {row['reasons']}."
        for row in cells[cells["failed"] > 0].to_dict("records")
    ]
