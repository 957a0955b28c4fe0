"""The table of estimates from one's own data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mibench.reports.tables import NOT_MEASURED, Table, rounded, table_of


def table(estimates: pd.DataFrame, n: int, parts: tuple[int, int, int], unit: str) -> Table:
    """Return estimates, already in `unit`, with their intervals, ceilings and checks."""
    train, validation, test = parts
    notes = [
        f"In {unit}. Estimate: from test rows unseen in training, mean over splits and seeds.",
        "95% interval: for what the estimator reads at this n, which can lie below the truth.",
        "Train, Validation: the same estimate from the rows that the critic was fitted to or selected on. "
        "y shuffled: should be about 0.",
    ]
    caption = f"{sum(parts)} rows: {train} train, {validation} validation, {test} test; n = {n}"
    shown = estimates.rename(columns=lambda name: name.removesuffix(f"_{unit}"))
    return table_of([_row(row) for row in shown.to_dict("records")], [], caption, notes)


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
