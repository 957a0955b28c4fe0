"""Which of two estimators is nearer the truth: sign tests over seeds, and where they give no verdict."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mibench.analysis.significance import holm, sign_test, sign_test_seeds

Numbers = NDArray[np.float64]

NEARER, NO_DIFFERENCE, CANNOT_TELL = "nearer", "no difference found", "cannot tell"

TOO_FEW = "too few seeds"
OF_SURVIVORS = "of survivors"
RMSE_DISAGREES = "RMSE disagrees"
ONE_SEED = "RMSE rests on one seed"


@dataclass(frozen=True)
class Decision:
    """Which of two estimators, a and b, is nearer the truth in most seeds.

    Attributes:
        nearer_a, nearer_b: on how many seeds each is strictly nearer the truth.
        p: two-sided p-value of the exact sign test.
        p_holm: the same, adjusted by Holm's method over both directions of all pairs.
        winner: 0 for a, 1 for b, None without a verdict.
        reason: why it cannot be told; empty where it can.
    """

    nearer_a: int
    nearer_b: int
    p: float
    p_holm: float
    winner: int | None
    reason: str

    @property
    def verdict(self) -> str:
        """`NEARER`, `NO_DIFFERENCE` or `CANNOT_TELL`."""
        if self.reason:
            return CANNOT_TELL
        return NO_DIFFERENCE if self.winner is None else NEARER


def decide(pairs: Sequence[Numbers], alpha: float, of_survivors: Sequence[bool]) -> list[Decision]:
    """Decide for each pair of a table which of the two is nearer the truth on most seeds.

    The null hypothesis is that on a new seed the one is at most as likely to be the nearer of the two as the
    other. Both directions of all pairs are tested, so the probability that any verdict of the table is false
    is at most alpha, whatever the shapes of the errors and however the pairs depend on each other. The only
    assumption is that the seeds are independent.

    A difference that is significant gives no verdict where the winner's RMSE is not the smaller one with each
    single seed left out: with heavy tails, being nearer on most seeds and being nearer in the mean square are
    two things. Nor is there a verdict on the survivors of an estimator that often fails.

    Args:
        pairs: the errors of a and b, seed by seed: (seeds, 2) each.
        alpha: the probability of any false verdict.
        of_survivors: which pairs have too many failed runs.
    """
    wins = [_wins(errors) for errors in pairs]
    tests = [(sign_test(a, b), sign_test(b, a)) for a, b in wins]
    adjusted = holm(list(itertools.chain(*tests)))
    needed = sign_test_seeds(max(len(pairs), 1), alpha)
    decisions = []
    for index, errors in enumerate(pairs):
        won, directions = wins[index], tests[index]
        leader = int(np.argmin(directions))
        p_holm = adjusted[2 * index + leader]
        is_significant = p_holm <= alpha
        if of_survivors[index]:
            reason = OF_SURVIVORS
        elif is_significant:
            reason = _doubt(errors, leader)
        else:
            reason = TOO_FEW if sum(won) < needed else ""
        winner = leader if is_significant and not reason else None
        decisions.append(Decision(*won, min(1.0, 2 * directions[leader]), p_holm, winner, reason))
    return decisions


def _wins(errors: Numbers) -> tuple[int, int]:
    """Return on how many seeds each of two is strictly nearer the truth."""
    a, b = np.abs(errors).T
    return int((a < b).sum()), int((b < a).sum())


def _doubt(errors: Numbers, leader: int) -> str:
    """Return why the RMSE does not bear a verdict out; nothing where it does, with any one seed left out."""
    excess = errors[:, 1 - leader] ** 2 - errors[:, leader] ** 2
    if excess.sum() <= 0:
        return RMSE_DISAGREES
    return "" if (excess.sum() - excess > 0).all() else ONE_SEED
