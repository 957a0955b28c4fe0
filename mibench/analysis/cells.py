"""From records to cells: bias, spread and the split of the error, with honest intervals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mibench import grid
from mibench.analysis.groups import apart
from mibench.analysis.significance import half_width
from mibench.store.record import NO_ENCODER

Numbers = NDArray[np.float64]
Signed = TypeVar("Signed", "pd.Series[float]", Numbers, np.float64)

CELL = list(grid.CELL)
"""What makes a cell of a grid: everything but the seed."""

FIT = list(grid.FIT)
"""Those of them that say what is trained and how; null for estimators that train nothing."""

ABOUT = ["choices", "bound", "oracle_is_best"]
"""What follows from a cell's settings and is taken over from its records."""

NATS_IN = {"nats": 1.0, "bits": math.log(2)}
"""Nats in one of each unit."""

UNITS = tuple(NATS_IN)

MOST_FAILED = 0.1
"""The share of a cell's runs up to which failures are told and no more."""


def from_interval(values: Signed, low: Any, high: Any) -> Signed:  # noqa: ANN401 - numbers or columns of them
    """Return the signed distance of values from the interval that holds the truth: 0 inside.

    It is value - truth where the interval is a point, and NaN where either is unknown.
    """
    distance: Signed = np.minimum(values - low, 0.0) + np.maximum(values - high, 0.0)
    return distance


def has_own_truth(summary: pd.DataFrame) -> pd.Series[bool]:
    """Return for each cell whether its truth is not the true MI of the task, but another or an interval."""
    low, high, task = (summary[f"true_mi{end}_nats"] for end in ("_low", "_high", ""))
    return low.notna() & ((low != task) | (high != task))


def has_interval(summary: pd.DataFrame) -> bool:
    """Return whether some truth is an interval, in which the bias is bounded and not known."""
    return bool((summary["true_mi_low_nats"] < summary["true_mi_high_nats"]).any())


def is_elsewhere(summary: pd.DataFrame) -> pd.Series[bool]:
    """Return for each cell whether the truth is known of a representation, and not the task's own MI."""
    return has_own_truth(summary) & (summary["encoder"] != NO_ENCODER)


def summarise(records: pd.DataFrame) -> pd.DataFrame:
    """Return one row per cell, over its seeds, in the order in which the cells appear.

    Columns beside those of the cell, all over the runs that finished:

    * `choices`, `bound`, `oracle_is_best`: as its records have them;
    * `true_mi_low_nats`, `true_mi_high_nats`: means of the ends of the interval that holds the truth of each
      run (over all runs where none finished); of a task's own pair both are its true MI;
    * `runs`, `failed`: how many there are, and how many of them did not finish; `of_survivors`: these are
      more than a tenth, so all else is of the runs that happened not to fail;
    * `saturated`: the mean lower end is above the mean ceiling;
    * `mean_nats`, with the Student interval `mean_low_nats` to `mean_high_nats` at 95% across seeds (none
      for a single seed);
    * `bias_nats` = mean - true MI, or the signed distance of the mean from the interval above: 0 inside,
      where it is not known, only bounded; `bias_se_nats`, the standard error across seeds of estimate -
      nearer end (for a single seed, that of its batches alone);
    * `groups_apart_nats`: the distance of two groups into which the seeds fall (`mibench.analysis.groups`),
      NaN where they do not;
    * `std_nats`, `rmse_nats`: standard deviation across seeds, root mean square distance of each run from its
      own interval (a lower bound of the RMSE where that is no point), each with its standard error by the
      jackknife over seeds (`std_se_nats`, `rmse_se_nats`);
    * `exact_nats`, what is read at the exact density ratio, and `oracle_nats`, the same on the batches that
      the model was read on; `bound_gap_nats` = exact - true MI: the error at the exact density ratio, which
      no model can undo at this n where `oracle_is_best`;
    * `critic_gap_nats` = estimate - oracle: this model and its training;
    * `sampling_nats` = oracle - exact: the batches that were read. `_se_nats` for all three; where the
      density ratio is not known in all finished runs there are none of them;
    * `above_exact_nats` = estimate - exact, the sum of the last two, with its own standard error;
    * `train_gap_nats` = estimate - estimate of the run that was trained at the n at which it is read, on the
      same seed: what training at `train_n` changes; over the seeds on which both finished, with its standard
      error. NaN without a `train_n`, and where the records have no such runs;
    * `log_ratio_rmse_nats`, `log_partition_nats`, with their standard errors.

    Over all runs whose encoder did not fail: `alignment`, `uniformity`, `effective_rank`, `probe_accuracy`,
    `probe_nats`, what the encoder itself reads, `encoder_nats`, each with its standard error across seeds,
    and the most that it can read, `encoder_ceiling_nats`.

    Bias = bound gap + critic gap + sampling, exactly, where the truth is.
    """
    groups = _beside_own(records).groupby(CELL, sort=False, dropna=False)
    rows = [{**dict(zip(CELL, cell, strict=True)), **_cell(group)} for cell, group in groups]
    cells = pd.DataFrame(rows, columns=[*CELL, *ABOUT, *_COLUMNS])
    cells["groups_apart_nats"] = apart([_finished(group)["estimate_nats"].to_numpy() for _, group in groups])
    return cells


