"""A run is the same in a pack and alone, whatever the other runs in its pack do, and in any order."""

import pytest
import torch
from grids import pack_of, specs
from mibench.engine.execute import execute

from mibench import estimators
from mibench.engine import execute as execution
from mibench.engine import plan, train
from mibench.engine.plan import packs

CPU = torch.device("cpu")
LARGE = 2**40
CRITICS = ("separable[hidden=16,embedding=4]", "bilinear", "joint[hidden=16]")


def outcomes(specs_, budget=LARGE):
    done = [outcome for pack in execute(packs(specs_, budget), CPU) for outcome in pack]
    return {outcome.spec: outcome for outcome in done}


def test_pack_and_alone_see_bitwise_the_same_data_and_initial_weights():
    together = specs(mis=(2.0, 6.0), seeds=range(4))
    pack = pack_of(together)
    assert len(pack.specs) == 8
    x, y = (torch.cat(parts, 1) for parts in zip(*train.fresh_data(pack, CPU, 50), strict=True))
    weights = train.initial_critic(pack)
    for run, spec in enumerate(together):
        alone = pack_of([spec])
        own_x, own_y = (torch.cat(parts, 1) for parts in zip(*train.fresh_data(alone, CPU, 50), strict=True))
        assert torch.equal(x[run], own_x[0])
        assert torch.equal(y[run], own_y[0])
        for key, value in train.initial_critic(alone).items():
            assert torch.equal(weights[key][run], value[0])


def test_runs_of_different_seeds_and_levels_share_nothing():
    pack = pack_of(specs(mis=(2.0, 6.0), seeds=range(2)))
    x, _ = next(train.fresh_data(pack, CPU, 50))
    weights = train.initial_critic(pack)["g.0.weight"]
    for run in range(1, 4):
        assert not torch.isclose(x[0], x[run]).any()
    same_seed, other_seed = weights[2], weights[1]
    assert torch.equal(weights[0], same_seed)  # initial weights depend on critic and seed alone
    assert not torch.isclose(weights[0], other_seed).any()


def test_training_and_read_out_data_share_nothing():
    (spec,) = specs(mis=(2.0,))
    (task,) = pack_of([spec]).tasks
    drawn = [
        next(train.data.batches(task, spec, purpose, 10, 10, torch.float64))[0].flatten()
        for purpose in ("train", "pilot", "readout")
    ]
    assert len(torch.cat(drawn).unique()) == 3 * drawn[0].numel()


def test_every_estimator_and_critic_meets_the_same_data():
    first, *others = specs("infonce nce mine nwj", mis=(2.0,)) + specs(mis=(2.0,), critic="bilinear")
    expected = next(train.fresh_data(pack_of([first]), CPU, 50))
    for other in others:
        x, y = next(train.fresh_data(pack_of([other]), CPU, 50))
        assert torch.equal(x, expected[0])
        assert torch.equal(y, expected[1])


@pytest.mark.parametrize("critic", CRITICS)
@pytest.mark.parametrize(
    "name",
    ["infonce", "nce[k=3,normalizer=learned]", "mine", "nwj", "dv", "js", "smile", "tuba", "interpolated"],
)
def test_estimates_agree_in_a_pack_and_alone(name, critic):
    together = specs(name, seeds=range(4), critic=critic)
    assert len(packs(together, LARGE)) == 1
    in_pack, alone = outcomes(together), outcomes(together, budget=0)
    for spec in together:
        a, b = in_pack[spec].readout, alone[spec].readout
        assert a.batches == b.batches
        assert a.estimate == pytest.approx(b.estimate, abs=1e-4)
        assert a.oracle == b.oracle


def test_results_do_not_depend_on_the_order_of_the_grid():
    forwards = specs("infonce nwj", ns=(4, 8), seeds=range(3), steps=10)
    one, other = outcomes(forwards), outcomes(forwards[::-1], budget=3 * pack_of(forwards[:1]).bytes_a_run)
    assert one.keys() == other.keys()
    for spec in forwards:
        assert one[spec].readout.estimate == pytest.approx(other[spec].readout.estimate, abs=1e-9)


