"""Estimates over random splits of one data set: their mean, its interval, and what to be warned of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mibench.analysis.significance import half_width

NEAR_CEILING = 0.85
ROUNDING_NATS = 1e-6
SHUFFLED_NATS = 0.1
"""Where y is shuffled, an estimate this far from 0 whose interval excludes 0 is a sign of a fault."""


def summarise_splits(runs: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return one row per estimator from one row per run; `share` is the ratio of test rows to the others."""
    groups = runs.groupby("estimator", sort=False)
    return pd.DataFrame([_summary(str(label), group, share) for label, group in groups])


def _summary(label: str, runs: pd.DataFrame, share: float) -> dict[str, Any]:
    own, shuffled = runs[~runs["shuffled"]], runs[runs["shuffled"]]
    # What trains nothing splits nothing: it reads all rows, once as they are and once in every shuffle.
    trained = bool(runs["trained"].all())
    common = share if trained else 0.0
    value, low, high = interval(_values(own), common)
    zero, zero_low, zero_high = interval(_values(shuffled), common)
    return {
        "estimator": label,
        "trained": trained,
        "bound": runs["bound"].iloc[0],
        "estimate_nats": value,
        "low_nats": low,
        "high_nats": high,
        "ceiling_nats": runs["ceiling_nats"].iloc[0],
        "train_nats": own["train_nats"].mean(),
        "validation_nats": own["validation_nats"].mean(),
        "shuffled_nats": zero,
        "shuffled_low_nats": zero_low,
        "shuffled_high_nats": zero_high,
        "runs": len(runs),
        "failed": int((runs["status"] != "ok").sum()),
    }


def _values(runs: pd.DataFrame) -> NDArray[np.float64]:
    return runs["estimate_nats"].dropna().to_numpy(dtype=float)


def interval(values: NDArray[np.float64], share: float) -> tuple[float, float, float]:
    """Return the mean of values over J random splits, and its 95% interval, corrected for rows in common.

    `share` is the ratio of test rows to the others. Reference: Nadeau & Bengio 2003, Machine Learning 52.
    """
    if len(values) < 2:
        only = float(values[0]) if len(values) else math.nan
        return only, math.nan, math.nan
    mean, half = float(values.mean()), half_width(float(values.std(ddof=1)), len(values), share)
    return mean, mean - half, mean + half


def warnings(table: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """Return what a reader of the table must know."""
    found = []
    for row in table.to_dict("records"):
        name = row["estimator"]
        found += _of_ceiling(name, row["estimate_nats"], row["ceiling_nats"])
        beside = row["shuffled_low_nats"] > 0 or row["shuffled_high_nats"] < 0
        if beside and abs(row["shuffled_nats"]) > SHUFFLED_NATS:
            found.append(
                f"{name} estimates {row['shuffled_nats']:.2f} nats where y is shuffled and the truth is 0: "
                "do not trust its value here."
            )
    found += _nothing_found(runs[~runs["shuffled"]])
    failed = runs[runs["status"] != "ok"]
    for message, group in failed.groupby("message", sort=False):
        found.append(f"{len(group)} of {len(runs)} runs failed and are excluded: {message}.")
    trained = runs[runs["trained"]]
    if len(trained) and (trained.groupby("estimator")["seed"].nunique() < 2).all():
        found.append("One seed gives no interval: give two or more.")
    return found


def _of_ceiling(name: str, estimate: float, ceiling: float) -> list[str]:
    """Say whether an estimate is near its ceiling, or above that, which equal values alone can make it."""
    if estimate > ceiling + ROUNDING_NATS:
        return [
            f"{name} estimates {estimate:.2f} nats, above its ceiling of {ceiling:.2f} for data without "
            "equal values: the estimate means nothing."
        ]
    if estimate > NEAR_CEILING * ceiling:
        return [
            f"{name} estimates {estimate:.2f} nats, within 15% of its ceiling of {ceiling:.2f} at this n: "
            "the truth may be far above. More samples allow a larger n."
        ]
    return []


def _nothing_found(runs: pd.DataFrame) -> list[str]:
    """Say in how many splits of each estimator a constant critic was kept."""
    constant = [
        f"{label} ({int((group['best_step'] == 0).sum())} of {len(group)} splits)"
        for label, group in runs.groupby("estimator", sort=False)
        if (group["best_step"] == 0).any()
    ]
    if not constant:
        return []
    why = "since no critic was better on validation than a constant one, which gives 0"
    return [f"No dependence was found, {why}: {', '.join(constant)}."]
