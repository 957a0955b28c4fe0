"""The paired tests: exact where possible, and with the error rates that they claim."""

import math

import numpy as np
import pytest
from scipy import stats

from mibench.analysis.significance import detectable, holm, least_p, seeds_needed, sign_flip


def test_sign_flip_is_scipys_exact_test():
    generator = np.random.default_rng(0)
    for count in (2, 5, 9):
        values = generator.normal(0.5, 1, count)
        expected = stats.permutation_test(
            (values,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
        )
        assert sign_flip(values) == pytest.approx(expected.pvalue)


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
