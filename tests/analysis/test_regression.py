"""Every verdict of a check, and the error rates that it claims, on simulated differences."""

import math
from functools import cache

import numpy as np
import pytest

from mibench.analysis.regression import (
    ABOVE_CEILING,
    ALPHA,
    CANNOT_DETECT,
    CHANGED,
    FINE,
    NEWLY_FAILING,
    NOT_DETERMINISTIC,
    Cell,
    compare,
)
from mibench.store import baseline as baselines

SAME_KEY_NATS = 1e-3
"""More than the standard deviation, over seeds, of what other kernels change in a cell of the reference."""

SPREAD_NATS = 0.03
"""More than that of a cell's estimates themselves: as if all data and initial weights were new."""


def cell(before, now, ceiling=None, failures=None, label="nwj"):
    return Cell(label, {"estimator": label}, range(len(before)), before, now, failures or {}, ceiling)


def estimates(count=16, mean=1.0, seed=0):
    return list(np.random.default_rng(seed).normal(mean, 0.02, count))


def verdict(before, now, **more):
    options = {key: more.pop(key) for key in ("tolerance", "alpha", "exact") if key in more}
    (only,) = compare([cell(before, now, **more)], **options)
    return only


def shifted(values, shift, spread=0.0):
    return [v + shift + d for v, d in zip(values, spread * np.sin(np.arange(len(values))), strict=True)]


def test_the_same_numbers_are_fine():
    found = verdict(estimates(), estimates(), exact=True)
    assert (found.status, found.message, found.failing) == (FINE, "", False)
    assert found.change_nats == 0
    assert found.p_holm == 1
    assert found.detectable_nats == 0.02


def test_a_large_and_significant_change_fails():
    found = verdict(estimates(), shifted(estimates(), 0.05, 0.01))
    assert found.status == CHANGED
    assert found.failing
    assert found.change_nats == pytest.approx(0.05, abs=0.005)
    assert "changed by +0.05" in found.message
    assert "Holm over 1" in found.message
    assert verdict(estimates(), shifted(estimates(), -0.05, 0.01)).status == CHANGED


def test_a_small_change_is_none_however_significant():
    found = verdict(estimates(), shifted(estimates(), 0.015, 0.001))
    assert found.p_holm < 1e-4
    assert found.status == FINE
    assert verdict(estimates(), shifted(estimates(), 0.015, 0.001), tolerance=0.01).status == CHANGED


def test_a_large_change_that_may_be_chance_is_said_to_be_below_what_can_be_found():
    now = [value + (-1) ** seed * 0.5 + 0.03 for seed, value in enumerate(estimates())]
    found = verdict(estimates(), now)
    assert found.status == CANNOT_DETECT
    assert not found.failing
    assert found.detectable_nats > found.change_nats > 0.02
    assert f"less than {found.detectable_nats:.3f} nats" in found.message
    assert "seeds would suffice" in found.message


@pytest.mark.parametrize("seed", range(20))
def test_every_large_change_is_either_called_or_said_to_be_undetectable(seed):
    generator = np.random.default_rng(seed)
    differences = generator.exponential(0.06, 12) * generator.choice([1, -1], 12)
    found = verdict([1.0] * 12, list(1 + differences), tolerance=0.005)
    assert (found.status == FINE) <= (abs(found.change_nats) <= 0.005)


def test_too_few_seeds_detect_nothing_and_it_is_said_how_many_would():
    found = verdict(estimates(5), shifted(estimates(5), 1.0))
    assert found.status == CANNOT_DETECT
    assert found.detectable_nats == math.inf
    assert "5 paired seeds: 8 seeds are needed" in found.message
    assert verdict(estimates(8), shifted(estimates(8), 1.0)).status == CHANGED


