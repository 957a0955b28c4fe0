"""Which of two is nearer the truth: the rate of false verdicts that is claimed, and what is not told."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from mibench.analysis.nearer import (
    CANNOT_TELL,
    NEARER,
    NO_DIFFERENCE,
    OF_SURVIVORS,
    ONE_SEED,
    RMSE_DISAGREES,
    TOO_FEW,
    decide,
)
from mibench.analysis.significance import holm, sign_flip

ALPHA = 0.05
SEEDS = 12
TABLES = 2000
MOST_FALSE = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / TABLES)


def constant(generator, size):
    return 1 + 0.05 * generator.normal(size=size)


def heavy(generator, size):
    return generator.standard_t(3, size)


def normal(generator, size):
    return generator.normal(size=size)


def biased(generator, size):
    return 1 + 0.3 * generator.normal(size=size)


def skewed(generator, size):
    return generator.exponential(size=size) ** 2


def two_groups(generator, size):
    return np.where(generator.random(size) < 0.3, 3.0, 0.5) + 0.1 * generator.normal(size=size)


SHAPES = [(constant, heavy), (normal, biased), (skewed, normal), (two_groups, normal), (two_groups, heavy)]


def evened(one, other):
    """The factor of the other's errors at which either is as likely to be the nearer one."""
    generator = np.random.default_rng(11)
    return float(np.median(np.abs(one(generator, 10**6) / other(generator, 10**6))))


def simulated(one, other, factor):
    """Tables of the six pairs of four estimators, two of each shape, on seeds that some find harder."""
    generator = np.random.default_rng(12)
    errors = [
        scale * shape(generator, (TABLES, SEEDS))
        for shape, scale in ((one, 1.0), (other, factor))
        for _ in "ab"
    ]
    hardness = generator.lognormal(0, 1, (TABLES, SEEDS))
    pairs = [np.stack(pair, -1) * hardness[..., None] for pair in itertools.combinations(errors, 2)]
    return [[pair[table] for pair in pairs] for table in range(TABLES)]


@pytest.mark.parametrize(("one", "other"), SHAPES)
def test_false_verdicts_are_as_rare_as_claimed_whatever_the_shapes(one, other):
    """Each table's six null hypotheses are all true, and no two tables are of the same seeds."""
    tables = simulated(one, other, evened(one, other))
    between = np.array([[abs(pair[:, 0]) < abs(pair[:, 1]) for pair in table[1:5]] for table in tables])
    assert between.mean() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(TABLES * SEEDS))
    decided = [decide(table, ALPHA, [False] * len(table)) for table in tables]
    significant = [any(one.p_holm <= ALPHA for one in decisions) for decisions in decided]
    told = [any(one.winner is not None for one in decisions) for decisions in decided]
    assert 0 < np.mean(significant) <= MOST_FALSE
    assert np.mean(told) <= np.mean(significant)


@pytest.mark.parametrize(
    ("one", "other", "root_mean_squares"),
    [(constant, heavy, (math.sqrt(1.0025), math.sqrt(3))), (skewed, constant, (math.sqrt(24), 1.00125))],
)
def test_sign_flips_of_squared_errors_would_tell_equal_rmses_apart(one, other, root_mean_squares):
    """Squared errors with equal means are not exchangeable where their shapes differ."""
    ours, theirs = root_mean_squares
    tables = simulated(one, other, ours / theirs)[:500]
    false = [
        min(holm([sign_flip(a**2 - b**2) for a, b in map(np.transpose, pairs)])) <= ALPHA for pairs in tables
    ]
    assert np.mean(false) > 2 * ALPHA


def test_a_clear_difference_is_found():
    tables = simulated(constant, lambda generator, size: 1.0 + 0.0 * generator.random(size), 3.0)
    for table in tables[:200]:
        found = [one.winner for one in decide(table, ALPHA, [False] * 6)]
        assert found[1:5] == [0] * 4


