"""From records to cells: bias, spread and the split of the error, with honest intervals."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

CELL = [
    "estimator",
    "task",
    "dim_x",
    "dim_y",
    "true_mi_nats",
    "n",
    "critic",
    "protocol",
    "samples",
    "steps",
    "lr",
    "schedule",
    "precision",
]
"""What makes a cell of a grid: everything but the seed."""

CONFIDENCE = 0.95
UNITS = ("nats", "bits")


def summarise(records: pd.DataFrame) -> pd.DataFrame:
    """Return one row a cell, over its seeds, in the order in which the cells appear.

    Columns beside those of the cell, all over the runs that finished:

    * `runs`, `failed`: how many there are, and how many of them did not finish;
    * `mean_nats`, with the Student interval `mean_low_nats` to `mean_high_nats` at 95% across seeds (none
      for a single seed);
    * `bias_nats` = mean - true MI, `bias_se_nats` its standard error across seeds (for a single seed, that
      of its read-out alone);
    * `std_nats`, `rmse_nats`: standard deviation across seeds, root mean square error against the truth, each
      with its standard error by the jackknife over seeds (`std_se_nats`, `rmse_se_nats`);
    * `oracle_nats`; `bound_gap_nats` = oracle - true MI: what no critic can undo at this n;
    * `critic_gap_nats` = estimate - oracle: this critic and its training; `_se_nats` for both.

    Bias = bound gap + critic gap, exactly.
    """
    groups = records.groupby(CELL, sort=False, dropna=False)
    rows = [{**dict(zip(CELL, cell, strict=True)), **_cell(group)} for cell, group in groups]
    return pd.DataFrame(rows, columns=[*CELL, *_COLUMNS])


_COLUMNS = [
    "ceiling_nats",
    "saturated",
    "runs",
    "mean_nats",
    "mean_low_nats",
    "mean_high_nats",
    "bias_nats",
    "bias_se_nats",
    "std_nats",
    "std_se_nats",
    "rmse_nats",
    "rmse_se_nats",
    "oracle_nats",
    "bound_gap_nats",
    "bound_gap_se_nats",
    "critic_gap_nats",
    "critic_gap_se_nats",
    "failed",
]


def _cell(group: pd.DataFrame) -> dict[str, object]:
    finished = group[group["status"] == "ok"]
    truth = float(group["true_mi_nats"].iloc[0])
    estimate, oracle = finished["estimate_nats"], finished["oracle_nats"]
    mean, bias_se = _mean_and_error(estimate, finished["estimate_se_nats"])
    bound, bound_se = _mean_and_error(oracle, finished["oracle_se_nats"])
    gap, gap_se = _mean_and_error(estimate - oracle, finished["critic_gap_se_nats"])
    half_width = _half_width(estimate)
    return {
        "ceiling_nats": group["ceiling_nats"].iloc[0],
        "saturated": bool(group["saturated"].iloc[0]),
        "runs": len(group),
        "mean_nats": mean,
        "mean_low_nats": mean - half_width,
        "mean_high_nats": mean + half_width,
        "bias_nats": mean - truth,
        "bias_se_nats": bias_se,
        "std_nats": estimate.std(ddof=1),
        "std_se_nats": _jackknife(estimate, lambda values: float(values.std(ddof=1))),
        "rmse_nats": math.sqrt(((estimate - truth) ** 2).mean()),
        "rmse_se_nats": _jackknife(estimate - truth, lambda values: math.sqrt((values**2).mean())),
        "oracle_nats": bound,
        "bound_gap_nats": bound - truth,
        "bound_gap_se_nats": bound_se,
        "critic_gap_nats": gap,
        "critic_gap_se_nats": gap_se,
        "failed": len(group) - len(finished),
    }


def _mean_and_error(values: pd.Series[float], own_error: pd.Series[float]) -> tuple[float, float]:
    """Return the mean and its standard error; a single value has only the error that came with it."""
    if len(values) == 1:
        return float(values.iloc[0]), float(own_error.iloc[0])
    return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(max(len(values), 1))


def _jackknife(values: pd.Series[float], statistic: Callable[[Numbers], float]) -> float:
    """Return a statistic's standard error from its values with one seed left out; it needs three seeds."""
    numbers = values.to_numpy(dtype=float)
    if len(numbers) < 3:
        return math.nan
    without = np.array([statistic(np.delete(numbers, index)) for index in range(len(numbers))])
    return math.sqrt((len(numbers) - 1) * float(without.var()))


def _half_width(values: pd.Series[float]) -> float:
    """Return half the width of the Student interval for the mean."""
    from scipy import stats  # takes a second to import

    if len(values) < 2:
        return math.nan
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return quantile * float(values.std(ddof=1)) / math.sqrt(len(values))


def in_unit(frame: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Return a table with its `_nats` columns in `nats` or `bits`, renamed accordingly."""
    if unit == "nats":
        return frame
    columns = [column for column in frame.columns if column.endswith("_nats")]
    converted = frame.assign(**{column: frame[column] / np.log(2) for column in columns})
    return converted.rename(columns={column: f"{column[:-5]}_bits" for column in columns})
