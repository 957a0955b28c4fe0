"""Do seeds fall into two groups? Then their mean is of neither, and its standard error says little."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mibench.analysis.significance import SEED, holm

Numbers = NDArray[np.float64]

LEAST_SEEDS = 6
LEAST_IN_A_GROUP = 2
ALPHA = 0.01
SIMULATED = 2**15


def apart(cells: Sequence[Numbers]) -> list[float]:
    """Return for each cell how far apart the means of its two groups of seeds are, NaN where there is one.

    Sorted values are cut in two where this explains most of their variance, with two values or more on either
    side; the share that is explained is compared with that of 32,768 samples of a normal distribution. The
    probability that any cell is called divided where all are normal is at most 0.01 (Holm over the cells
    with six seeds or more; fewer cannot show groups).
    """
    cuts = [_best_cut(np.sort(values)) if len(values) >= LEAST_SEEDS else None for values in cells]
    tested = [(values, cut) for values, cut in zip(cells, cuts, strict=True) if cut is not None]
    adjusted = iter(holm([_p_value(cut[0], len(values)) for values, cut in tested]))
    return [cut[1] if cut is not None and next(adjusted) <= ALPHA else math.nan for cut in cuts]


def _best_cut(values: Numbers) -> tuple[float, float]:
    """Return the largest share of the variance that a cut explains, and the distance of the two means."""
    shares, distances = _cuts(values[None])
    best = int(shares[0].argmax())
    return float(shares[0, best]), float(distances[0, best])


def _cuts(values: Numbers) -> tuple[Numbers, Numbers]:
    """Return the share that each cut of sorted values (samples, count) explains, and the means' distance."""
    count = values.shape[1]
    below = np.arange(LEAST_IN_A_GROUP, count - LEAST_IN_A_GROUP + 1)
    centred = values - values.mean(1, keepdims=True)
    sums = centred.cumsum(1)[:, below - 1]
    # Both sums are the same but for their sign.
    between = sums**2 * (1 / below + 1 / (count - below))
    total = (centred**2).sum(1, keepdims=True)
    shares = np.divide(between, total, out=np.zeros_like(between), where=total > 0)
    return shares, -sums * (1 / below + 1 / (count - below))


def _p_value(share: float, count: int) -> float:
    null = _null(count)
    return float(len(null) - np.searchsorted(null, share - 1e-12) + 1) / (len(null) + 1)


@cache
def _null(count: int) -> Numbers:
    """Return in order the share that the best cut explains in samples of a normal distribution."""
    samples = np.random.default_rng(SEED).standard_normal((SIMULATED, count))
    shares, _ = _cuts(np.sort(samples, axis=1))
    return np.sort(shares.max(1))
