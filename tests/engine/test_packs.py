"""A run is the same in a pack and alone, whatever the other runs in its pack do, and in any order."""

import logging

import pytest
import torch
from grids import CPU, LARGE, outcomes, pack_of, specs
from plugins import BrokenObjective, BrokenReading

import mibench
from mibench import estimators, models
from mibench.engine.backends.local import Local
from mibench.engine.data import chunks, training_chunks
from mibench.engine.fit import fit, initial_parameters, learning_rate
from mibench.engine.plan import packs, training_key
from mibench.spec import Fit

CRITICS = ("separable[hidden=16,embedding=4]", "bilinear", "joint[hidden=16]")
OWN = {"critic": CRITICS, "conditional": ("gaussian-mlp[hidden=16]",), "denoiser": ("noise-mlp[hidden=16]",)}


def kind_of(name):
    """Return the kind of model that an estimator trains, None for none."""
    objective = estimators.get(name).objective
    return None if objective is None else objective.model


TRAINED = [
    (name, model)
    for name in [*estimators.registry.entries, "nce[k=3,normalizer=learned]"]
    for model in OWN.get(kind_of(name), ())
]
UNTRAINED = [name for name in estimators.registry.entries if kind_of(name) is None]


class Failing:
    """This process, in which some jobs end with an error before they begin."""

    def __init__(self, error_of):
        self.error_of = error_of
        self.started = []

    def run(self, jobs, device, report):
        for job in jobs:
            self.started.append(len(job.trainings))
            error = self.error_of(job)
            if error is None:
                yield from Local().run([job], device, report)
            else:
                yield job, error

    def close(self):
        """Nothing is held."""


def test_pack_and_alone_see_bitwise_the_same_data_and_initial_weights():
    together = specs(mis=(2.0, 6.0), seeds=range(4))
    pack = pack_of(together)
    assert len(pack.specs) == 8
    x, y = (torch.cat(parts, 1) for parts in zip(*training_chunks(pack, CPU, 50), strict=True))
    weights = initial_parameters(pack)
    for run, spec in enumerate(together):
        alone = pack_of([spec])
        own_x, own_y = (torch.cat(parts, 1) for parts in zip(*training_chunks(alone, CPU, 50), strict=True))
        assert torch.equal(x[run], own_x[0])
        assert torch.equal(y[run], own_y[0])
        for key, value in initial_parameters(alone).items():
            assert torch.equal(weights[key][run], value[0])


def test_runs_of_different_seeds_and_levels_share_nothing():
    pack = pack_of(specs(mis=(2.0, 6.0), seeds=range(2)))
    x, _ = next(training_chunks(pack, CPU, 50))
    weights = initial_parameters(pack)["g.0.weight"]
    for run in range(1, 4):
        assert not torch.isclose(x[0], x[run]).any()
    same_seed, other_seed = weights[2], weights[1]
    assert torch.equal(weights[0], same_seed)  # initial weights depend on model and seed alone
    assert not torch.isclose(weights[0], other_seed).any()


def test_training_and_read_out_data_share_nothing():
    (spec,) = specs(mis=(2.0,))
    (pair,) = pack_of([spec]).pairs
    drawn = [
        next(chunks(pair, spec, purpose, 10, 10, torch.float64))[0].flatten()
        for purpose in ("train", "pilot", "readout")
    ]
    assert len(torch.cat(drawn).unique()) == 3 * drawn[0].numel()


def test_every_estimator_and_critic_sees_the_same_data():
    first, *others = specs("infonce nce mine nwj", mis=(2.0,)) + specs(mis=(2.0,), model="bilinear")
    expected = next(training_chunks(pack_of([first]), CPU, 50))
    for other in others:
        x, y = next(training_chunks(pack_of([other]), CPU, 50))
        assert torch.equal(x, expected[0])
        assert torch.equal(y, expected[1])


