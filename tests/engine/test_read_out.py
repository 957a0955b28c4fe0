"""Evaluation: enough fresh batches, the exact density ratio on the same ones, and what is not counted."""

import math

import pytest
import torch
from grids import pack_of, specs
from mibench.engine.execute import execute

from mibench.engine import evaluate, train
from mibench.engine.plan import packs

CPU = torch.device("cpu")


def read(pack):
    return list(evaluate.read_out(pack, train.train(pack, CPU)).values())


@pytest.mark.parametrize("name", ["infonce", "nce", "nce[normalizer=learned]", "mine", "nwj"])
def test_standard_error_reaches_its_target(name):
    pack = pack_of(specs(name, mis=(1.0, 2.0), ns=(16,), steps=100))
    for readout in read(pack):
        assert readout.estimate_se <= evaluate.TARGET_SE_NATS
        assert readout.estimate_se == pytest.approx(readout.batch_std / math.sqrt(readout.batches))
        assert readout.batches >= evaluate.PILOT_BATCHES


def test_the_number_of_batches_is_limited_where_the_variance_is_not():
    pack = pack_of(specs("mine", mis=(2.0,), ns=(8,), steps=1))
    endless = torch.linspace(-1e3, 1e3, evaluate.PILOT_BATCHES)
    assert evaluate._enough(pack, endless) == evaluate.MOST_ROWS // 8
    assert evaluate._enough(pack, torch.full((9,), math.nan)) == evaluate.PILOT_BATCHES


def test_oracle_is_the_exact_critic_on_the_very_same_batches():
    pack = pack_of(specs("infonce nwj", mis=(2.0,), steps=1)[:1])
    (readout,) = read(pack)
    batches = evaluate._batches(pack, 0, "readout", readout.batches)
    values = [
        pack.estimator.estimate(pack.tasks[0].log_density_ratio(one_x, one_y))
        for x, y in batches
        for one_x, one_y in zip(x, y, strict=True)
    ]
    assert len(values) == readout.batches
    assert torch.stack(values).mean().item() == pytest.approx(readout.oracle, abs=1e-9)


def test_the_exact_critic_itself_has_no_critic_gap(monkeypatch):
    pack = pack_of(specs("infonce nce", mis=(2.0,), ns=(16,), steps=1)[:1])
    trained = train.train(pack, CPU)
    monkeypatch.setattr(
        type(pack.critic), "scores", lambda self, parameters, x, y: pack.tasks[0].log_density_ratio(x, y)
    )
    (readout,) = evaluate.read_out(pack, trained).values()
    assert readout.estimate == pytest.approx(readout.oracle, abs=1e-9)
    assert readout.estimate_se == pytest.approx(readout.oracle_se, abs=1e-9)
    assert readout.critic_gap_se < 1e-9


def test_batches_of_a_run_do_not_depend_on_how_many_are_read():
    pack = pack_of(specs(mis=(2.0,)))
    few = torch.cat([x for x, _ in evaluate._batches(pack, 0, "readout", 3)])
    many = torch.cat([x for x, _ in evaluate._batches(pack, 0, "readout", 5000)])
    assert len(few) == 3
    assert len(many) == 5000
    assert torch.equal(few, many[:3])


@pytest.mark.parametrize(
    ("values", "oracle", "constant", "word"),
    [
        ([1.0, 2.0], [1.0, 2.0], False, ""),
        ([1.0, math.nan], [1.0, 2.0], False, "not finite"),
        ([1.0, math.inf], [1.0, 2.0], False, "not finite"),
        ([1.0, 2.0], [1.0, math.nan], False, "float64"),
        ([0.0, 0.0], [1.0, 2.0], True, "collapsed"),
        ([-50.0, -60.0] + 8 * [3.0], 10 * [1.0], False, "below"),
        ([-50.0] + 9 * [2.0], 10 * [1.0], False, ""),
        ([-5e4] + 9 * [2.0], 10 * [1.0], False, "mean"),
    ],
)
def test_what_does_not_count(values, oracle, constant, word):
    message = evaluate.failure(torch.tensor(values), torch.tensor(oracle), constant)
    assert word in message
    assert bool(word) == bool(message)


@pytest.mark.slow
def test_trained_infonce_is_within_0_12_nats_of_its_oracle_and_not_above():
    """Separable critic, default schedule, 2000 steps, d = 20, n = 64, five seeds."""
    grid = specs(
        mis=(2.0, 4.0, 6.0, 8.0, 10.0),
        ns=(64,),
        seeds=range(5),
        critic="separable",
        dim=20,
        steps=2000,
        precision="float32",
    )
    gaps = {}
    for pack in execute(packs(grid, 24 * 2**20), CPU):
        for outcome in pack:
            assert outcome.status == "ok"
            gap = outcome.readout.estimate - outcome.readout.oracle
            assert gap < 3 * outcome.readout.critic_gap_se
            gaps.setdefault(dict(outcome.spec.task.options)["mi"], []).append(gap)
    assert len(gaps) == 5
    for own in gaps.values():
        assert len(own) == 5
        assert -0.12 < sum(own) / 5 < 0