def _beside_own(records: pd.DataFrame) -> pd.DataFrame:
    """Return records with what the same run reads where the model is trained at the n at which it is read.

    NaN in records of such runs themselves.
    """
    is_own = records["train_n"].isna()
    run = [*(column for column in CELL if column != "train_n"), "seed"]
    own = _finished(records[is_own]).drop_duplicates(run).rename(columns=_OF_OWN)
    beside = records.merge(own[[*run, *_OF_OWN.values()]], on=run, how="left")
    beside.loc[is_own.to_numpy(), list(_OF_OWN.values())] = math.nan
    return beside


_OF_OWN = {"estimate_nats": "own_estimate_nats", "estimate_se_nats": "own_estimate_se_nats"}


def blocks(cells: pd.DataFrame, apart: Sequence[str]) -> list[pd.DataFrame]:
    """Return the groups of rows whose estimators can be compared, in the order in which they appear.

    Within a group the columns `apart` have one value each, and estimators of which some were trained in the
    same way (`FIT`) are all trained in one way. Those that were trained in other ways, or that train nothing,
    join every group.
    """
    found = []
    for _, same in cells.groupby(list(apart), sort=False, dropna=False):
        way = same.groupby(FIT, sort=False, dropna=False).ngroup()
        by_estimator = way.groupby(same["estimator"], sort=False).unique()
        found += [same[way.isin(chosen)] for chosen in itertools.product(*_joined(map(set, by_estimator)))]
    return found


def _joined(groups: Iterable[set[int]]) -> list[list[int]]:
    """Return the unions of those sets that have common members, which have none in common, in order."""
    joined: list[set[int]] = []
    for group in groups:
        touching = [other for other in joined if other & group]
        joined = [other for other in joined if not other & group] + [group.union(*touching)]
    return sorted(map(sorted, joined))


REPRESENTATION = (
    "alignment",
    "uniformity",
    "effective_rank",
    "probe_accuracy",
    "probe_nats",
    "encoder_nats",
)
"""What is measured of an encoder; it does not depend on the estimator."""

RATIO = ("log_ratio_rmse_nats", "log_partition_nats")
"""What is measured of a learned density ratio."""


def error_name(column: str) -> str:
    """Return the name of the column that has a column's standard error."""
    return f"{column[:-5]}_se_nats" if column.endswith("_nats") else f"{column}_se"


