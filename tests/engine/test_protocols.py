"""The staircase and the fixed data set: which data are trained on, and where each number comes from."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from grids import CPU, LARGE, outcomes, pack_of, specs

from mibench import estimators
from mibench.engine.backends.base import execute
from mibench.engine.backends.local import Local
from mibench.engine.data import training_chunks
from mibench.engine.fit import initial_parameters
from mibench.engine.jobs import PackJob
from mibench.engine.plan import Pack, packs, training_key
from mibench.engine.protocols import registry as protocols
from mibench.seeding import stream
from mibench.tasks import get as task_of
from mibench.tasks.pair import Pair

STAIRS = {"mis": (1.0, 2.0), "protocol": "staircase[levels=1/2,span=10]", "steps": 60, "schedule": "constant"}
DATA = {"mis": (1.0,), "protocol": "samples[size=200,every=5,patience=4]", "ns": (8,), "schedule": "constant"}


def follow(pack):
    """Return what is fitted and read where a pack follows its protocol."""
    return pack.protocol.follow(pack, CPU, lambda steps: None)


def climb(specs_):
    (pack,) = packs(specs_, LARGE)
    return pack, follow(pack)[1]


def test_one_critic_climbs_all_stairs_and_each_run_is_a_level():
    levels = specs("nwj", **STAIRS)
    pack, readouts = climb(levels)
    assert len(pack.trainings) == 1
    assert [len(readouts[spec].curve) for spec in levels] == [30, 30]


def test_curve_is_the_value_of_each_training_batch_before_its_step():
    """Against a loop with torch.optim.Adam on the same batches."""
    levels = specs("nwj", **STAIRS)
    pack, readouts = climb(levels)
    own = {key: value.clone().requires_grad_() for key, value in initial_parameters(pack).items()}
    optimiser = torch.optim.Adam(own.values(), lr=5e-4)
    values = []
    for level in (1.0, 2.0):
        for x, y in training_chunks(pack.at(level), CPU, 30):
            for step in range(x.shape[1]):
                scores = pack.model.scores(own, x[:, step], y[:, step])
                value = estimators.get("nwj").estimate(scores).sum()
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
        batches = [(x[0], y[0]) for x, y in training_chunks(pack.at(level), CPU, 30)]
        x, y = (torch.cat(side)[15:] for side in zip(*batches, strict=True))
        ratios = task_of("gaussian", dim=4, mi=level).log_density_ratio(x, y)
        expected = estimators.get("nwj").estimate(1 + ratios).mean().item()
        assert readouts[spec].oracle == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["nwj", "mmg"])  # mmg draws noise of its own in training
def test_stairs_do_not_depend_on_which_levels_are_asked_for(name):
    both = specs(name, **STAIRS)
    together, one = outcomes(both), outcomes(both[1:])
    assert one[both[1]].readout.estimate == together[both[1]].readout.estimate


def test_levels_below_the_one_where_the_objective_breaks_stay():
    broken = specs(
        "nwj", **STAIRS | {"mis": (1.0, 1e9), "protocol": "staircase[levels=1/1e9]"}, precision="float32"
    )
    done = outcomes(broken)
    assert [done[spec].status for spec in broken] == ["ok", "diverged"]
    assert "float32" in done[broken[1]].message


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("step", [3, 25])  # in the level's head, or in the tail that is averaged
def test_a_level_with_a_value_that_is_not_finite_is_diverged_however_smooth_the_curve_is(
    value, step, monkeypatch
):
    steps = []
    estimate = type(estimators.get("nwj")).estimate

    def listened(self, scores):
        found = estimate(self, scores)
        if scores.dtype == torch.float32:  # as in training; the exact scores are float64
            steps.append(1)
            found = torch.full_like(found, value) if len(steps) == step + 1 else found
        return found

    monkeypatch.setattr(type(estimators.get("nwj")), "estimate", listened)
    levels = specs("nwj", **STAIRS, precision="float32")
    _, readouts = climb(levels)
    assert len(steps) == 60
    assert "not finite" in readouts[levels[0]].message
    assert readouts[levels[1]].message == ""


def test_a_staircase_that_diverges_in_training_is_called_so():
    for outcome in outcomes(specs("nwj", **STAIRS | {"steps": 200}, lr=50.0, precision="float32")).values():
        assert outcome.status == "diverged"
        assert outcome.readout is None


def test_packs_on_samples_count_the_data_they_hold():
    small, large = (
        pack_of(specs(**DATA | {"protocol": f"samples[size={size}]"})) for size in (1000, 100_000)
    )
    numbers = 99_000 * (4 + 4)
    assert 8 * numbers <= large.bytes_a_run - small.bytes_a_run <= 3 * 8 * numbers  # once, and not thrice


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


# ---- A data set of fixed size


def sample_of(spec, size=200):
    """Return the data set of a run in its three parts: 60% train, 20% validation, 20% test."""
    pair = task_of("gaussian", dim=4, mi=dict(spec.task.options)["mi"]).pair()
    x, y = pair.draw(size, stream("samples", spec.task.identity, spec.seed), torch.float64)
    train, both = round(0.6 * size), round(0.8 * size)
    return [(x[a:b], y[a:b]) for a, b in ((0, train), (train, both), (both, size))]


def record_training(monkeypatch):
    """Return a list to which every batch that an objective is trained on is added, as x (R, n, dim) and y."""
    seen = []
    kind = type(estimators.get("infonce"))
    value = kind.value

    def listened(self, model, parameters, state, batch):
        seen.append((batch.x, batch.y))
        return value(self, model, parameters, state, batch)

    monkeypatch.setattr(kind, "value", listened)
    return seen


def test_parts_are_disjoint_and_of_the_sizes_that_were_said():
    first, second = specs(**DATA, seeds=range(2))
    assert pack_of([first]).protocol.parts == (120, 40, 40)
    parts = sample_of(first)
    assert [len(x) for x, _ in parts] == [120, 40, 40]
    assert len(torch.cat([x[:, 0] for x, _ in parts]).unique()) == 200
    assert not torch.isin(parts[0][0], sample_of(second)[0][0]).any()  # seeds have data of their own


def test_epochs_go_through_every_batch_of_the_train_part_without_repeating_a_row(monkeypatch):
    pack = pack_of(specs(**DATA, steps=20, seeds=range(2)))
    seen = record_training(monkeypatch)
    follow(patient(pack))
    x, y = (torch.stack(side) for side in zip(*seen, strict=True))  # (steps, R, n, dim)
    assert len(x) == 20
    for run, spec in enumerate(pack.leaders):
        train = sample_of(spec)[0]
        first = x[:15, run].reshape(120, -1)  # an epoch: 15 batches of 8 of 120 rows
        assert sorted(first[:, 0].tolist()) == sorted(train[0][:, 0].tolist())
        rest = x[15:, run].reshape(40, -1)
        assert len(rest[:, 0].unique()) == 40
        order = [train[0][:, 0].tolist().index(value) for value in first[:, 0].tolist()]
        assert order != sorted(order)
        assert torch.equal(y[:15, run].reshape(120, -1), train[1][order])  # pairs stay together
    assert not torch.equal(order_of(x, pack, 0), order_of(x, pack, 1))


def order_of(x, pack, run):
    """Return the rows of the train part in the order in which a run's first epoch goes through them."""
    rows = sample_of(pack.leaders[run])[0][0][:, 0]
    return (x[:15, run].reshape(120, -1)[:, :1] == rows).int().argmax(1)


