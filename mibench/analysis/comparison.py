"""Estimators against each other on the same data: which is nearer the truth, and can these seeds tell?"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mibench.analysis.cells import CELL, from_interval, summarise
from mibench.analysis.significance import Numbers, holm, least_p, seeds_needed, sign_flip

SETTING = [column for column in CELL if column != "estimator"]
"""What estimators are compared within."""

ALPHA = 0.05

NEARER, NO_DIFFERENCE, CANNOT_TELL = "nearer", "neither, as far as seen", "cannot tell"


@dataclass(frozen=True)
class Comparison:
    """A comparison of estimators.

    Attributes:
        cells: a row an estimator and setting, those of one setting together: the columns of `summarise`,
            with `score_evaluations` (pairs that one critic scores in its whole training) and
            `seconds_per_1000_steps` (one training's share of its pack, with all its read-outs), neither of
            which is known on samples, and `best` (the smallest RMSE of its setting among estimators of
            which half the runs finished, or none that is significantly larger).
        pairs: a row a pair of estimators and setting, `a` before `b` as they were given: `seeds` on which
            both finished; `difference_nats` = mean of estimate a - estimate b, `difference_se_nats`;
            `rmse_difference_nats`; `p` of the sign-flip test on the differences of the squared errors seed
            by seed; `p_holm`, adjusted over the whole table; `verdict`.
        alpha: the level of the whole table.
        seeds_needed: with how many seeds the tests of this table could reject.
    """

    cells: pd.DataFrame
    pairs: pd.DataFrame
    alpha: float
    seeds_needed: int


def compare(records: pd.DataFrame, alpha: float = ALPHA) -> Comparison:
    """Compare the estimators of some records, pair by pair within each setting.

    The probability that any of the table's differences is called one by chance is at most alpha. Squared
    errors are compared, so that the test is about the RMSE. Where the truth is an interval, an error is the
    distance from it.
    """
    groups = [group for _, group in records.groupby(SETTING, sort=False, dropna=False)]
    rows = [row for group in groups for row in _pairs(group)]
    pairs = pd.DataFrame(rows, columns=_PAIR_COLUMNS)
    pairs["p_holm"] = holm(list(pairs["p"]))
    pairs["verdict"] = [_verdict(row, len(rows), alpha) for row in pairs.to_dict("records")]
    cells = _by_setting(summarise(records).merge(_cost(records), on=CELL, how="left"))
    cells["best"] = _best(cells, pairs)
    return Comparison(cells, pairs, alpha, seeds_needed(max(len(rows), 1), alpha))


_MEASURED = ["seeds", "difference_nats", "difference_se_nats", "rmse_difference_nats", "p"]
_PAIR_COLUMNS = [*SETTING, "a", "b", *_MEASURED]


def _pairs(group: pd.DataFrame) -> list[dict[str, Any]]:
    finished = group[group["status"] == "ok"]
    ends = (finished["true_mi_low_nats"], finished["true_mi_high_nats"])
    measured = finished.assign(error=from_interval(finished["estimate_nats"], *ends))
    estimates, errors = (
        measured.pivot_table(index="seed", columns="estimator", values=value)
        for value in ("estimate_nats", "error")
    )
    setting = {column: group.iloc[0][column] for column in SETTING}
    return [
        setting | {"a": a, "b": b} | _difference(*_paired(estimates, a, b), *_paired(errors, a, b))
        for a, b in itertools.combinations(group["estimator"].unique(), 2)
    ]


def _paired(by_seed: pd.DataFrame, a: str, b: str) -> tuple[Numbers, Numbers]:
    """Return the values of two estimators on the seeds that both finished."""
    both = by_seed.reindex(columns=[a, b]).dropna()
    return both[a].to_numpy(dtype=float), both[b].to_numpy(dtype=float)


def _difference(a: Numbers, b: Numbers, error_a: Numbers, error_b: Numbers) -> dict[str, Any]:
    """Return the difference of two estimators from their estimates and errors, seed by seed."""
    seeds = len(a)
    if not seeds:
        return dict(zip(_MEASURED, (0, math.nan, math.nan, math.nan, 1.0), strict=True))
    squares_a, squares_b = error_a**2, error_b**2
    return {
        "seeds": seeds,
        "difference_nats": float((a - b).mean()),
        "difference_se_nats": float((a - b).std(ddof=1)) / math.sqrt(seeds) if seeds > 1 else math.nan,
        "rmse_difference_nats": math.sqrt(squares_a.mean()) - math.sqrt(squares_b.mean()),
        "p": sign_flip(squares_a - squares_b),
    }


def _verdict(row: dict[Any, Any], tests: int, alpha: float) -> str:
    if row["p_holm"] <= alpha:
        return f"{row['a'] if row['rmse_difference_nats'] < 0 else row['b']} {NEARER}"
    return CANNOT_TELL if least_p(row["seeds"]) * tests > alpha else NO_DIFFERENCE


def _by_setting(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells with those of one setting together, settings and estimators as they came."""
    order = cells.groupby(SETTING, sort=False, dropna=False).ngroup()
    return cells.iloc[order.argsort(kind="stable")].reset_index(drop=True)


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


def _best(cells: pd.DataFrame, pairs: pd.DataFrame) -> list[bool]:
    """Return which cells have the smallest RMSE of their setting, or no significantly larger one."""

    names = dict(cells["estimator"].items())

    def first(errors: pd.Series[float]) -> str | None:
        return str(names[errors.idxmin()]) if errors.notna().any() else None

    # A few lucky runs of an estimator that mostly fails are not the best of anything.
    sound = cells["rmse_nats"].where(2 * cells["failed"] <= cells["runs"])
    groups = cells.assign(sound=sound).groupby(SETTING, sort=False, dropna=False)["sound"]
    beside = cells.assign(winner=groups.transform(first))
    merged = beside.merge(_lost(pairs), on=[*SETTING, "winner", "estimator"], how="left", indicator=True)
    return list((merged["_merge"] == "left_only") & sound.notna())


def _lost(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return (setting, winner, estimator) for each estimator that another is nearer than."""
    decided = pairs[pairs["verdict"].str.endswith(f" {NEARER}")] if len(pairs) else pairs
    winner = decided["verdict"].str.removesuffix(f" {NEARER}") if len(decided) else decided["a"]
    loser = decided["b"].where(decided["a"] == winner, decided["a"])
    return decided[SETTING].assign(winner=winner, estimator=loser)
