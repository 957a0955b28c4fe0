"""Is a difference across seeds more than chance? Paired permutation tests, and how much they can tell.

The runs of one seed share their data, so two estimators, or two versions of one, are compared seed by seed.
If nothing differs, each difference is as likely to be d as -d; no other assumption is made.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

MOST_EXACT = 18
"""Up to so many seeds all 2^S sign patterns are gone through; beyond, so many random ones as 2^18."""

SEED = 1905_06922


def sign_flip(differences: Sequence[float] | Numbers) -> float:
    """Return the two-sided p-value of the sign-flip permutation test that the mean difference is zero.

    p is the share of sign patterns whose mean is at least as far from zero as the one that was seen; it is
    exact up to 18 differences. The smallest value it can have is 2^(1-S) for S differences (`least_p`).
    It is 1 where there are no differences, or where all are zero.

    Reference: Fisher 1935, The Design of Experiments; for random patterns, Phipson & Smyth 2010, arXiv
    1603.05766 (the pattern that was seen counts as one of them).
    """
    values = np.asarray(differences, dtype=float)
    values = values[~np.isnan(values)]
    if not values.any():
        return 1.0
    signs = _signs(len(values))
    sums = np.abs(signs @ values)
    seen = abs(values.sum())
    # Sums of the same numbers in another order differ by rounding.
    as_far = int((sums >= seen - 1e-9 * np.abs(values).sum()).sum())
    if len(values) <= MOST_EXACT:
        return as_far / len(signs)
    return (as_far + 1) / (len(signs) + 1)


@cache
def _signs(count: int) -> Numbers:
    """Return sign patterns (patterns, count): all of them, or random ones, always the same.

    Of a pattern and its negative, whose means are as far from zero, one stands for both.
    """
    if count <= MOST_EXACT:
        return np.array([(1.0, *others) for others in itertools.product((1.0, -1.0), repeat=count - 1)])
    return np.random.default_rng(SEED).choice((1.0, -1.0), size=(2**MOST_EXACT, count))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's step-down method: reject where adjusted <= alpha.

    The probability of any false rejection among them is at most alpha, whatever their dependence.

    Reference: Holm 1979, Scandinavian Journal of Statistics 6.
    """
    adjusted, least = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        least = max(least, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, least)
    return adjusted


def least_p(seeds: int) -> float:
    """Return the smallest p-value that the sign-flip test can have with so many seeds."""
    if seeds < 1:
        return 1.0
    return 2.0 ** (1 - seeds) if seeds <= MOST_EXACT else 1 / (2**MOST_EXACT + 1)


def seeds_needed(tests: int, alpha: float) -> int:
    """Return how many seeds the sign-flip test must have to reject at all, under Holm over so many tests."""
    return math.ceil(1 + math.log2(tests / alpha))


def detectable(differences: Sequence[float] | Numbers, level: float) -> float:
    """Return the shift of all differences, beside their own mean, above which p <= level.

    It is what a test with the spread that is seen here can tell from nothing; infinite with too few seeds.
    """
    values = np.asarray(differences, dtype=float)
    values = values[~np.isnan(values)] - np.nanmean(values) if len(values) else values
    if least_p(len(values)) > level:
        return math.inf
    signs, count = _signs(len(values)), len(values)
    sums, net = signs @ values, signs.sum(1)
    # |sum + shift * net| >= shift * count, as long as the shift is at most this.
    with np.errstate(divide="ignore", invalid="ignore"):
        until = np.maximum(sums / (count - net), -sums / (count + net))
    until[np.abs(net) == count] = math.inf
    patterns = len(signs) if count <= MOST_EXACT else len(signs) + 1
    allowed = math.floor(level * patterns) - (count > MOST_EXACT)
    index = len(until) - 1 - allowed
    return float(np.partition(until, index)[index])
