"""The staircase and the fixed data set: which data are trained on, and where each number comes from."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from grids import pack_of, specs
from mibench.engine.execute import execute

from mibench import estimators
from mibench.engine import samples, staircase, train
from mibench.engine.plan import Pack, packs, training_key

CPU = torch.device("cpu")
LARGE = 2**40
STAIRS = {"mis": (1.0, 2.0), "protocol": "staircase[levels=1/2,span=10]", "steps": 60, "schedule": "constant"}
DATA = {"mis": (1.0,), "protocol": "samples[size=200,every=5,patience=4]", "ns": (8,), "schedule": "constant"}


def outcomes(specs_, budget=LARGE):
    done = [outcome for pack in execute(packs(specs_, budget), CPU) for outcome in pack]
    return {outcome.spec: outcome for outcome in done}


def climb(specs_):
    (pack,) = packs(specs_, LARGE)
    return pack, staircase.climb(pack, CPU, lambda steps: None)[1]


def test_one_critic_climbs_all_stairs_and_each_run_is_a_level():
    levels = specs("nwj", **STAIRS)
    pack, readouts = climb(levels)
    assert len(pack.trainings) == 1
    assert [len(readouts[spec].curve) for spec in levels] == [30, 30]


def test_curve_is_the_value_of_each_training_batch_before_its_step():
    """Against a loop with torch.optim.Adam on the same batches."""
    levels = specs("nwj", **STAIRS)
    pack, readouts = climb(levels)
    own = {key: value.clone().requires_grad_() for key, value in train.initial_critic(pack).items()}
    optimiser = torch.optim.Adam(own.values(), lr=5e-4)
    values = []
    for level in (1.0, 2.0):
        for x, y in train.fresh_data(pack.at(level), CPU, 30):
            for step in range(x.shape[1]):
                value = pack.estimator.estimate(pack.critic.scores(own, x[:, step], y[:, step])).sum()
                values.append(value.item())
                optimiser.zero_grad()
                (-value).backward()
                optimiser.step()
    curve = torch.cat([readouts[spec].curve for spec in levels])
    assert curve.tolist() == pytest.approx(values, abs=1e-9)


def test_estimate_is_the_mean_of_the_tail_of_the_smoothed_whole():
    levels = specs("nwj", **STAIRS)
    _, readouts = climb(levels)
    whole = np.concatenate([readouts[spec].curve.numpy() for spec in levels])
    smoothed = pd.Series(whole).ewm(span=10).mean().to_numpy()
    assert readouts[levels[0]].estimate == pytest.approx(smoothed[15:30].mean())
    assert readouts[levels[1]].estimate == pytest.approx(smoothed[45:60].mean())


def test_the_staircases_oracle_is_the_exact_critic_on_the_tails_training_batches():
    levels = specs("nwj", **STAIRS)
    pack, readouts = climb(levels)
    for spec, level in zip(levels, (1.0, 2.0), strict=True):
        alone = pack.at(level)
        batches = [(x[0], y[0]) for x, y in train.fresh_data(alone, CPU, 30)]
        x, y = (torch.cat(side)[15:] for side in zip(*batches, strict=True))
        ratios = alone.tasks[0].log_density_ratio(x, y)
        expected = pack.estimator.estimate(1 + ratios).mean().item()
        assert readouts[spec].oracle == pytest.approx(expected, abs=1e-9)


def test_stairs_do_not_depend_on_which_levels_are_asked_for():
    both = specs("nwj", **STAIRS)
    together, one = outcomes(both), outcomes(both[1:])
    assert one[both[1]].readout.estimate == together[both[1]].readout.estimate


def test_levels_below_the_one_where_the_objective_breaks_are_sound():
    broken = specs(
        "nwj", **STAIRS | {"mis": (1.0, 1e9), "protocol": "staircase[levels=1/1e9]"}, precision="float32"
    )
    done = outcomes(broken)
    assert [done[spec].status for spec in broken] == ["ok", "diverged"]
    assert "float32" in done[broken[1]].message


def test_a_level_with_a_value_that_is_not_finite_is_diverged_however_smooth_the_curve_is():
    (pack,) = packs(specs("nwj", **STAIRS), LARGE)
    oracle = torch.ones(15, dtype=torch.float64)
    for bad in (math.nan, math.inf, -math.inf):
        for step in (3, 25):  # in the level's head, or in the tail that is averaged
            curve = torch.ones(60, dtype=torch.float64)
            curve[step] = bad
            read = staircase._read(curve, oracle, slice(0, 30), pack.protocol)
            assert "not finite" in read.message
            assert staircase._read(curve, oracle, slice(30, 60), pack.protocol).message == ""


def test_a_staircase_that_diverges_in_training_is_called_so():
    for outcome in outcomes(specs("nwj", **STAIRS | {"steps": 200}, lr=50.0, precision="float32")).values():
        assert outcome.status == "diverged"
        assert outcome.readout is None


def test_an_estimator_that_raises_fails_alone_of_those_that_share_its_training(monkeypatch):
    def broken(self, scores):
        raise RuntimeError("a mistake")

    monkeypatch.setattr(type(estimators.get("smile")), "estimate", broken)
    done = outcomes(specs("js smile", mis=(1.0,), steps=5))
    assert {spec.estimator.name: outcome.status for spec, outcome in done.items()} == {
        "js": "ok",
        "smile": "failed",
    }


def test_packs_on_samples_count_the_data_they_hold():
    small, large = (
        pack_of(specs(**DATA | {"protocol": f"samples[size={size}]"})) for size in (1000, 100_000)
    )
    held = 2 * 8 * 8 * (100_000 - 1000)
    assert large.bytes_a_run - small.bytes_a_run == held


def test_estimators_and_levels_share_one_training():
    many = specs("js smile smile[tau=1]", **STAIRS, seeds=range(2))
    (pack,) = packs(many, LARGE)
    assert len(pack.trainings) == 2
    assert len(pack.specs) == 12
    assert {training_key(spec) for spec in pack.trainings[0]} == {training_key(pack.first)}
    alone = outcomes(specs("smile", **STAIRS, seeds=range(2)))
    together = outcomes(many)
    for spec, outcome in alone.items():
        assert together[spec].readout.estimate == pytest.approx(outcome.readout.estimate, abs=1e-12)


def test_parts_are_disjoint_and_of_the_sizes_that_were_said():
    pack = pack_of(specs(**DATA, steps=1, seeds=range(2)))
    parts = samples._parts(pack, pack.protocol)
    assert [x.shape[1] for x, _ in parts] == list(pack.protocol.parts) == [120, 40, 40]
    for run in range(2):
        rows = torch.cat([x[run, :, 0] for x, _ in parts])
        assert len(rows.unique()) == 200
    assert not torch.isin(parts[0][0][0], parts[0][0][1]).any()  # seeds have data of their own


def test_epochs_go_through_every_batch_of_the_train_part_without_repeating_a_row():
    pack = pack_of(specs(**DATA, steps=20, seeds=range(2)))
    x = torch.arange(120.0).repeat(2, 1)[..., None]
    epochs = list(samples._epochs(pack, x, x))
    assert [one.shape[1] for one, _ in epochs] == [15, 5]
    for run in range(2):
        assert len(epochs[0][0][run].unique()) == 120
    assert not torch.equal(epochs[0][0][0], epochs[0][0][1])
    for one, other in epochs:
        assert torch.equal(one, other)


def test_training_never_sees_validation_or_test_rows(monkeypatch):
    seen = []
    step = train.Critics.step
    monkeypatch.setattr(train.Critics, "step", lambda self, x, y, lr: seen.append(x) or step(self, x, y, lr))
    pack = pack_of(specs(**DATA, steps=20))
    samples.fit(pack, CPU, lambda steps: None)
    parts = samples._parts(pack, pack.protocol)
    trained = torch.cat([x.flatten() for x in seen]).unique()
    assert torch.isin(trained, parts[0][0]).all()
    assert not torch.isin(trained, torch.cat([parts[1][0], parts[2][0]], 1)).any()


def test_the_best_critic_on_validation_is_read_out_and_no_later_one():
    pack = pack_of(specs("infonce", **DATA | {"mis": (2.0,)}, steps=200, seeds=range(3)))
    trained, readouts = samples.fit(pack, CPU, lambda steps: None)
    again = {}
    for place, spec in enumerate(pack.leaders):
        best = readouts[spec].best_step
        assert 0 < best <= 200
        # The same run, stopped there by its number of steps, ends with the same critic.
        x, y = (part.to(pack.dtype) for part in samples._parts(pack, pack.protocol)[0])
        critics = train.train(
            pack, CPU, feed=samples._epochs(pack, x, y), watch=lambda s, _, c, b=best: s == b
        )
        again[place] = critics.critic["g.0.weight"][place]
    for place, weight in again.items():
        assert torch.allclose(trained.critic["g.0.weight"][place], weight)


def test_a_run_is_settled_by_its_own_patience_whatever_its_mates_do():
    several = specs("infonce", **DATA, steps=300, seeds=range(4))
    together, alone = outcomes(several), outcomes(several, budget=0)
    assert len({outcome.readout.best_step for outcome in together.values()}) > 1
    for spec in several:
        a, b = together[spec].readout, alone[spec].readout
        assert a.best_step == b.best_step
        for name in ("estimate", "train", "validation", "oracle"):
            assert getattr(a, name) == pytest.approx(getattr(b, name), abs=1e-6)


def test_fitting_shows_in_the_train_value():
    spec = specs("infonce", **DATA | {"protocol": "samples[size=200,patience=1000]"}, steps=300)
    (outcome,) = outcomes(spec).values()
    assert outcome.readout.train > outcome.readout.estimate


@pytest.mark.parametrize(
    "name", ["infonce", "nwj", "mine", "dv", "js", "smile", "nce", "tuba", "interpolated"]
)
def test_where_no_critic_beats_a_constant_one_the_run_reads_zero(name):
    independent = specs(name, **DATA | {"mis": (0.0,)}, steps=20, lr=1e-12, seeds=range(8))
    done = list(outcomes(independent).values())
    assert {outcome.status for outcome in done} == {"ok"}
    never_better = [outcome.readout for outcome in done if outcome.readout.best_step == 0]
    assert never_better
    for readout in never_better:
        assert readout.estimate == readout.train == readout.validation == 0


def test_a_diverging_run_on_samples_is_called_so():
    for outcome in outcomes(specs("nwj", **DATA, steps=50, lr=1e30, precision="float32")).values():
        assert outcome.status == "diverged"
        assert "objective" in outcome.message


def test_oracle_of_samples_is_that_of_the_test_part():
    pack = pack_of(specs("infonce", **DATA, steps=5))
    _, readouts = samples.fit(pack, CPU, lambda steps: None)
    x, y = samples._parts(pack, pack.protocol)[2]
    ratios = pack.tasks[0].log_density_ratio(x[0].view(5, 8, -1), y[0].view(5, 8, -1))
    (readout,) = readouts.values()
    assert readout.batches == 5
    assert readout.oracle == pytest.approx(pack.estimator.estimate(ratios).mean().item())
    assert math.isfinite(readout.estimate_se)


def test_a_pack_keeps_where_its_tasks_come_from():
    pack = pack_of(specs(mis=(1.0,), seeds=range(4)))
    own = Pack(pack.trainings, task_of=lambda choice: pack.tasks[0])
    assert all(half.task_of is own.task_of for half in own.halves())
    assert own.at(2.0).task_of is own.task_of
