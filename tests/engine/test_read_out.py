"""Evaluation: enough fresh batches, the exact density ratio on the same ones, and what is not counted."""

import math

import numpy as np
import pytest
import torch
from grids import CPU, outcomes, pack_of, specs
from plugins import ConstantCritic, ExactCritic, FirstNumber, RowCount

import mibench
from mibench import estimators, models
from mibench.batch import Batch
from mibench.engine import read
from mibench.engine.data import evaluation_chunks, known
from mibench.engine.fit import fit
from mibench.engine.plan import MOST_ROWS, PILOT_BATCHES
from mibench.estimators.scores.nwj import NWJ
from mibench.limits import most
from mibench.seeding import stream
from mibench.tasks import get as task_of


def read_out(pack):
    return list(read.read_out(pack, fit(pack, CPU), CPU).values())


@pytest.mark.parametrize("name", ["infonce", "nce", "nce[normalizer=learned]", "mine", "nwj"])
def test_standard_error_reaches_its_target(name):
    pack = pack_of(specs(name, mis=(1.0, 2.0), ns=(16,), steps=100))
    for readout in read_out(pack):
        assert readout.estimate_se <= read.TARGET_SE_NATS
        assert readout.estimate_se == pytest.approx(readout.batch_std / math.sqrt(readout.batches))
        assert readout.batches >= PILOT_BATCHES


@pytest.mark.parametrize(
    ("name", "batches"),
    [
        ("row-count", PILOT_BATCHES),  # no variance
        ("first-number[scale=0.2]", 1.5 * 100),  # (0.2 / 0.02)^2, and half of it more
        ("first-number[scale=1000]", MOST_ROWS // 8),
    ],
)
def test_the_number_of_batches_follows_the_variance_up_to_a_limit(name, batches, register):
    register(estimators.registry, FirstNumber)
    register(estimators.registry, RowCount)
    (readout,) = read_out(pack_of(specs(name, mis=(2.0,))))
    assert readout.batches == pytest.approx(batches, rel=0.5 if batches == 150 else 0)


def test_values_that_are_not_finite_ask_for_no_more_batches():
    (readout,) = read_out(pack_of(specs("nwj", mis=(1e9,), steps=1, precision="float32")))
    assert readout.batches == PILOT_BATCHES
    assert "finite" in readout.message


def test_oracle_is_the_exact_critic_on_the_very_same_batches():
    for name, shift in (("infonce", 0.0), ("nwj", 1.0)):
        pack = pack_of(specs(name, mis=(2.0,), steps=1))
        (readout,) = read_out(pack)
        task, estimator = task_of("gaussian", dim=4, mi=2.0), estimators.get(name)
        values = [
            estimator.estimate(shift + task.log_density_ratio(x, y))
            for x, y in evaluation_chunks(pack, 0, "readout", readout.batches)
        ]
        assert len(torch.cat(values)) == readout.batches
        assert torch.cat(values).mean().item() == pytest.approx(readout.oracle, abs=1e-9)


UNBIASED = [name for name in estimators.registry.entries if estimators.get(name).unbiased_at_exact_ratio]


def test_the_estimators_that_are_unbiased_at_the_exact_ratio():
    assert sorted(UNBIASED) == ["ba", "doe", "js", "nce", "nwj", "tuba"]


@pytest.mark.parametrize("name", UNBIASED)
@pytest.mark.parametrize("n", [2, 16])
def test_what_is_unbiased_at_the_exact_ratio_reads_the_truth_at_every_n(name, n):
    pair, estimator = task_of("gaussian", dim=2, mi=1.0).pair(), estimators.get(name)
    x, y = (side.view(-1, n, 2) for side in pair.draw(2**14 * n, stream("unbiased", n), torch.float64))
    batch = Batch(x, y, known=known([pair], torch.device("cpu")))
    values = estimator.read(estimator.exact(pair, batch), batch)
    assert abs(values.mean().item() - 1.0) < 4 * read.standard_error(values)


def test_the_value_at_the_exact_ratio_is_written_where_it_is_known_and_sampled_enough_elsewhere():
    frame = mibench.run("nwj,dv", dim=5, mi=6, n=16, seeds=1, steps=2)
    nwj, dv = frame[frame["estimator"] == "nwj"].iloc[0], frame[frame["estimator"] == "dv"].iloc[0]
    assert (nwj["exact_nats"], nwj["exact_se_nats"]) == (6.0, 0.0)
    assert nwj["oracle_nats"] != 6.0
    # The critic hardly varies after two steps, and the exact ratio does.
    assert dv["exact_se_nats"] < dv["oracle_se_nats"]
    assert dv["exact_se_nats"] <= 2 * read.TARGET_SE_NATS
    cells = mibench.summarise(frame).set_index("estimator")
    assert cells.loc["nwj", "bound_gap_nats"] == cells.loc["nwj", "bound_gap_se_nats"] == 0.0
    parts = cells["bound_gap_nats"] + cells["critic_gap_nats"] + cells["sampling_nats"]
    assert parts.to_numpy() == pytest.approx(cells["bias_nats"].to_numpy(), abs=1e-12)


@pytest.mark.parametrize("name", ["infonce", "nce", "js", "smile", "mine"])
def test_the_exact_critic_itself_has_no_critic_gap(name, register):
    register(models.registry, ExactCritic)
    pack = pack_of(specs(name, mis=(2.0,), ns=(16,), steps=1, lr=1e-12, model="exact-critic"))
    (readout,) = read_out(pack)
    assert readout.estimate == pytest.approx(readout.oracle, abs=1e-9)
    assert readout.estimate_se == pytest.approx(readout.oracle_se, abs=1e-9)
    assert readout.critic_gap_se < 1e-9


def test_batches_of_a_run_do_not_depend_on_how_many_are_read():
    pack = pack_of(specs(mis=(2.0,)))
    few = torch.cat([x for x, _ in evaluation_chunks(pack, 0, "readout", 3)])
    many = torch.cat([x for x, _ in evaluation_chunks(pack, 0, "readout", 5000)])
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
        ([369_400.0, 2.0], [10.0, 10.0], False, "more than 30 cannot be right"),
        (2 * [most(10.0, 64) - 0.01], [10.0, 10.0], False, ""),
        (2 * [most(10.0, 64) + 0.01], [10.0, 10.0], False, "cannot be right"),
        (2 * [most(None, 64) + 0.01], [0.0, 0.0], False, "cannot be right"),
    ],
)
def test_what_does_not_count(values, oracle, constant, word):
    message = read.summarise(NWJ(), 64, torch.tensor(values), torch.tensor(oracle), constant).message
    assert word in message
    assert bool(word) == bool(message)