_COLUMNS = [
    "true_mi_low_nats",
    "true_mi_high_nats",
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
    "exact_nats",
    "bound_gap_nats",
    "bound_gap_se_nats",
    "critic_gap_nats",
    "critic_gap_se_nats",
    "sampling_nats",
    "sampling_se_nats",
    "above_exact_nats",
    "above_exact_se_nats",
    "train_gap_nats",
    "train_gap_se_nats",
    *(name for column in (*RATIO, *REPRESENTATION) for name in (column, error_name(column))),
    "encoder_ceiling_nats",
    "failed",
    "of_survivors",
    "groups_apart_nats",
]


def _finished(group: pd.DataFrame) -> pd.DataFrame:
    return group[group["status"] == "ok"]


def _cell(group: pd.DataFrame) -> dict[str, object]:
    finished = _finished(group)
    known = group.dropna(subset=["true_mi_low_nats", "true_mi_high_nats"])
    truths = known if finished.empty else finished
    low, high = _common(truths["true_mi_low_nats"]), _common(truths["true_mi_high_nats"])
    estimate = finished["estimate_nats"]
    mean = _mean(estimate)
    _, bias_se = _mean_and_error(_less(estimate, _nearer(finished)), finished["estimate_se_nats"])
    errors = from_interval(estimate, finished["true_mi_low_nats"], finished["true_mi_high_nats"])
    half = half_width(float(estimate.std(ddof=1)), len(estimate))
    ceiling = group["ceiling_nats"].iloc[0]
    return {
        **group[ABOUT].iloc[0],
        "true_mi_low_nats": low,
        "true_mi_high_nats": high,
        "ceiling_nats": ceiling,
        "saturated": bool(ceiling < low),
        "runs": len(group),
        "mean_nats": mean,
        "mean_low_nats": mean - half,
        "mean_high_nats": mean + half,
        "bias_nats": float(from_interval(np.float64(mean), low, high)),
        "bias_se_nats": bias_se,
        "std_nats": estimate.std(ddof=1),
        "std_se_nats": jackknife(estimate, lambda values: float(values.std(ddof=1))),
        "rmse_nats": math.sqrt((errors**2).mean()),
        "rmse_se_nats": jackknife(errors, lambda values: math.sqrt((values**2).mean())),
        **_split(finished),
        **_train_gap(finished.dropna(subset="own_estimate_nats")),
        **measured(finished, RATIO),
        **measured(known if len(known) else group, REPRESENTATION),
        "encoder_ceiling_nats": _common(group["encoder_ceiling_nats"].dropna()),
        "failed": len(group) - len(finished),
        "of_survivors": len(finished) > 0 and len(group) - len(finished) > MOST_FAILED * len(group),
    }


def _split(finished: pd.DataFrame) -> dict[str, float]:
    """Return the oracle and the parts of the error, where the density ratio of all runs is known."""
    known = finished.dropna(subset=["oracle_nats"])
    if len(known) < len(finished):  # parts of some runs are not those of the bias of all
        known = known.head(0)
    truth = known["true_mi_low_nats"].where(known["true_mi_low_nats"] == known["true_mi_high_nats"])
    exact, oracle = known["exact_nats"], known["oracle_nats"]
    bound, bound_se = _mean_and_error(_less(exact, truth), known["exact_se_nats"])
    if truth.nunique(dropna=False) == 1:
        # Bit-compatible with schema 2: mean(exact) - truth, not the mean of differences.
        bound = _mean(exact) - float(truth.iloc[0])
    is_same = oracle == exact
    gap, gap_se = _mean_and_error(known["estimate_nats"] - oracle, known["critic_gap_se_nats"])
    sampling, sampling_se = _mean_and_error(oracle - exact, known["oracle_se_nats"].where(~is_same, 0))
    own_error = known["critic_gap_se_nats"].where(is_same, known["estimate_se_nats"])
    above, above_se = _mean_and_error(known["estimate_nats"] - exact, own_error)
    return {
        "oracle_nats": _mean(oracle),
        "exact_nats": _mean(exact),
        "bound_gap_nats": bound,
        "bound_gap_se_nats": bound_se,
        "critic_gap_nats": gap,
        "critic_gap_se_nats": gap_se,
        "sampling_nats": sampling,
        "sampling_se_nats": sampling_se,
        "above_exact_nats": above,
        "above_exact_se_nats": above_se,
    }


