"""Every verdict of a check, and the error rates that it claims, on simulated differences."""

import math
from functools import cache

import numpy as np
import pytest

from mibench.analysis.regression import (
    ABOVE_CEILING,
    ALPHA,
    CANNOT_DETECT,
    CEILING_CHANGED,
    CHANGED,
    DEFAULT_CHANGED,
    EXACT_CHANGED,
    FINE,
    NEWLY_FAILING,
    NOT_DETERMINISTIC,
    TOLERANCE_HERE_NATS,
    TOLERANCE_NATS,
    TRUTH_CHANGED,
    Cell,
    compare,
)
from mibench.analysis.significance import seeds_needed
from mibench.store import baseline as baselines

SAME_KEY_NATS = 0.006
"""More than the standard deviation, over seeds, of what other kernels change in a cell of the reference."""

BETWEEN_SEEDS = "between seeds"
"""That of a cell's estimates themselves: as if all data and initial weights were new."""


def cell(before, now, ceiling=None, failures=None, label="nwj", names=None, known=({}, {}), **more):
    settings = {"estimator": label}
    return Cell(
        label, settings, range(len(before)), before, now, failures or {}, ceiling, names or {}, *known, **more
    )


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


def test_no_number_of_seeds_detects_all_changes():
    found = verdict(estimates(), shifted(estimates(), 0.0, 0.001), tolerance=0.0)
    assert found.status == CANNOT_DETECT
    assert found.message == f"cannot detect less than {found.detectable_nats:.3f} nats"


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


KNOWN = {
    "true_mi_low_nats": [1.0] * 16,
    "true_mi_high_nats": [1.0] * 16,
    "ceiling_nats": [3.0] * 16,
    "exact_nats": [0.9] * 16,
    "oracle_nats": estimates(mean=0.9, seed=1),
    "batches": list(range(50, 66)),
}


def known_verdict(now, before=None, **more):
    """Return the verdict on the same estimates with other known numbers."""
    known = KNOWN | (before or {}), KNOWN | now
    return verdict(estimates(), estimates(), known=known, **more)


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("true_mi_low_nats", TRUTH_CHANGED, "the truth changed"),
        ("true_mi_high_nats", TRUTH_CHANGED, "the truth changed"),
        ("ceiling_nats", CEILING_CHANGED, "the ceiling changed"),
        ("exact_nats", EXACT_CHANGED, "the value at the exact ratio changed"),
        ("oracle_nats", EXACT_CHANGED, "the value at the exact ratio changed"),
    ],
)
def test_known_numbers_change_by_no_more_than_rounding(name, status, words):
    assert known_verdict({name: [value + 1e-8 for value in KNOWN[name]]}).status == FINE
    for change in (1e-5, -0.5):
        found = known_verdict({name: [value + change for value in KNOWN[name]]})
        assert (found.status, found.failing) == (status, True)
        was = np.mean(KNOWN[name])
        assert found.message == f"{words}: {was:.6f} nats in the baseline, {was + change:.6f} nats now"
    found = known_verdict({name: [None] * 16})
    assert (found.status, found.message.split(" in the baseline, ")[1]) == (status, "none now")
    found = known_verdict({}, before={name: [None] * 16})
    assert (found.status, found.message.split(" in the baseline, ")[0]) == (status, f"{words}: none")
    assert known_verdict({name: [None] * 16}, before={name: [None] * 16}).status == FINE


def test_changes_of_both_signs_do_not_cancel():
    found = known_verdict({"oracle_nats": [v + (-1) ** i * 0.01 for i, v in enumerate(KNOWN["oracle_nats"])]})
    assert found.status == EXACT_CHANGED


