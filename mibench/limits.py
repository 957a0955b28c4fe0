"""How much, and how little, an estimate may rightly be: beyond these limits a run counts as diverged."""

from __future__ import annotations

import math

WORSE_THAN_NOTHING_NATS = -10.0
WORSE_SHARE = 0.1
"""A critic that ignores its input reads about 0. More than a tenth of the batches below -10 is a failure:
even NWJ's heavy tail, where E_Q[exp(f - 1)] = 1, has a batch mean above 11 with probability below 1/11."""

ABSURD_NATS = -1000.0
"""A mean below this is a failure, however few batches make it so."""

MARGIN_NATS = 10.0

LARGEST = 1e100
"""No number of a user or of a record is beyond this: squares of much larger ones are infinite in float64."""


def most(exact: float | None, n: int) -> float:
    """Return the most that a lower bound or a plug-in can rightly read from batches of n, in nats.

    It is twice the larger of the value at the exact density ratio (`exact`, None where that is not known) and
    log n^2, plus 10: the n^2 pairs of a batch cannot certify more than about their logarithm (McAllester &
    Stratos 2020, arXiv 1811.04251), and no published estimator reads twice its exact value.
    """
    known = -math.inf if exact is None or math.isnan(exact) else exact
    return 2 * max(known, 2 * math.log(n)) + MARGIN_NATS


def too_high(estimate: float, exact: float | None, n: int) -> str:
    """Return why an estimate is more than it can rightly be, or nothing."""
    limit = most(exact, n)
    if not estimate > limit:
        return ""
    return f"the estimate's mean is {estimate:.4g} nats, and at n = {n} more than {limit:.3g} cannot be right"