def _train_gap(both: pd.DataFrame) -> dict[str, float]:
    """Return what training at another n changes, from runs that have their like at their own n."""
    # The errors of a single pair are added as if its batches were not the same.
    own_error = (both["estimate_se_nats"] ** 2 + both["own_estimate_se_nats"] ** 2) ** 0.5
    gap, gap_se = _mean_and_error(both["estimate_nats"] - both["own_estimate_nats"], own_error)
    return {"train_gap_nats": gap, "train_gap_se_nats": gap_se}


def measured(runs: pd.DataFrame, columns: Sequence[str]) -> dict[str, float]:
    """Return the mean of each column over the runs that have it, and its standard error across seeds."""
    found = {}
    for column in columns:
        values = runs[column].dropna()
        found[column] = _mean(values)
        found[error_name(column)] = _error(values)
    return found


def _nearer(finished: pd.DataFrame) -> pd.Series[float]:
    """Return that end of each run's interval which is on the side where the cell's mean estimate is nearer.

    It is one side for all seeds: else the width of the interval would be taken for noise.
    """
    middle = (_mean(finished["true_mi_low_nats"]) + _mean(finished["true_mi_high_nats"])) / 2
    is_above = _mean(finished["estimate_nats"]) > middle
    return finished["true_mi_high_nats" if is_above else "true_mi_low_nats"]


def _less(values: pd.Series[float], origin: pd.Series[float]) -> pd.Series[float]:
    """Return values less their origins; the values themselves where all have one, for then nothing varies."""
    return values if origin.nunique(dropna=False) <= 1 and origin.notna().all() else values - origin


def _common(values: pd.Series[float]) -> float:
    """Return the mean of some values, and the value itself where all are one."""
    return float(values.iloc[0]) if values.nunique(dropna=False) == 1 else _mean(values)


def _mean(values: pd.Series[float]) -> float:
    return float(values.mean())


def _error(values: pd.Series[float]) -> float:
    return float(values.std(ddof=1)) / math.sqrt(max(len(values), 1))


def _mean_and_error(values: pd.Series[float], own_error: pd.Series[float]) -> tuple[float, float]:
    """Return the mean and its standard error; a single value has only the error that came with it."""
    if len(values) == 1:
        return float(values.iloc[0]), float(own_error.iloc[0])
    return _mean(values), _error(values)


def jackknife(values: pd.Series[float] | Numbers, statistic: Callable[[Numbers], float]) -> float:
    """Return a statistic's standard error from its values with one row left out; it needs three rows."""
    numbers = np.asarray(values, dtype=float)
    if len(numbers) < 3:
        return math.nan
    without = np.array([statistic(np.delete(numbers, index, axis=0)) for index in range(len(numbers))])
    return math.sqrt((len(numbers) - 1) * float(without.var()))


def in_unit(frame: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Return a table with its `_nats` columns in `nats` or `bits`, renamed accordingly."""
    if unit == "nats":
        return frame
    columns = [column for column in frame.columns if column.endswith("_nats")]
    converted = frame.assign(**{column: frame[column] / NATS_IN[unit] for column in columns})
    return converted.rename(columns={column: f"{column[:-5]}_bits" for column in columns})


def shown_in(frame: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Return a table with, beside each column in nats, the same in `unit` under its name alone.

    `bias` stands beside `bias_nats`. What the encoder itself reads, `encoder_nats`, is `own`: `encoder` is a
    setting.
    """
    shown = frame[[column for column in frame.columns if column.endswith("_nats")]] / NATS_IN[unit]
    shown = shown.rename(columns={"encoder_nats": "own", "encoder_se_nats": "own_se"})
    return pd.concat([frame, shown.rename(columns=lambda name: name.removesuffix("_nats"))], axis=1)