def test_values_at_the_exact_ratio_are_compared_where_equally_many_batches_were_read():
    more = [count + (place > 0) for place, count in enumerate(KNOWN["batches"])]
    others = [value + 0.004 * (place > 0) for place, value in enumerate(KNOWN["oracle_nats"])]
    assert known_verdict({"batches": more, "oracle_nats": others}).status == FINE
    first = [KNOWN["oracle_nats"][0] + 1e-5, *others[1:]]
    assert known_verdict({"batches": more, "oracle_nats": first}).status == EXACT_CHANGED
    nowhere = known_verdict({"batches": [1] * 16, "oracle_nats": first})
    assert nowhere.status == FINE
    assert nowhere.cell.read_elsewhere
    assert not known_verdict({}).cell.read_elsewhere
    unknown = {"oracle_nats": [None] * 16}
    assert not known_verdict({"batches": [1] * 16, **unknown}, before=unknown).cell.read_elsewhere


def test_what_comes_from_an_encoder_has_the_tolerance_of_other_machines():
    jump = {"true_mi_low_nats": [1.03, *KNOWN["true_mi_low_nats"][1:]]}
    assert known_verdict(jump).status == TRUTH_CHANGED
    assert known_verdict(jump, known_tolerance=TOLERANCE_NATS).status == FINE
    moved = {"true_mi_low_nats": [1.03] * 16}
    assert known_verdict(moved, known_tolerance=TOLERANCE_NATS).status == TRUTH_CHANGED


def test_known_numbers_of_failed_runs_are_not_compared():
    now = [None, *estimates()[1:]]
    lost = {name: [None, *values[1:]] for name, values in KNOWN.items()}
    assert verdict(now, now, known=(KNOWN, lost)).status == FINE
    assert verdict([None] * 16, [None] * 16, known=(KNOWN, lost)).status == CANNOT_DETECT


def test_another_name_is_another_default():
    before = {"estimator": "smile", "critic": None}
    (same,) = compare([Cell("smile", before, [0], [1.0], [1.0], {}, None, before, {}, {})])
    assert DEFAULT_CHANGED not in same.message
    now = {"estimator": "smile[tau=5]", "critic": None}
    (found,) = compare([Cell("smile", now, [0], [1.0], [1.0], {}, None, before, {}, {})])
    assert (found.status, found.failing) == (DEFAULT_CHANGED, True)
    assert found.message == "a default changed: smile is smile[tau=5] now"


@cache
def reference():
    return baselines.read(baselines.find("reference"))


def simulated(generator, spread, planted=None, bias=0.0):
    """Return the reference's cells with simulated runs; a bias is planted in one estimator."""
    cells = []
    for frozen in reference().cells:
        name, before = frozen.identity["estimator"]["name"], np.array(frozen.estimates)
        width = before.std(ddof=1) if spread == BETWEEN_SEEDS else spread
        now = before + generator.normal(bias * (name == planted), width, len(before))
        cells.append(cell(list(before), list(now), label=name))
    return cells


def test_the_reference_has_seeds_enough():
    assert len(reference().seeds) == 16
    assert seeds_needed(len(reference().cells), ALPHA) <= 16


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tolerance", "spread"),
    [
        (TOLERANCE_HERE_NATS, SAME_KEY_NATS),
        (TOLERANCE_NATS, 0.2),
    ],
)
def test_false_alarms(tolerance, spread):
    # At the largest spread nothing but the test keeps chance out: the tolerance is far inside it.
    generator = np.random.default_rng(0)
    alarms = sum(
        any(one.failing for one in compare(simulated(generator, spread), tolerance, ALPHA))
        for _ in range(200)
    )
    assert alarms <= 0.02 * 200


@pytest.mark.parametrize(
    ("tolerance", "bias", "spread"),
    [
        (TOLERANCE_HERE_NATS, 0.016, SAME_KEY_NATS),
        (TOLERANCE_NATS, 0.05, BETWEEN_SEEDS),
    ],
)
def test_a_planted_bias_is_found(tolerance, bias, spread):
    generator = np.random.default_rng(1)
    names = sorted({frozen.identity["estimator"]["name"] for frozen in reference().cells})
    found = 0
    for repeat in range(100):
        planted = names[repeat % len(names)]
        verdicts = compare(simulated(generator, spread, planted, bias), tolerance)
        found += any(one.status == CHANGED and one.cell.label == planted for one in verdicts)
    assert found >= 95