def agree(together):
    """Check that runs end alike in one pack and alone."""
    assert len(packs(together, LARGE)) == 1
    in_pack, alone = outcomes(together), outcomes(together, budget=0)
    for spec in together:
        a, b = in_pack[spec].readout, alone[spec].readout
        assert a.batches == b.batches
        assert a.estimate == pytest.approx(b.estimate, abs=1e-4)
        assert a.oracle == pytest.approx(b.oracle, abs=0, nan_ok=True)


@pytest.mark.parametrize(("name", "model"), TRAINED)
def test_estimates_agree_in_a_pack_and_alone(name, model):
    agree(specs(name, seeds=range(4), model=model))


@pytest.mark.parametrize("name", UNTRAINED)
def test_estimates_that_need_no_training_agree_in_a_pack_and_alone(name):
    agree(specs(name, ns=(64,), seeds=range(4)))


def test_results_do_not_depend_on_the_order_of_the_grid():
    forwards = specs("infonce nwj", ns=(4, 8), seeds=range(3), steps=10)
    one, other = outcomes(forwards), outcomes(forwards[::-1], budget=3 * pack_of(forwards[:1]).bytes_a_run)
    assert one.keys() == other.keys()
    for spec in forwards:
        assert one[spec].readout.estimate == pytest.approx(other[spec].readout.estimate, abs=1e-9)


@pytest.mark.parametrize("name", ["infonce", "mine", "nwj"])
def test_a_diverging_run_leaves_the_others_untouched(name):
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


def test_a_pack_stops_when_no_run_is_left():
    steps, reported = [], []
    pack = pack_of(specs(mis=(1e9,), steps=10_000, precision="float32"))
    fitted = fit(pack, CPU, reported.append, watch=lambda step, *_: steps.append(step) is not None)
    assert steps[-1] <= pack.steps_at_once
    assert fitted.diverged_at == [1]
    assert sum(reported) == 10_000  # nothing is left to do


def test_out_of_memory_halves_the_pack_and_goes_on():
    def error_of(job):
        return torch.OutOfMemoryError("out of memory") if len(job.trainings) > 2 else None

    together, backend = specs("infonce nwj", seeds=range(2), steps=3), Failing(error_of)
    done = outcomes(together, backend=backend)
    assert backend.started == [4, 4, 2, 2, 2, 2]
    assert {outcome.status for outcome in done.values()} == {"ok"}
    assert set(done) == set(together)


def test_out_of_memory_of_one_training_is_tried_by_estimator_and_then_fails():
    def error_of(job):
        return torch.OutOfMemoryError("out of memory") if "js" in names(job) else None

    def names(job):
        return {spec.estimator.name for spec in job.specs}

    done = outcomes(specs("js smile", mis=(2.0,), steps=3), backend=Failing(error_of))
    assert {spec.estimator.name: outcome.status for spec, outcome in done.items()} == {
        "js": "failed",
        "smile": "ok",
    }


def test_a_run_that_raises_fails_alone():
    together = specs(seeds=range(3), steps=3)
    blamed = together[4]

    def error_of(job):
        return RuntimeError("a mistake\nin a plug-in") if blamed in job.specs else None

    backend = Failing(error_of)
    done = outcomes(together, backend=backend)
    assert done[blamed].status == "failed"
    assert done[blamed].message == "RuntimeError: a mistake in a plug-in"
    assert [spec for spec in together if done[spec].status != "ok"] == [blamed]
    assert backend.started == [6] + 6 * [1]


@pytest.mark.parametrize("kind", [BrokenReading, BrokenObjective])
def test_a_broken_estimator_is_tried_alone_once_and_its_traceback_is_in_the_log(kind, register, caplog):
    register(estimators.registry, kind)
    together = specs(kind.name, mis=(2.0,), ns=(16,), seeds=range(32), steps=2)
    backend = Failing(lambda job: None)
    with caplog.at_level(logging.ERROR, logger="mibench.engine.backends.base"):
        done = outcomes(together, backend=backend)
    assert backend.started == [32] + 32 * [1]
    assert {(one.status, one.message) for one in done.values()} == {
        ("failed", "RuntimeError: a mistake in a plug-in")
    }
    logged = [record for record in caplog.records if record.name == "mibench.engine.backends.base"]
    assert len(logged) == 32
    assert logged[0].getMessage() == f"{kind.name} on gaussian failed."
    assert all(record.exc_info is not None for record in logged)
    assert "plugins.py" in caplog.text
    assert 'raise RuntimeError("a mistake' in caplog.text


