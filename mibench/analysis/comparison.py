"""Estimators against each other on the same data: which is nearer the truth, and can these seeds tell?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mibench.analysis.cells import CELL, FIT, MOST_FAILED, blocks, from_interval, jackknife, summarise
from mibench.analysis.nearer import Decision, decide
from mibench.analysis.significance import half_width, sign_test_seeds

Key = tuple[object, ...]

DATA = [column for column in CELL if column not in ("estimator", *FIT)]
"""What estimators have in common that are compared."""

SETTING = [*DATA, *FIT]

ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """A comparison of estimators.

    Attributes:
        cells: one row per estimator and setting, those of one setting together: the columns of `summarise`,
            with `score_evaluations` (pairs that one critic scores in its whole training) and
            `seconds_per_1000_steps` (one training's share of its pack, with all that is read from it), which
            are not known on samples, and `best` (at most a tenth of its runs failed, and none that it was
            compared with was found nearer the truth).
        pairs: one row per pair of estimators and setting, `a` before `b` as they were given: `seeds` on which
            both finished; `difference_nats` = mean of estimate a - estimate b, `difference_se_nats`;
            `rmse_difference_nats` = RMSE a - RMSE b, with its 95% Student interval by the jackknife over
            seeds, `rmse_difference_low_nats` to `rmse_difference_high_nats`; what `decide` returns,
            `nearer_a`, `nearer_b`, `p` and `p_holm`; the `verdict`, the `reason` of one that cannot be told,
            and the `winner` of one that can. Settings in which the two differ are null.
        alpha: the probability of any false verdict.
        seeds_needed: with how many seeds without ties the tests of this table could reject.
    """

    cells: pd.DataFrame
    pairs: pd.DataFrame
    alpha: float
    seeds_needed: int


def compare(records: pd.DataFrame, alpha: float = ALPHA) -> Comparison:
    """Compare the estimators of some records, pair by pair within each setting (`decide`).

    Where the truth is an interval, an error is the distance from it, 0 inside. Estimators that are trained in
    other ways, or not at all, are compared on the same data.
    """
    cells = summarise(records).merge(_cost(records), on=CELL, how="left")
    order = dict.fromkeys(index for block in blocks(cells, DATA) for index in block.index)
    cells = cells.loc[list(order)].reset_index(drop=True)
    keys = [_key(cell) for cell in cells[CELL].itertuples(index=False)]
    of_survivors = cells["failed"] > MOST_FAILED * cells["runs"]
    unsure = set(itertools.compress(keys, of_survivors))

    found = {pair: both for group in blocks(records, DATA) for pair, both in _pairs(group).items()}
    errors = [both[["error_a", "error_b"]].to_numpy(dtype=float) for both in found.values()]
    decisions = decide(errors, alpha, [not unsure.isdisjoint(pair) for pair in found])
    rows = [_row(*pair, both, one) for (pair, both), one in zip(found.items(), decisions, strict=True)]
    lost = {
        pair[1 - one.winner] for pair, one in zip(found, decisions, strict=True) if one.winner is not None
    }
    has_lost = np.array([key in lost for key in keys], dtype=bool)
    cells["best"] = cells["rmse_nats"].notna() & ~of_survivors & ~has_lost
    needed = sign_test_seeds(max(len(rows), 1), alpha)
    return Comparison(cells, pd.DataFrame(rows, columns=_PAIR_COLUMNS), alpha, needed)


_ESTIMATOR = CELL.index("estimator")
_PAIR_COLUMNS = [
    *SETTING,
    "a",
    "b",
    "seeds",
    "nearer_a",
    "nearer_b",
    "difference_nats",
    "difference_se_nats",
    "rmse_difference_nats",
    "rmse_difference_low_nats",
    "rmse_difference_high_nats",
    "p",
    "p_holm",
    "verdict",
    "winner",
    "reason",
]


def _key(values: Iterable[object]) -> Key:
    """Return what names a cell: its settings, with None where there is none."""
    return tuple(None if pd.isna(value) else value for value in values)  # type: ignore[call-overload]


def _pairs(block: pd.DataFrame) -> dict[tuple[Key, Key], pd.DataFrame]:
    """Return estimates and errors, seed by seed, of each two cells of a block with different estimators."""
    cells = {_key(cell): _by_seed(group) for cell, group in block.groupby(CELL, sort=False, dropna=False)}
    return {
        (a, b): cells[a].merge(cells[b], on="seed", suffixes=("_a", "_b"))
        for a, b in itertools.combinations(cells, 2)
        if a[_ESTIMATOR] != b[_ESTIMATOR]
    }


def _by_seed(cell: pd.DataFrame) -> pd.DataFrame:
    """Return the estimate and error of each finished run of a cell, by its seed."""
    finished = cell[cell["status"] == "ok"]
    ends = (finished["true_mi_low_nats"], finished["true_mi_high_nats"])
    errors = from_interval(finished["estimate_nats"], *ends)
    values = pd.DataFrame({"seed": finished["seed"], "estimate": finished["estimate_nats"], "error": errors})
    return values.dropna().groupby("seed").mean()


def _row(one: Key, other: Key, both: pd.DataFrame, decision: Decision) -> dict[str, Any]:
    a, b = dict(zip(CELL, one, strict=True)), dict(zip(CELL, other, strict=True))
    labels = (a["estimator"], b["estimator"])
    return {
        **{column: a[column] if a[column] == b[column] else None for column in SETTING},
        **dict(zip("ab", labels, strict=True)),
        **_differences(both),
        **vars(decision),
        "verdict": decision.verdict,
        "winner": None if decision.winner is None else labels[decision.winner],
    }


def _differences(both: pd.DataFrame) -> dict[str, float]:
    """Return the differences of two estimators in mean and RMSE from their estimates and errors by seed."""
    seeds = len(both)
    difference = both["estimate_a"] - both["estimate_b"]
    squares = both[["error_a", "error_b"]].to_numpy(dtype=float) ** 2
    rmse = _rmse_difference(squares) if seeds else math.nan
    half = half_width(jackknife(squares, _rmse_difference) * math.sqrt(seeds), seeds)
    return {
        "seeds": seeds,
        "difference_nats": float(difference.mean()),
        "difference_se_nats": float(difference.std(ddof=1)) / math.sqrt(max(seeds, 1)),
        "rmse_difference_nats": rmse,
        "rmse_difference_low_nats": rmse - half,
        "rmse_difference_high_nats": rmse + half,
    }


def _rmse_difference(squares: NDArray[np.float64]) -> float:
    """Return RMSE a - RMSE b from squared errors (seeds, 2)."""
    a, b = np.sqrt(squares.mean(0))
    return float(a - b)


def _cost(records: pd.DataFrame) -> pd.DataFrame:
    """Return the mean cost of a cell's finished runs."""
    # Records of older schemas have only the share of a training's time that was read by each of them.
    shares = records.groupby("training")["wall_s"].transform("sum")
    whole = records.assign(training_s=records["training_s"].fillna(shares))
    finished = whole[whole["status"] == "ok"]
    # A run on samples stops early, so that its number of steps is not known.
    steps = finished["steps"].where(finished["samples"].isna())
    costs = finished.assign(
        score_evaluations=steps * finished["train_n"].fillna(finished["n"]) ** 2,
        seconds_per_1000_steps=finished["training_s"] / steps * 1000,
    )
    columns = ["score_evaluations", "seconds_per_1000_steps"]
    return costs.groupby(CELL, sort=False, dropna=False)[columns].mean().reset_index()
