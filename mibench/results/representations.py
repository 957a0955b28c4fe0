"""What encoders made of their tasks: where the truth of each representation lies, and what else is known."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mibench.results.statistics import REPRESENTATION, error_name, in_unit
from mibench.results.tables import NO_ENCODER, TITLES, Table, interval, level, rounded, with_error

SOURCE = ["task", "true_mi_nats", "encoder"]
"""What makes an encoder, beside its seed."""

_KNOWN = ["true_mi_low_nats", "true_mi_high_nats", *REPRESENTATION, "encoder_ceiling_nats"]

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


def representations(records: pd.DataFrame) -> pd.DataFrame:
    """Return one row a task and encoder, over the seeds of the encoder; none where there are no encoders.

    Columns: `task`, `true_mi_nats` (of the task), `encoder`; the means of `true_mi_low_nats` and
    `true_mi_high_nats`, which hold the truth of the representation, and of `alignment`, `uniformity`,
    `effective_rank`, `probe_accuracy` and `encoder_nats`, with their standard errors across seeds;
    `encoder_ceiling_nats`; `seeds`, `failed`: how many encoders there are, and how many of them failed;
    `reasons`: why.
    """
    encoded = records[records["encoder"] != NO_ENCODER]
    # Every run on an encoder's representation says the same of it: the first that says anything counts.
    encoders = encoded.groupby([*SOURCE, "seed"], sort=False, dropna=False)[_KNOWN].first().reset_index()
    cells = [
        {**dict(zip(SOURCE, source, strict=True)), **_row(group), "reasons": _reasons(encoded, source)}
        for source, group in encoders.groupby(SOURCE, sort=False, dropna=False)
    ]
    return pd.DataFrame(cells, columns=[*SOURCE, *_COLUMNS])


_COLUMNS = [
    "true_mi_low_nats",
    "true_mi_high_nats",
    *(name for column in REPRESENTATION for name in (column, error_name(column))),
    "encoder_ceiling_nats",
    "seeds",
    "failed",
    "reasons",
]


def _row(encoders: pd.DataFrame) -> dict[str, object]:
    found: dict[str, object] = {}
    sound = encoders.dropna(subset=["true_mi_low_nats"])
    for column in _KNOWN:
        values = (encoders if sound.empty else sound)[column].dropna()
        found[column] = float(values.mean())
        if column in REPRESENTATION:
            found[error_name(column)] = float(values.std(ddof=1)) / math.sqrt(max(len(values), 1))
    failed = int(encoders["true_mi_low_nats"].isna().sum())
    return found | {"seeds": len(encoders), "failed": failed}


def _reasons(records: pd.DataFrame, source: tuple[object, ...]) -> str:
    """Return why encoders failed: one message of those that differ in a number alone."""
    own = records[(records[SOURCE] == list(source)).all(axis=1)]
    lost = own[own["true_mi_low_nats"].isna()].drop_duplicates("seed")["message"]
    alike = lost.groupby(lost.map(lambda text: re.sub(r"\d[\d.e+-]*", "#", text)), sort=False).first()
    return "; ".join(alike)


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
