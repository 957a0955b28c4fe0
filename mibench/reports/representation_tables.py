"""Representations as a table: where the truth of each lies, and what else is known of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mibench.analysis.cells import REPRESENTATION, error_name, in_unit
from mibench.reports.tables import TITLES, Table, interval, level, rounded, with_error

_TITLES = {
    "alignment": "Alignment",
    "uniformity": "Uniformity",
    "effective_rank": "Effective rank",
    "probe_accuracy": "Probe",
    "encoder_nats": "Own estimate",
}
_OWN = "Own estimate: what the recipe reads of the information by its own loss, on unseen data"
_OF_VIEWS = "; of images, between two views of one, which is not the pair of the task."
_ABOUT = {
    "alignment": "Alignment: E |z/|z| - z'/|z'||^2 over pairs of one class, 0 at best (Wang & Isola 2020).",
    "uniformity": "Uniformity: log E exp(-2 |z/|z| - z'/|z'||^2) over all pairs, lower is more even.",
    "effective_rank": "Effective rank: exp of the entropy of the normalised covariance spectrum of z "
    "(Roy & Vetterli 2007).",
    "probe_accuracy": "Probe: accuracy of a linear probe on data that encoder and probe never met.",
}


def table(cells: pd.DataFrame, unit: str = "nats") -> Table:
    """Return the representations as a table in `nats` or `bits`; what nobody has is left out."""
    measured = [column for column in REPRESENTATION if cells[column].notna().any()]
    has_ceiling = bool(cells["encoder_ceiling_nats"].notna().any())
    titles = [*(["task"] if cells["task"].nunique() > 1 else []), "encoder", TITLES["true_mi_nats"], "Truth"]
    titles += [_TITLES[column] for column in measured]
    titles += ["Its ceiling"] * has_ceiling + ["Seeds"] + ["Failed"] * bool(cells["failed"].any())
    shown = in_unit(cells, unit).to_dict("records")
    rows = [_cells(row, titles, measured, has_ceiling, unit) for row in shown]
    first = cells.iloc[0]
    caption = "" if "task" in titles else f"Representations of task {first['task']}"
    return Table(titles, rows, caption, _notes(cells, measured, unit))


def _cells(
    row: Mapping[Any, Any], titles: list[str], measured: list[str], has_ceiling: bool, unit: str
) -> list[str]:
    def named(column: str) -> float:
        return float(row[re.sub("_nats$", f"_{unit}", column)])

    words = [row["task"]] * ("task" in titles) + [row["encoder"], level(named("true_mi_nats"))]
    words.append(interval(named("true_mi_low_nats"), named("true_mi_high_nats")))
    words += [with_error(named(column), named(error_name(column))) for column in measured]
    words += [rounded(named("encoder_ceiling_nats"))] * has_ceiling + [str(row["seeds"])]
    return words + [f"{row['failed']} of {row['seeds']}"] * ("Failed" in titles)


def _notes(cells: pd.DataFrame, measured: list[str], unit: str) -> list[str]:
    notes = [
        f"In {unit}. ± one standard error across the seeds of the encoder. Truth: what holds the MI of the "
        "representation; True MI: of the task, which none can exceed.",
        *(_ABOUT[column] for column in measured if column in _ABOUT),
    ]
    if "encoder_nats" in measured:
        notes.append(_OWN + (_OF_VIEWS if "probe_accuracy" in measured else "."))
    if "probe_accuracy" in measured:
        notes.append("Of images side by side, all but Truth, True MI and effective rank are of one image.")
    lost = cells[cells["failed"] > 0].to_dict("records")
    told = (f"{row['encoder']} on {row['task']}: {row['failed']} of {row['seeds']}" for row in lost)
    notes += [f"{which} failed: {row['reasons']}." for which, row in zip(told, lost, strict=True)]
    return notes