def test_an_estimator_that_raises_fails_alone_of_those_that_share_its_training(register):
    register(estimators.registry, BrokenReading)
    together = specs("js smile broken-reading", mis=(1.0,), seeds=range(2), steps=5)
    assert [len(pack.trainings) for pack in packs(together, LARGE)] == [2]
    backend = Failing(lambda job: None)
    done = outcomes(together, backend=backend)
    assert backend.started == [2] + 2 * [1] + 6 * [1]
    for spec in together:
        assert done[spec].status == ("failed" if spec.estimator.name == "broken-reading" else "ok")


def test_an_objective_that_raises_stops_neither_the_planning_nor_the_runs_of_others(register):
    register(estimators.registry, BrokenObjective)
    frame = mibench.run("infonce,broken-objective", dim=2, mi=1, n=8, seeds=2, steps=3, device="cpu")
    assert frame["status"].tolist() == ["ok", "ok", "failed", "failed"]
    assert (frame["message"][2:] == "RuntimeError: a mistake in a plug-in").all()


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
    """Against torch.optim.Adam, one run at a time, in float64."""
    pack = pack_of(specs(name, seeds=range(2), steps=3, schedule="constant", lr=0.01))
    fitted = fit(pack, CPU)
    x, y = next(training_chunks(pack, CPU, 3))
    weights = initial_parameters(pack)
    for run in range(len(pack.specs)):
        own = {key: value[run : run + 1].clone().requires_grad_() for key, value in weights.items()}
        optimiser = torch.optim.Adam(own.values(), lr=0.01)
        for step in range(3):
            scores = pack.model.scores(own, x[run : run + 1, step], y[run : run + 1, step])
            loss = -pack.objective.of(scores, {}).squeeze()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        for key, value in own.items():
            assert torch.allclose(fitted.parameters[key][run], value[0], atol=1e-10)


def test_a_learned_normaliser_is_trained():
    pack = pack_of(specs("nce[normalizer=learned]", steps=20))
    learned = fit(pack, CPU).parameters["log_normalizer"]
    assert learned.shape == (2,)
    assert (learned != 0).all()


def test_a_learned_baseline_is_trained_and_is_each_runs_own():
    pack = pack_of(specs("tuba", mis=(2.0,), seeds=range(2), steps=20))
    before = initial_parameters(pack)
    assert not torch.isclose(before["log_a.0.weight"][0], before["log_a.0.weight"][1]).any()
    after = fit(pack, CPU).parameters
    assert not torch.allclose(after["log_a.2.bias"], before["log_a.2.bias"].double())


def fits(steps, schedule="one-cycle", lr=2e-3):
    return Fit(models.registry.choose("bilinear"), steps, lr, schedule, "float32")


def test_one_cycle_rises_for_a_tenth_and_falls_to_nothing():
    rates = [learning_rate(fits(1001), step) for step in range(1001)]
    assert rates[0] == pytest.approx(2e-3 / 25)
    assert max(rates) == rates[100] == pytest.approx(2e-3)
    assert rates[:101] == sorted(rates[:101])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] == pytest.approx(2e-3 / 250_000)
    for steps in (1, 2, 3):
        assert all(0 < learning_rate(fits(steps), step) <= 2e-3 for step in range(steps))
    (constant,) = specs(mis=(2.0,), schedule="constant")
    assert {learning_rate(constant.fit, step) for step in range(constant.fit.steps)} == {5e-4}


@pytest.mark.parametrize("steps", [11, 57, 1000])
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
def test_one_cycle_is_that_of_torch(steps):
    """Torch's warm-up ends at step pct_start * steps - 1, ours at a tenth of the last step."""
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    share = (0.1 * (steps - 1) + 1) / steps
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 2e-3, steps, pct_start=share, anneal_strategy="cos", div_factor=25, final_div_factor=1e4
    )
    for step in range(steps):
        assert learning_rate(fits(steps), step) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        if step < steps - 1:
            theirs.step()