def patient(pack):
    """Return the pack with so much patience that training never ends early."""
    protocol = protocols.choose("samples[size=200,every=5,patience=1000]")
    return Pack(tuple(tuple(replace(spec, protocol=protocol) for spec in own) for own in pack.trainings))


def test_training_never_sees_validation_or_test_rows(monkeypatch):
    seen = record_training(monkeypatch)
    (spec,) = specs(**DATA, steps=20)
    follow(pack_of([spec]))
    train, validation, test = sample_of(spec)
    used = torch.cat([x.flatten() for x, _ in seen]).unique()
    assert torch.isin(used, train[0]).all()
    assert not torch.isin(used, torch.cat([validation[0], test[0]])).any()


def test_the_best_critic_on_validation_is_read_and_no_later_one():
    pack = pack_of(specs("infonce", **DATA | {"mis": (2.0,)}, steps=300, lr=5e-3, seeds=range(3)))
    fitted, readouts = follow(pack)
    for place, spec in enumerate(pack.leaders):
        best = readouts[spec].best_step
        assert 0 < best < 300
        # The same run, stopped there by its number of steps, ends with the same critic.
        short = replace(spec, fit=replace(spec.fit, steps=best))
        again, _ = follow(patient(pack_of([short])))
        for key, value in again.parameters.items():
            assert torch.allclose(fitted.parameters[key][place], value[0])


