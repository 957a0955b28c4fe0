"""Is a difference across seeds more than chance? Paired tests, and how much they can tell.

The runs of one seed share their data, so two estimators, or two versions of one, are compared seed by seed.
Each test has its own null hypothesis: of two versions, that nothing differs, so each difference is as likely
to be d as -d (`sign_flip`); of two estimators, that either is as likely to be the nearer one (`sign_test`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

MOST_EXACT = 18
"""Up to this many seeds all 2^S sign patterns are tried; beyond, 2^18 random ones."""

CONFIDENCE = 0.95
"""Of all intervals."""

SEED = 1905_06922

_CHUNK = 2**14  # patterns that are held at once


def half_width(spread: float, count: int, extra: float = 0.0) -> float:
    """Return half the width of the 95% Student interval for a mean, t * spread * sqrt(1 / count + extra).

    `spread` is the standard deviation of `count` values; with fewer than two there is no interval (NaN). With
    `extra` = 1 the interval is for one more value, and with the ratio of test rows to others for a mean over
    random splits (Nadeau & Bengio 2003, Machine Learning 52).
    """
    from scipy import stats  # takes a second to import

    if count < 2:
        return math.nan
    width = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * spread
    return width * math.sqrt(1 / count + extra) if extra else width / math.sqrt(count)


def sign_test(wins: int, losses: int) -> float:
    """Return the one-sided p-value of the exact sign test that a win is at most as likely as a loss.

    p = P(K >= wins) for K ~ Binomial(wins + losses, 1/2). Ties are left out. The only assumption is that
    the seeds are independent. The smallest value p can have is 2^-(wins + losses).

    Reference: Dixon & Mood 1946, Journal of the American Statistical Association 41.
    """
    count = wins + losses
    return sum(math.comb(count, more) for more in range(wins, count + 1)) / (1 << count)


def sign_test_seeds(pairs: int, alpha: float) -> int:
    """Return how many seeds without ties let sign tests reject at all, under Holm over 2 * pairs tests."""
    return next(seeds for seeds in itertools.count(1) if 2 * pairs * 2.0**-seeds <= alpha)


def sign_flip(differences: Sequence[float] | Numbers) -> float:
    """Return the two-sided p-value of the sign-flip test that differences are symmetric about zero.

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
    # Sums of the same numbers in another order differ by rounding.
    seen = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    as_far = sum(int((np.abs(signs @ values) >= seen).sum()) for signs in _signs(len(values)))
    return as_far * least_p(len(values)) if len(values) <= MOST_EXACT else (as_far + 1) / (2**MOST_EXACT + 1)


def _signs(count: int) -> Iterator[Numbers]:
    """Yield sign patterns, chunks of shape (patterns, count): all of them, or random ones, always the same.

    Of a pattern and its negative, whose means are as far from zero, one stands for both.
    """
    if count <= MOST_EXACT:
        yield _all_signs(count)
        return
    generator = np.random.default_rng(SEED)
    for _ in range(0, 2**MOST_EXACT, _CHUNK):
        octets = np.frombuffer(generator.bytes(_CHUNK * -(-count // 8)), dtype=np.uint8)
        flipped = np.unpackbits(octets.reshape(_CHUNK, -1), axis=1, count=count)
        yield 1.0 - 2.0 * flipped.astype(np.float64)


@cache
def _all_signs(count: int) -> Numbers:
    patterns = np.arange(2 ** max(count - 1, 0))[:, None]
    return 1.0 - 2.0 * (patterns >> np.arange(count) & 1).astype(np.float64)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's step-down method: reject where adjusted <= alpha.

    The probability of any false rejection among them is at most alpha, however they depend on each other.

    Reference: Holm 1979, Scandinavian Journal of Statistics 6.
    """
    adjusted, least = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        least = max(least, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, least)
    return adjusted


def least_p(seeds: int) -> float:
    """Return the smallest p-value that the sign-flip test can have with this many seeds."""
    if seeds < 1:
        return 1.0
    return 2.0 ** (1 - seeds) if seeds <= MOST_EXACT else 1 / (2**MOST_EXACT + 1)


def seeds_needed(tests: int, alpha: float) -> int | None:
    """Return how many seeds the sign-flip test needs to reject at all, under Holm over this many tests.

    None where no number of seeds suffices: beyond 18, p is never below 1 / (2^18 + 1).
    """
    counts = range(1, MOST_EXACT + 2)
    return next((seeds for seeds in counts if least_p(seeds) * tests <= alpha), None)


def seeds_words(tests: int, alpha: float) -> str:
    """Say how many seeds are needed (`seeds_needed`)."""
    needed = seeds_needed(tests, alpha)
    if needed is None:
        return f"no number of seeds suffices, since no p-value is below {least_p(MOST_EXACT + 1):.2g}"
    return f"{needed} seeds are needed"


def detectable(differences: Sequence[float] | Numbers, level: float) -> float:
    """Return the shift of all differences, beside their own mean, above which p <= level.

    It is what a test with the spread that is seen here can tell from nothing; infinite with too few seeds.
    """
    values = np.asarray(differences, dtype=float)
    values = values[~np.isnan(values)] - np.nanmean(values) if len(values) else values
    count = len(values)
    if least_p(count) > level:
        return math.inf
    chunks = []
    for signs in _signs(count):
        sums, net = signs @ values, signs.sum(1)
        # |sum + shift * net| >= shift * count, as long as the shift is at most this.
        with np.errstate(divide="ignore", invalid="ignore"):
            until = np.maximum(sums / (count - net), -sums / (count + net))
        until[np.abs(net) == count] = math.inf
        chunks.append(until)
    until = np.concatenate(chunks)
    patterns = len(until) if count <= MOST_EXACT else len(until) + 1
    index = len(until) - 1 - (math.floor(level * patterns) - (count > MOST_EXACT))
    return float(np.partition(until, index)[index])