def scores(*values):
    """Return a score matrix of one run with the given rows."""
    return {"scores": torch.tensor([values])}


@pytest.mark.parametrize(
    ("batches", "collapsed"),
    [
        ([scores([1.0, 1.0], [1.0, 1.0])] * 3, True),
        ([scores([1.0, 1.0], [1.0, 2.0])] * 3, False),
        # Equal rows of data have equal scores: batches of them alone tell nothing of the critic.
        ([scores([1.0, 1.0], [1.0, 1.0]), scores([2.0, 2.0], [2.0, 2.0])], False),
        ([scores([1.0, 1.0], [1.0, 1.0])] * 3 + [scores([1.0, 2.0], [1.0, 2.0])], False),
        ([scores([math.nan, math.nan], [math.nan, math.nan])], False),
    ],
)
def test_a_critic_is_constant_only_with_one_score_over_all_batches(batches, collapsed):
    assert read.constant(NWJ().only_score(batch) for batch in batches) == [collapsed]


@pytest.mark.parametrize("name", ["infonce", "nwj"])
def test_a_constant_critic_is_said_to_have_collapsed(name, register):
    register(models.registry, ConstantCritic)
    for readout in read_out(pack_of(specs(name, steps=1, model="constant-critic", seeds=range(2)))):
        assert readout.message == "the critic collapsed: the same score for every pair"


def test_data_with_few_values_make_no_critic_collapse():
    """At n = 2 most batches of two words hold one of them twice."""
    found = mibench.run(
        "infonce,nwj", "bigram[vocabulary=2,topics=2,exponent=4]", mi=0.05, n=2, seeds=6, steps=20
    )
    assert set(found["status"]) == {"ok"}
    generator = np.random.default_rng(0)
    x = generator.integers(0, 2, 200)
    y = np.where(generator.random(200) < 0.1, 1 - x, x)
    own = mibench.estimate(x, y, "infonce,nwj", n=2, seeds=4, steps=60, shuffle=False)
    assert set(own.runs["status"]) == {"ok"}


@pytest.mark.slow
def test_trained_infonce_is_within_0_12_nats_of_its_oracle_and_not_above():
    """Separable critic, default schedule, 2000 steps, d = 20, n = 64, five seeds."""
    grid = specs(
        mis=(2.0, 4.0, 6.0, 8.0, 10.0),
        ns=(64,),
        seeds=range(5),
        model="separable",
        dim=20,
        steps=2000,
        precision="float32",
    )
    gaps = {}
    for outcome in outcomes(grid, 24 * 2**20).values():
        assert outcome.status == "ok"
        gap = outcome.readout.estimate - outcome.readout.oracle
        assert gap < 3 * outcome.readout.critic_gap_se
        gaps.setdefault(dict(outcome.spec.task.options)["mi"], []).append(gap)
    assert len(gaps) == 5
    for own in gaps.values():
        assert len(own) == 5
        assert -0.12 < sum(own) / 5 < 0


def test_an_upper_bound_beyond_all_numbers_of_a_record_does_not_count():
    values = torch.full((3,), 2e100, dtype=torch.float64)
    assert "mean" in read.summarise(estimators.get("club"), 64, values, None, collapsed=False).message
    assert read.summarise(estimators.get("club"), 64, values / 4, None, collapsed=False).message == ""