@pytest.mark.parametrize("name", ["infonce", "mine", "nwj"])
def test_a_diverging_run_leaves_its_mates_untouched(name):
    healthy = specs(name, mis=(2.0, 3.0), precision="float32")
    with_overflow = specs(name, mis=(2.0, 1e9, 3.0), precision="float32")
    assert len(packs(with_overflow, LARGE)) == 1
    expected, seen = outcomes(healthy), outcomes(with_overflow)
    (lost,) = set(with_overflow) - set(healthy)
    assert seen[lost].status == "diverged"
    assert seen[lost].readout is None
    assert "float32" in seen[lost].message
    for spec in healthy:
        assert seen[spec].status == "ok"
        assert seen[spec].readout.estimate == pytest.approx(expected[spec].readout.estimate, abs=1e-6)


@pytest.mark.parametrize(("lr", "schedule"), [(1e30, "constant"), (1e3, "one-cycle")])
@pytest.mark.parametrize("name", ["infonce", "nce", "mine", "nwj"])
def test_learning_rates_that_diverge_are_called_so(name, lr, schedule):
    for outcome in outcomes(specs(name, lr=lr, schedule=schedule, precision="float32")).values():
        assert outcome.status == "diverged"
        assert outcome.message


def test_a_pack_stops_when_no_run_is_left(monkeypatch):
    steps, reported = [], []
    step = train.Critics.step
    monkeypatch.setattr(train.Critics, "step", lambda self, x, y, lr: steps.append(1) or step(self, x, y, lr))
    pack = pack_of(specs(mis=(1e9,), steps=10_000, precision="float32"))
    train.train(pack, CPU, reported.append)
    assert sum(steps) <= pack.steps_at_once
    assert sum(reported) == 10_000  # nothing is left to do


def test_out_of_memory_halves_the_pack_and_goes_on(monkeypatch):
    sizes = []
    train_pack = execution.train

    def limited(pack, device, report):
        sizes.append(len(pack.trainings))
        if len(pack.trainings) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return train_pack(pack, device, report)

    monkeypatch.setattr(execution, "train", limited)
    together = specs(seeds=range(4), steps=3)
    done = outcomes(together)
    assert sizes == [8, 4, 2, 2, 4, 2, 2]
    assert {outcome.status for outcome in done.values()} == {"ok"}
    assert set(done) == set(together)


def test_a_run_that_raises_fails_alone(monkeypatch):
    together = specs(seeds=range(3), steps=3)
    blamed = together[4]
    train_pack = execution.train

    def raising(pack, device, report):
        if blamed in pack.specs:
            raise RuntimeError("a mistake\nin a plug-in")
        return train_pack(pack, device, report)

    monkeypatch.setattr(execution, "train", raising)
    done = outcomes(together)
    assert done[blamed].status == "failed"
    assert done[blamed].message == "RuntimeError: a mistake in a plug-in"
    assert [spec for spec in together if done[spec].status != "ok"] == [blamed]


def test_packs_hold_runs_of_equal_shapes_within_the_budget():
    mixed = specs("infonce nwj", ns=(4, 8), seeds=range(5))
    largest = max(pack_of([spec]).bytes_a_run for spec in mixed)
    split = packs(mixed, 3 * largest)
    assert sorted(spec.key for pack in split for spec in pack.specs) == sorted(spec.key for spec in mixed)
    for pack in split:
        assert len({(spec.estimator, spec.n) for spec in pack.specs}) == 1
        assert len(pack.specs) * pack.bytes_a_run <= 3 * largest
    assert len(packs(mixed, 0)) == len(mixed)


@pytest.mark.parametrize("name", ["infonce", "nwj"])
def test_one_step_of_a_pack_is_one_step_of_torch(name):
    """Against torch.nn and torch.optim.Adam, one run at a time, in float64."""
    pack = pack_of(specs(name, seeds=range(2), steps=3, schedule="constant", lr=0.01))
    trained = train.train(pack, CPU)
    x, y = next(train.fresh_data(pack, CPU, 3))
    weights = train.initial_critic(pack)
    for run in range(len(pack.specs)):
        own = {key: value[run : run + 1].clone().requires_grad_() for key, value in weights.items()}
        optimiser = torch.optim.Adam(own.values(), lr=0.01)
        for step in range(3):
            scores = pack.critic.scores(own, x[run : run + 1, step], y[run : run + 1, step])
            loss = -pack.estimator.objective(scores, {}).squeeze()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        for key, value in own.items():
            assert torch.allclose(trained.critic[key][run], value[0], atol=1e-10)


