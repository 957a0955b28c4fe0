"""The table of estimates from one's own data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mibench.reports.tables import NOT_MEASURED, Table, rounded, table_of
from mibench.reports.words import listed


def table(estimates: pd.DataFrame, n: int, parts: tuple[int, int, int], unit: str) -> Table:
    """Return estimates, already in `unit`, with their intervals, ceilings and checks."""
    shown = estimates.rename(columns=lambda name: name.removesuffix(f"_{unit}"))
    caption, without = f"{sum(parts)} rows", ["95% interval", "Train", "Validation"]
    if shown["trained"].any():
        train, validation, test = parts
        caption += f": {train} train, {validation} validation, {test} test; n = {n}"
        without = []
    rows = [_row(row) for row in shown.to_dict("records")]
    return table_of(rows, without, caption, _notes(shown, unit))


def _notes(shown: pd.DataFrame, unit: str) -> list[str]:
    """Return what the columns mean, of estimators that train a model and of those that do not."""
    trained, untrained = shown[shown["trained"]], shown[~shown["trained"]]
    unbounded = trained.loc[trained["bound"] != "lower", "estimator"].tolist()
    notes = [f"In {unit}. y shuffled: should be about 0."]
    if len(trained):
        notes += [
            "Estimate: from test rows unseen in training, mean over splits and seeds.",
            "95% interval: for what the estimator reads at this n, which can lie below the truth.",
            "Train, Validation: the same estimate from the rows that the model was fitted to or selected on.",
        ]
    if unbounded:
        notes.append(
            f"{listed(unbounded)}: no lower bound by construction. The interval is of the sampling of the "
            "value and does not hold the bias of the model: the truth can lie on either side."
        )
    if len(untrained):
        notes.append(f"{listed(untrained['estimator'])}: from all rows at once, which gives no interval.")
    return notes


def _row(row: Mapping[Any, Any]) -> dict[str, str]:
    def between(name: str) -> str:
        low, high = row[f"{name}low"], row[f"{name}high"]
        return NOT_MEASURED if math.isnan(low) else f"{rounded(low)} to {rounded(high)}"

    ceiling, shuffled = row["ceiling"], row["shuffled"]
    return {
        "estimator": row["estimator"],
        "Estimate": rounded(row["estimate"]),
        "95% interval": between(""),
        "Ceiling": "none" if math.isnan(ceiling) else rounded(ceiling),
        "Train": rounded(row["train"]),
        "Validation": rounded(row["validation"]),
        "y shuffled": NOT_MEASURED
        if math.isnan(shuffled)
        else f"{rounded(shuffled)} ({between('shuffled_')})",
        "Failed": f"{row['failed']} of {row['runs']}",
    }
