"""The table of one's own data's estimates."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from mibench.reports.tables import NOT_MEASURED, Table, rounded


def table(estimates: pd.DataFrame, n: int, parts: tuple[int, int, int], unit: str) -> Table:
    """Return estimates, already in `unit`, with their intervals, ceilings and checks."""
    titles = [
        "estimator",
        "Estimate",
        "95% interval",
        "Ceiling",
        "Train",
        "Validation",
        "y shuffled",
        "Failed",
    ]
    rows = [_row(row, unit) for row in estimates.to_dict("records")]
    train, validation, test = parts
    notes = [
        f"In {unit}. Estimate: from test rows that no critic has seen, mean over splits and seeds.",
        "95% interval: for what the estimator reads at this n, which can lie below the truth.",
        "Train, Validation: the same read-out on rows that the critic was fitted or selected on. "
        "y shuffled: should be about 0.",
    ]
    caption = f"{sum(parts)} rows: {train} train, {validation} validation, {test} test; n = {n}"
    return Table(titles, rows, caption, notes)


def _row(row: dict[Any, Any], unit: str) -> list[str]:
    def between(name: str) -> str:
        low, high = row[f"{name}low_{unit}"], row[f"{name}high_{unit}"]
        return NOT_MEASURED if math.isnan(low) else f"{rounded(low)} to {rounded(high)}"

    ceiling = row[f"ceiling_{unit}"]
    shuffled = row[f"shuffled_{unit}"]
    return [
        row["estimator"],
        rounded(row[f"estimate_{unit}"]),
        between(""),
        "none" if math.isnan(ceiling) else rounded(ceiling),
        rounded(row[f"train_{unit}"]),
        rounded(row[f"validation_{unit}"]),
        NOT_MEASURED if math.isnan(shuffled) else f"{rounded(shuffled)} ({between('shuffled_')})",
        f"{row['failed']} of {row['runs']}",
    ]
