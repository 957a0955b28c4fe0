"""Presets fill in what is not given, where they apply, and are no part of a run."""

import pytest

import mibench
from mibench.api import freezing
from mibench.presets import FILLED, PRESETS

FAST = PRESETS["fast"]
SMALL = {"dim": 2, "mi": 1, "n": [4, 8], "seeds": 1, "device": "cpu"}


def planned(*names, **settings):
    return mibench.plan(*names, **SMALL | settings).specs


def written_out(lr=FAST.lr):
    return {"train_n": FAST.train_n, "steps": FAST.steps, "lr": lr, "schedule": FAST.schedule}


def test_a_preset_is_its_settings_written_out():
    assert planned(preset="fast") == planned(**written_out())
    assert [run.key for run in planned(preset="fast")] == [run.key for run in planned(**written_out())]
    assert set(FILLED) == set(written_out())
    assert planned(preset="fast") != planned()


@pytest.mark.parametrize(
    "given", [{"steps": 3}, {"train_n": 16}, {"train_n": [16, 32]}, {"lr": 1e-3}, {"steps": 3, "lr": 1e-3}]
)
def test_what_is_given_wins(given):
    assert planned(preset="fast", **given) == planned(**written_out() | given)


def test_the_peak_of_one_schedule_is_not_that_of_another():
    (fit,) = {run.fit for run in planned(preset="fast", schedule="constant")}
    assert (fit.schedule, fit.lr, fit.train_n) == ("constant", 5e-4, FAST.train_n)


def test_critics_may_need_another_peak():
    assert FAST.lr_for("embedding") != FAST.lr
    small = {"dim": None, "mi": None, "task": "bigram"}
    assert planned(preset="fast", **small) == planned(**small, **written_out(FAST.lr_for("embedding")))


def test_one_training_is_read_at_every_n():
    found = mibench.plan("infonce,nwj", **SMALL | {"n": [4, 8, 16]}, preset="fast")
    assert [len(pack.trainings) for pack in found.packs()] == [1, 1]
    assert len(found.specs) == 6


def test_what_is_no_critic_or_works_pair_by_pair_is_trained_as_usual():
    together = planned("infonce,ba,ksg", critic=["separable", "joint"], preset="fast")
    for run in together:
        usual = planned(run.estimator.label, critic="joint" if run.estimator.name == "infonce" else None)
        row_by_row = run.fit is not None and run.fit.model.name == "separable"
        assert (run in usual) == (not row_by_row)
    assert sum(run.fit is not None and run.fit.model.name == "separable" for run in together) == 2


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"preset": "fats"}, "Unknown preset 'fats'"),
        ({"preset": "fast", "samples": 1000}, "the protocol 'samples' reads batches of the n"),
        ({"preset": "fast", "protocol": "staircase"}, "the protocol 'staircase' reads"),
        ({"preset": "fast", "protocol": "stream,samples"}, "the protocol 'samples' reads"),
        ({"preset": "fast", "critic": "joint"}, "joint grows with their square"),
        ({"preset": "fast", "estimator": "ksg,ba"}, "which is for critics: ksg trains nothing"),
    ],
)
def test_a_preset_that_cannot_apply_is_refused(settings, what):
    with pytest.raises(mibench.UsageError) as raised:
        planned(**settings)
    assert what in raised.value.what
    assert raised.value.how


def test_a_baseline_takes_what_a_preset_fills_in():
    given = {"estimator": "infonce", "preset": "fast", "n": "4", "mi": "1", "dim": "2", "seeds": "2"}
    frozen = freezing.plan_to_freeze(given)
    (fit,) = {run.fit for run in frozen.specs}
    assert (fit.train_n, fit.steps, fit.lr) == (FAST.train_n, FAST.steps, FAST.lr)
    freezing.agree(frozen, given, "own")
    usual = freezing.plan_to_freeze({name: value for name, value in given.items() if name != "preset"})
    with pytest.raises(mibench.UsageError, match="of another grid"):
        freezing.agree(usual, given, "own")


def test_records_say_what_was_filled_in():
    frame = mibench.run("infonce", preset="fast", steps=3, **SMALL)
    assert list(frame["train_n"]) == [FAST.train_n] * 2
    assert list(frame["steps"]) == [3, 3]
    assert list(frame["n"]) == [4, 8]
    assert "preset" not in frame