def test_a_learned_normaliser_is_trained():
    pack = pack_of(specs("nce[normalizer=learned]", steps=20))
    learned = train.train(pack, CPU).learned["log_normalizer"]
    assert learned.shape == (2,)
    assert (learned != 0).all()


def test_one_cycle_rises_for_a_tenth_and_falls_to_nothing():
    (spec,) = specs(mis=(2.0,), steps=1001)
    rates = [train.learning_rate(spec, step) for step in range(spec.steps)]
    assert rates[0] == pytest.approx(2e-3 / 25)
    assert max(rates) == rates[100] == pytest.approx(2e-3)
    assert rates[:101] == sorted(rates[:101])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] == pytest.approx(2e-3 / 250_000)
    for steps in (1, 2, 3):
        (short,) = specs(mis=(2.0,), steps=steps)
        assert all(0 < train.learning_rate(short, step) <= 2e-3 for step in range(steps))
    (constant,) = specs(mis=(2.0,), schedule="constant")
    assert {train.learning_rate(constant, step) for step in range(constant.steps)} == {5e-4}


def test_time_and_memory_of_a_plan_grow_with_its_runs():
    small, large = pack_of(specs(seeds=range(1))), pack_of(specs(seeds=range(8)))
    assert large.bytes - large.fixed_bytes == 8 * (small.bytes - small.fixed_bytes)
    assert large.seconds(1e9) > small.seconds(1e9) > plan.SECONDS_A_STEP * small.first.steps


def test_estimators_with_one_objective_share_one_training_and_are_as_if_alone(monkeypatch):
    names = "js smile smile[tau=1] smile[tau=none] nwj"
    together = specs(names, mis=(1.0, 2.0), seeds=range(2))
    grouped = packs(together, LARGE)
    assert sorted(len(pack.trainings) for pack in grouped) == [4, 4]
    assert sorted(len(pack.specs) for pack in grouped) == [4, 16]
    alone = {}
    for name in names.split():
        alone |= outcomes(specs(name, mis=(1.0, 2.0), seeds=range(2)))
    shared = outcomes(together)
    assert shared.keys() == alone.keys()
    for spec in together:
        a, b = shared[spec].readout, alone[spec].readout
        assert (a.estimate, a.oracle, a.batches) == (b.estimate, b.oracle, b.batches)


def test_estimators_share_a_training_only_if_their_objective_is_the_same(generator):
    scores = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    by_name = {}
    for name in estimators.registry.entries:
        made = estimators.get(name)
        by_name.setdefault(made.objective_name, []).append(made)
    own = by_name.pop(None)
    assert len(own) >= 7
    for group in by_name.values():
        values = {estimator.objective(scores, {}).item() for estimator in group}
        assert len(values) == 1
        assert not any(estimator.learned_tensors(3, generator) for estimator in group)
        assert not any(estimator.carried_tensors() for estimator in group)


def test_training_keys_tell_trainings_apart():
    js, smile, nwj = specs("js smile[tau=1] nwj", mis=(2.0,))
    assert plan.training_key(js) == plan.training_key(smile) != plan.training_key(nwj)
    assert js.key != smile.key
    stairs = specs("js", mis=(2.0, 4.0), protocol="staircase[levels=2/4]")
    assert len({plan.training_key(spec) for spec in stairs}) == 1
    for other in (specs("js", mis=(4.0,)), specs("js", mis=(2.0,), seeds=(1,)), stairs):
        assert plan.training_key(other[0]) != plan.training_key(js)


def test_a_learned_baseline_is_trained_and_is_each_runs_own():
    pack = pack_of(specs("tuba", mis=(2.0,), seeds=range(2), steps=20))
    before = train._initial_learned(pack)
    assert not torch.isclose(before["log_a.0.weight"][0], before["log_a.0.weight"][1]).any()
    learned = train.train(pack, CPU).learned
    assert not torch.allclose(learned["log_a.2.bias"], before["log_a.2.bias"].double())