def test_holm_is_over_all_cells():
    before, now = estimates(8), shifted(estimates(8), 1.0)
    alone, others = cell(before, now), [cell(before, before) for _ in range(3)]
    assert compare([alone])[0].status == CHANGED
    found = compare([alone, *others])
    assert found[0].p_holm == 4 * 2**-7
    assert {one.status for one in found} == {CANNOT_DETECT}


def test_an_estimate_above_its_ceiling_fails_and_one_at_it_does_not():
    ceiling = math.log(8)
    at = [ceiling] * 16
    assert verdict(at, shifted(at, 1e-9), ceiling=ceiling).status == FINE
    found = verdict(at, [*at[1:], ceiling + 1e-4], ceiling=ceiling)
    assert found.status == ABOVE_CEILING
    assert "above its ceiling, 2.079442" in found.message


def test_runs_that_newly_fail_fail_the_check():
    before = estimates()
    found = verdict(before, [*before[:3], None, *before[4:]], failures={3: "diverged: not finite"})
    assert found.status == NEWLY_FAILING
    assert found.message.startswith("1 of 16 runs newly fail, the first at seed 3: diverged: not finite")
    none = verdict(before, [None] * 16)
    assert none.status == NEWLY_FAILING
    assert math.isnan(none.change_nats)


def test_runs_that_failed_before_are_no_news():
    before = [None, *estimates()[1:]]
    assert verdict(before, before).status == FINE
    assert verdict(before, estimates()).status == FINE
    assert verdict(before, estimates(), exact=True).status == NOT_DETERMINISTIC
    assert verdict([None] * 16, [None] * 16).status == CANNOT_DETECT


def test_another_number_on_the_same_machine_is_not_deterministic():
    before = estimates()
    now = [before[0] + 1e-9, *before[1:]]
    assert verdict(before, now).status == FINE
    found = verdict(before, now, exact=True)
    assert found.status == NOT_DETERMINISTIC
    assert "1 of 16 numbers" in found.message
    assert "1e-09 nats" in found.message


def test_the_gravest_comes_first_and_all_is_said():
    before = estimates()
    found = verdict(before, [None, *shifted(before, 0.5)[1:]], ceiling=1.2, exact=True)
    assert found.status == NEWLY_FAILING
    for words in ("newly fail", "above its ceiling", "changed by", "not deterministic"):
        assert words in found.message


@cache
def reference():
    return baselines.read(baselines.find("reference"))


def simulated(generator, spread, bias=None):
    """Return the reference's cells with simulated runs; `bias` is planted in one estimator."""
    return [
        cell(
            frozen.estimates,
            list(
                np.array(frozen.estimates)
                + generator.normal(0.05 if frozen.identity["estimator"]["name"] == bias else 0, spread, 16)
            ),
            label=frozen.identity["estimator"]["name"],
        )
        for frozen in reference().cells
    ]


def test_the_reference_has_seeds_enough():
    assert len(reference().seeds) == 16
    between_seeds = [np.std(frozen.estimates, ddof=1) for frozen in reference().cells]
    assert max(between_seeds) < SPREAD_NATS


@pytest.mark.parametrize("spread", [SAME_KEY_NATS, SPREAD_NATS, 0.2])
def test_false_alarms(spread):
    # At the largest spread nothing but the test keeps chance out: the tolerance is far inside it.
    generator = np.random.default_rng(0)
    alarms = sum(
        any(one.failing for one in compare(simulated(generator, spread), alpha=ALPHA)) for _ in range(200)
    )
    assert alarms <= 0.02 * 200


@pytest.mark.parametrize("spread", [SAME_KEY_NATS, SPREAD_NATS])
def test_a_planted_bias_is_found(spread):
    generator = np.random.default_rng(1)
    names = sorted({frozen.identity["estimator"]["name"] for frozen in reference().cells})
    found = 0
    for repeat in range(100):
        planted = names[repeat % len(names)]
        verdicts = compare(simulated(generator, spread, planted))
        found += any(one.status == CHANGED and one.cell.label == planted for one in verdicts)
    assert found >= 95
