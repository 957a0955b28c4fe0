"""Estimators against each other on the same data: which is nearer the truth, and can these seeds tell?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mibench.analysis.cells import CELL, FIT, blocks, from_interval, summarise
from mibench.analysis.significance import holm, least_p, seeds_needed, sign_flip

Key = tuple[object, ...]

DATA = [column for column in CELL if column not in ("estimator", *FIT)]
"""What estimators have in common that are compared."""

SETTING = [*DATA, *FIT]

ALPHA = 0.05

NEARER, NO_DIFFERENCE, CANNOT_TELL = "nearer", "no difference found", "cannot tell"


@dataclass(frozen=True)
class Comparison:
    """A comparison of estimators.

    Attributes:
        cells: one row per estimator and setting, those of one setting together: the columns of `summarise`,
            with `score_evaluations` (pairs that one critic scores in its whole training) and
            `seconds_per_1000_steps` (one training's share of its pack, with all that is read from it), which
            are not known on samples, and `best` (the smallest RMSE of its setting among estimators of
            which half the runs finished, or none that is significantly larger).
        pairs: one row per pair of estimators and setting, `a` before `b` as they were given: `seeds` on which
            both finished; `difference_nats` = mean of estimate a - estimate b, `difference_se_nats`;
            `rmse_difference_nats`; `p` of the sign-flip test on the differences of the squared errors seed
            by seed; `p_holm`, adjusted over the whole table; `verdict`, and where that is "nearer", the
            `winner`. Settings in which the two differ are null.
        alpha: the level of the whole table.
        seeds_needed: with how many seeds the tests of this table could reject; None where with none.
    """

    cells: pd.DataFrame
    pairs: pd.DataFrame
    alpha: float
    seeds_needed: int | None


def compare(records: pd.DataFrame, alpha: float = ALPHA) -> Comparison:
    """Compare the estimators of some records, pair by pair within each setting.

    The probability that any of the table's differences is called one by chance is at most alpha. Squared
    errors are compared, so that the test is about the RMSE. Where the truth is an interval, an error is the
    distance from it. Estimators that are trained in other ways, or not at all, are compared on the same data.
    """
    found = {pair: row for group in blocks(records, DATA) for pair, row in _pairs(group).items()}
    pairs = pd.DataFrame(list(found.values()), columns=_PAIR_COLUMNS)
    pairs["p_holm"] = holm(list(pairs["p"]))
    decided = pairs["p_holm"] <= alpha
    nearer = pairs["a"].where(pairs["rmse_difference_nats"] < 0, pairs["b"])
    pairs["winner"] = nearer.where(decided)
    can_tell = np.array([least_p(seeds) * len(pairs) <= alpha for seeds in pairs["seeds"]], dtype=bool)
    pairs["verdict"] = np.where(decided, NEARER, np.where(can_tell, NO_DIFFERENCE, CANNOT_TELL))
    # In each pair that is decided: the cell that wins and the one that loses.
    lost = {
        pair if a == winner else pair[::-1]
        for pair, a, winner, is_decided in zip(found, pairs["a"], nearer, decided, strict=True)
        if is_decided
    }
    cells = summarise(records).merge(_cost(records), on=CELL, how="left")
    order = dict.fromkeys(index for block in blocks(cells, DATA) for index in block.index)
    cells = cells.loc[list(order)].reset_index(drop=True)
    cells["best"] = _best(cells, lost)
    return Comparison(cells, pairs, alpha, seeds_needed(max(len(pairs), 1), alpha))


_MEASURED = ["seeds", "difference_nats", "difference_se_nats", "rmse_difference_nats", "p"]
_PAIR_COLUMNS = [*SETTING, "a", "b", *_MEASURED]


def _key(values: Iterable[object]) -> Key:
    """Return what names a cell: its settings, with None where there is none."""
    return tuple(None if pd.isna(value) else value for value in values)  # type: ignore[call-overload]


def _pairs(block: pd.DataFrame) -> dict[tuple[Key, Key], dict[str, Any]]:
    """Return the differences between the cells of a block, by the two cells."""
    cells = {_key(cell): group for cell, group in block.groupby(CELL, sort=False, dropna=False)}
    by_seed = {cell: _by_seed(group) for cell, group in cells.items()}
    found = {}
    for one, other in itertools.combinations(cells, 2):
        a, b = dict(zip(CELL, one, strict=True)), dict(zip(CELL, other, strict=True))
        if a["estimator"] != b["estimator"]:
            both = by_seed[one].merge(by_seed[other], on="seed", suffixes=("_a", "_b"))
            setting = {column: a[column] if a[column] == b[column] else None for column in SETTING}
            found[one, other] = setting | {"a": a["estimator"], "b": b["estimator"]} | _difference(both)
    return found


def _by_seed(cell: pd.DataFrame) -> pd.DataFrame:
    """Return the estimate and error of each finished run of a cell, by its seed."""
    finished = cell[cell["status"] == "ok"]
    ends = (finished["true_mi_low_nats"], finished["true_mi_high_nats"])
    errors = from_interval(finished["estimate_nats"], *ends)
    values = pd.DataFrame({"seed": finished["seed"], "estimate": finished["estimate_nats"], "error": errors})
    return values.dropna().groupby("seed").mean()


def _difference(both: pd.DataFrame) -> dict[str, Any]:
    """Return the difference of two estimators from their estimates and errors, seed by seed."""
    seeds = len(both)
    if not seeds:
        return dict(zip(_MEASURED, (0, math.nan, math.nan, math.nan, 1.0), strict=True))
    difference = both["estimate_a"] - both["estimate_b"]
    squares_a, squares_b = both["error_a"] ** 2, both["error_b"] ** 2
    return {
        "seeds": seeds,
        "difference_nats": float(difference.mean()),
        "difference_se_nats": float(difference.std(ddof=1)) / math.sqrt(seeds),
        "rmse_difference_nats": math.sqrt(squares_a.mean()) - math.sqrt(squares_b.mean()),
        "p": sign_flip(np.asarray(squares_a - squares_b)),
    }


def _cost(records: pd.DataFrame) -> pd.DataFrame:
    """Return the mean cost of a cell's finished runs."""
    # Records of older schemas have only the share of a training's time that was read by each of them.
    shares = records.groupby("training")["wall_s"].transform("sum")
    whole = records.assign(training_s=records["training_s"].fillna(shares))
    finished = whole[whole["status"] == "ok"]
    # A run on samples stops early, so that its number of steps is not known.
    steps = finished["steps"].where(finished["samples"].isna())
    costs = finished.assign(
        score_evaluations=steps * finished["n"] ** 2,
        seconds_per_1000_steps=finished["training_s"] / steps * 1000,
    )
    columns = ["score_evaluations", "seconds_per_1000_steps"]
    return costs.groupby(CELL, sort=False, dropna=False)[columns].mean().reset_index()


def _best(cells: pd.DataFrame, lost: Collection[tuple[Key, Key]]) -> list[bool]:
    """Return which cells have the smallest RMSE of their setting, or no significantly larger one."""
    # A few lucky runs of an estimator that mostly fails are not the best of anything.
    errors = cells["rmse_nats"].where(2 * cells["failed"] <= cells["runs"])
    keys = dict(zip(cells.index, map(_key, cells[CELL].itertuples(index=False)), strict=True))
    best = set()
    for block in blocks(cells, DATA):
        measured = errors[block.index].dropna()
        if len(measured):
            winner = keys[measured.idxmin()]
            best |= {index for index in measured.index if (winner, keys[index]) not in lost}
    return [index in best for index in cells.index]
