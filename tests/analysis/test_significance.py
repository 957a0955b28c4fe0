"""The paired tests: exact where possible, and with the error rates that they claim."""

import math
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from mibench.analysis.significance import (
    detectable,
    half_width,
    holm,
    least_p,
    seeds_needed,
    sign_flip,
    sign_test,
    sign_test_seeds,
)


def test_sign_flip_is_scipys_exact_test():
    generator = np.random.default_rng(0)
    for count in (2, 5, 9):
        values = generator.normal(0.5, 1, count)
        expected = stats.permutation_test(
            (values,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
        )
        assert sign_flip(values) == pytest.approx(expected.pvalue)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (0, 3), (3, 0), (11, 1), (6, 6), (700, 640)])
def test_sign_test_is_scipys_binomial_test(wins, losses):
    count = wins + losses
    expected = stats.binomtest(wins, count, alternative="greater").pvalue if count else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("pairs", "alpha"), [(1, 0.05), (30, 0.05), (30, 1e-5), (4, 0.0625), (1, 0.99)])
def test_sign_tests_reject_with_the_seeds_that_are_needed_and_no_fewer(pairs, alpha):
    seeds = sign_test_seeds(pairs, alpha)
    adjusted = [min(holm([sign_test(count, 0), *[1.0] * (2 * pairs - 1)])) for count in (seeds - 1, seeds)]
    assert adjusted[1] <= alpha < adjusted[0]


def test_the_smallest_p_value_is_reached_where_all_signs_agree():
    for count in (1, 2, 5, 12):
        assert sign_flip(np.linspace(1, 2, count)) == least_p(count) == 2.0 ** (1 - count)
        assert sign_flip(-np.linspace(1, 2, count)) == least_p(count)
    assert sign_flip(np.ones(30)) == least_p(30) < 1e-4


def test_no_difference_is_no_evidence():
    assert sign_flip([]) == sign_flip([0.0] * 8) == sign_flip([math.nan]) == 1.0
    assert sign_flip([1.0, -1.0]) == 1.0
    assert least_p(0) == 1.0


def test_false_rejections_are_as_rare_as_claimed():
    generator = np.random.default_rng(1)
    for count in (8, 20):
        p_values = [sign_flip(generator.normal(0, 1, count)) for _ in range(500)]
        for level in (0.05, 0.2):
            share = np.mean(np.array(p_values) <= level)
            assert share <= level + 3 * math.sqrt(level * (1 - level) / 500)


def test_holm_is_the_step_down_method():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.02, 0.5, 0.6]) == pytest.approx([0.06, 1.0, 1.0])
    assert holm([]) == []


def test_holm_rarely_rejects_anything_that_is_true():
    generator = np.random.default_rng(2)
    families = [min(holm(list(generator.uniform(size=12)))) <= 0.05 for _ in range(1000)]
    assert np.mean(families) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)


@pytest.mark.parametrize(("tests", "alpha"), [(1, 0.05), (30, 0.05), (12, 0.01), (4, 0.0625)])
def test_seeds_needed_is_the_least_that_can_reject(tests, alpha):
    seeds = seeds_needed(tests, alpha)
    assert least_p(seeds) * tests <= alpha < least_p(seeds - 1) * tests


@pytest.mark.parametrize("count", [12, 16, 20])
def test_detectable_is_where_the_test_begins_to_reject(count):
    values = np.random.default_rng(3).normal(5.0, 0.1, count)
    shift, centred = detectable(values, 0.001), values - values.mean()
    assert sign_flip(centred + 1.0001 * shift) <= 0.001 < sign_flip(centred + 0.9999 * shift)
    assert detectable(values[:5], 0.001) == math.inf
    assert detectable(np.zeros(12), 0.001) < 1e-9


def test_no_number_of_seeds_is_promised_that_cannot_reject():
    """Thirty tests at 1e-5 ask for p of 3.3e-7, and beyond 18 seeds none is below 3.8e-6."""
    assert seeds_needed(30, 1e-5) is None
    assert least_p(10**6) == least_p(19) == 1 / (2**18 + 1)
    assert seeds_needed(1, least_p(19)) == 19
    assert seeds_needed(1, 0.99 * least_p(19)) is None
    assert sign_flip(np.ones(200)) == least_p(200)


def test_many_seeds_need_little_memory():
    tracemalloc.start()
    sign_flip(np.random.default_rng(0).normal(size=200))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150 * 2**20
    assert held < 2**20  # nothing is kept


def test_random_patterns_agree_with_the_exact_test():
    values = np.random.default_rng(4).normal(0.35, 1, 18)
    exact = sign_flip(values)
    assert 0.01 < exact < 0.5
    assert sign_flip([*values, 0.0]) == pytest.approx(exact, abs=5 * math.sqrt(exact / 2**18))


def test_half_width_is_that_of_students_interval():
    values = np.random.default_rng(5).normal(size=7)
    low, high = stats.t.interval(0.95, 6, values.mean(), stats.sem(values))
    assert half_width(values.std(ddof=1), 7) == pytest.approx((high - low) / 2)
    assert math.isnan(half_width(1.0, 1))