def test_a_run_is_settled_by_its_own_patience_whatever_the_others_do():
    several = specs("infonce", **DATA, steps=300, seeds=range(4))
    together, alone = outcomes(several), outcomes(several, budget=0)
    assert len({outcome.readout.best_step for outcome in together.values()}) > 1
    for spec in several:
        a, b = together[spec].readout, alone[spec].readout
        assert a.best_step == b.best_step
        for name in ("estimate", "train", "validation", "oracle"):
            assert getattr(a, name) == pytest.approx(getattr(b, name), abs=1e-6)


def test_training_ends_when_every_run_is_settled(monkeypatch):
    seen, reported = record_training(monkeypatch), []
    pack = pack_of(specs("infonce", **DATA, steps=10_000, seeds=range(2)))
    _, readouts = pack.protocol.follow(pack, CPU, reported.append)
    best = [readout.best_step for readout in readouts.values()]
    assert min(best) >= 5
    assert len(seen) == max(best) + 4 * 5  # after four values, of every fifth step, without a better one
    assert sum(reported) == 10_000  # nothing is left to do


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
    (spec,) = specs("infonce", **DATA, steps=5)
    (readout,) = follow(pack_of([spec]))[1].values()
    x, y = sample_of(spec)[2]
    task = task_of("gaussian", dim=4, mi=1.0)
    ratios = task.log_density_ratio(x.view(5, 8, -1), y.view(5, 8, -1))
    assert readout.batches == 5
    assert readout.oracle == pytest.approx(estimators.get("infonce").estimate(ratios).mean().item())
    assert math.isfinite(readout.estimate_se)


class Swapped:
    """A source of pairs with x and y the other way round, of which little is known."""

    def pair(self, spec):
        known = task_of("gaussian", dim=4, mi=1.0).pair()
        return Pair(known.dims, known.truth, lambda *drawn: known.draw(*drawn)[::-1])

    def dims(self, spec):
        return self.pair(spec).dims


def test_a_job_keeps_where_its_pairs_come_from():
    source = Swapped()
    together = specs(mis=(1.0,), seeds=range(4), steps=2)
    (pack,) = packs(together, LARGE, source)
    job = PackJob(pack.trainings, pack.source)
    assert all(part.source is source for part in (*job.halves(), *job.singles()))
    assert all(part.pack.source is source for part in job.halves())
    assert pack.at(2.0).source is source
    for outcome in job.run(CPU, lambda work: None):
        assert outcome.status == "ok"
        assert math.isnan(outcome.readout.oracle)


def test_work_reported_is_that_of_the_pack():
    for setting in (STAIRS, DATA | {"steps": 100}, {"mis": (1.0,)}):
        (pack,) = packs(specs("infonce", **setting), LARGE)
        reported = []
        list(execute([PackJob(pack.trainings, pack.source)], Local(), CPU, reported.append))
        assert sum(reported) == pytest.approx(pack.work)