def test_time_and_memory_of_a_plan_grow_with_its_runs():
    """20 coordinates, n = 64: data are 2,560 numbers a step, a separable critic has 158,784 parameters."""
    setting = {"dim": 20, "ns": (64,), "mis": (4.0,), "precision": "float32"}
    parameters = 2 * ((20 + 1) * 256 + (256 + 1) * 256 + (256 + 1) * 32)
    separable = pack_of(specs(model="separable", **setting))
    least = 4 * (4 * parameters + 2 * 64 * (2 * 256 + 32) + 64**2)  # what Adam and one pass hold
    assert least < separable.bytes_a_run < 3 * least
    # The first hidden layer of a joint critic alone is n^2 x 256 numbers, kept and with its gradient.
    joint = pack_of(specs(model="joint", **setting))
    assert joint.bytes_a_run > 2 * 4 * 64**2 * 256
    twice = pack_of(specs(model="joint", **setting | {"ns": (128,)}))
    assert twice.bytes_a_run == pytest.approx(4 * joint.bytes_a_run, rel=0.1)
    doubled = pack_of(specs(model="separable", **setting | {"precision": "float64"}))
    assert doubled.bytes_a_run == 2 * separable.bytes_a_run
    several = pack_of(specs(model="separable", seeds=range(8), **setting))
    assert several.bytes - separable.bytes >= 7 * least

    # 3 x 2 x 10,223,616 operations a step: at 1e9 a second it is them that take the time.
    arithmetic = 3 * 2 * 10_223_616 * 50 / 1e9
    assert arithmetic < separable.training_seconds(1e9) < 4 * arithmetic
    assert several.seconds(1e9) == pytest.approx(8 * separable.seconds(1e9), rel=0.05)
    assert several.seconds(1e20) == pytest.approx(separable.seconds(1e20))
    longer = pack_of(specs(model="separable", steps=100, **setting))
    assert longer.training_seconds(1e9) == pytest.approx(2 * separable.training_seconds(1e9))
    reading = [own.seconds(1e9) - own.training_seconds(1e9) for own in (separable, longer)]
    assert reading[0] == pytest.approx(reading[1])


def test_estimators_with_one_objective_share_one_training_and_are_as_if_alone():
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


TRAINED_APART = [
    ("dv", "mine"),  # read alike, and trained by another gradient
    ("js", "nwj"),  # the other way round
    ("nce[k=1]", "nce[k=2]"),
    ("nce", "nce[normalizer=learned]"),
    ("mine", "mine[rate=0.1]"),
    ("infonce", "infonce[symmetric=true]"),
    ("tuba", "interpolated[alpha=0]"),
]


def test_estimators_share_a_training_only_if_their_objective_is_the_same():
    for one, other in TRAINED_APART:
        assert estimators.get(one).objective != estimators.get(other).objective
        assert len(packs(specs(f"{one} {other}", mis=(2.0,)), LARGE)) == 2
    by_objective = {}
    for name in estimators.registry.entries:
        objective = estimators.get(name).objective
        if objective is not None:
            by_objective.setdefault(objective, set()).add(name)
    assert {"js", "smile"} in by_objective.values()
    # No two objectives have one identity, which is what a training key has of them.
    identities = [str(objective.identity) for objective in by_objective]
    assert len(set(identities)) == len(identities)


def test_training_keys_distinguish_trainings():
    js, smile, nwj = specs("js smile[tau=1] nwj", mis=(2.0,))
    assert training_key(js) == training_key(smile) != training_key(nwj)
    assert js.key != smile.key
    stairs = specs("js", mis=(2.0, 4.0), protocol="staircase[levels=2/4]")
    assert len({training_key(spec) for spec in stairs}) == 1
    for other in (specs("js", mis=(4.0,)), specs("js", mis=(2.0,), seeds=(1,)), stairs):
        assert training_key(other[0]) != training_key(js)