def test_p_values_are_those_of_binomial_tests_in_both_directions():
    generator = np.random.default_rng(3)
    pairs = [generator.normal(0, (1.0, scale), (10, 2)) for scale in (1.0, 3.0, 0.2, 8.0, 1.5)]
    found = decide(pairs, ALPHA, [False] * 5)
    wins = [(sum(abs(a) < abs(b) for a, b in pair), sum(abs(b) < abs(a) for a, b in pair)) for pair in pairs]
    assert [(one.nearer_a, one.nearer_b) for one in found] == wins
    two_sided = [stats.binomtest(a, a + b).pvalue for a, b in wins]
    assert [one.p for one in found] == pytest.approx(two_sided)
    left = sorted(
        (stats.binomtest(won, a + b, alternative="greater").pvalue, index)
        for index, (a, b) in enumerate(wins)
        for won in (a, b)
    )
    adjusted = {}
    for rank, (p, index) in enumerate(left):
        adjusted.setdefault(index, max([(10 - rank) * p, *adjusted.values()]))
    assert [one.p_holm for one in found] == pytest.approx([min(1.0, adjusted[index]) for index in range(5)])


def alone(a, b, unsure=False, alpha=ALPHA):
    (decision,) = decide([np.column_stack([a, b])], alpha, [unsure])
    return decision


def test_ties_are_left_out():
    won = alone([0.0] * 4 + [0.1] * 6, [0.0] * 4 + [-0.5] * 6)
    assert (won.nearer_a, won.nearer_b, won.p) == (6, 0, 2**-5)
    assert (won.verdict, won.winner) == (NEARER, 0)
    too_few = alone([0.0] * 5 + [0.1] * 5, [0.0] * 5 + [0.5] * 5)
    assert (too_few.verdict, too_few.reason) == (CANNOT_TELL, TOO_FEW)
    inside = alone([0.0] * 12, [0.0] * 12)
    assert (inside.nearer_a, inside.nearer_b, inside.p, inside.verdict) == (0, 0, 1.0, CANNOT_TELL)


@pytest.mark.parametrize("seeds", [0, 1])
def test_no_seeds_and_one_tell_nothing(seeds):
    found = alone([0.1] * seeds, [9.0] * seeds, alpha=0.99)
    assert (found.p, found.p_holm, found.reason) == (1.0, 1.0, TOO_FEW)
    assert decide([], ALPHA, []) == []


def test_the_nearer_one_on_most_seeds_is_not_told_where_its_rmse_is_larger():
    lost = alone([0.9] * 11 + [3.0], [1.0] * 12)
    assert lost.p <= ALPHA
    assert (lost.verdict, lost.reason, lost.winner) == (CANNOT_TELL, RMSE_DISAGREES, None)


def test_nor_where_the_order_of_the_rmses_rests_on_one_seed():
    """The sum of b's squares is 0.1 larger, and on each seed that a wins by 0.19."""
    doubtful = alone([0.9] * 11 + [math.sqrt(12 - 11 * 0.81 - 0.1)], [1.0] * 12)
    assert (doubtful.nearer_a, doubtful.verdict, doubtful.reason) == (11, CANNOT_TELL, ONE_SEED)
    sure = alone([0.9] * 11 + [math.sqrt(12 - 11 * 0.81 - 0.2)], [1.0] * 12)
    assert (sure.nearer_a, sure.verdict, sure.winner) == (11, NEARER, 0)


def test_survivors_have_no_verdict():
    assert alone([0.1] * 9, [0.5] * 9).verdict == NEARER
    found = alone([0.1] * 9, [0.5] * 9, unsure=True)
    assert (found.verdict, found.reason, found.winner) == (CANNOT_TELL, OF_SURVIVORS, None)
    assert found.p == 2**-8


def test_what_could_have_been_found_and_was_not_is_no_difference():
    assert alone([0.1, -0.5] * 6, [0.5, 0.1] * 6).verdict == NO_DIFFERENCE
