"""Batches too large for a score matrix are read in tiles, and one training is read at many n."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

import mibench
from mibench import UsageError, estimators, models, scores, tasks
from mibench.batch import Batch, Dims
from mibench.engine import plan, tiling
from mibench.engine.protocols import stream as stream_protocol
from mibench.engine.read import standard_error
from mibench.engine.tiling import Tiling, tiled_pair
from mibench.estimators.conditional.density import FromDensity
from mibench.objectives import OfScores
from mibench.reports import tables
from mibench.seeding import stream
from mibench.tiles import Operand, Tiles

RUNS, N = 3, 37
OPTIONS = [
    *("infonce[symmetric=true,temperature=0.5]", "smile[tau=1]", "smile[tau=inf]", "nce[k=4]"),
    *("interpolated[alpha=0]", "interpolated[alpha=1]", "club[negatives=sampled]"),
]
READ = [
    name
    for name in [*estimators.registry.entries, *OPTIONS]
    if isinstance(estimators.get(name).objective, OfScores) or isinstance(estimators.get(name), FromDensity)
]


def matrix(scale=2.0):
    return scale * torch.randn(RUNS, N, N, generator=stream("tiles"), dtype=torch.float64)


def tiled(values, anchors=N, most_pairs=150):
    return Tiles(lambda parts: parts[0], (Operand(values, 1, 2),), RUNS, N, anchors, most_pairs)


def read(name, values):
    outputs = {"scores": values, "conditional": values, "marginal": torch.zeros(RUNS, N)}
    batch = Batch(torch.zeros(RUNS, N, 1), torch.zeros(RUNS, N, 1), known={"entropy_y": torch.zeros(RUNS)})
    return estimators.get(name).read(outputs, batch)


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("scale", [2.0, 200.0])
@pytest.mark.parametrize("most_pairs", [3, 150, 10**6])
def test_tiles_read_what_the_matrix_does(name, scale, most_pairs):
    whole = matrix(scale)
    expected = read(name, whole)
    assert read(name, tiled(whole, most_pairs=most_pairs)) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_every_estimator_that_reads_a_matrix_is_read_in_tiles():
    assert {"infonce", "nce", "mine", "nwj", "dv", "js", "smile", "tuba", "interpolated"} < set(READ)
    assert {"ba", "doe", "club", "l1out"} < set(READ)


@pytest.mark.parametrize("anchors", [1, 10, N])
def test_anchors_are_the_first_rows_and_columns_against_all_others(anchors):
    whole, part = matrix(), tiled(matrix(), anchors)
    own = torch.eye(N, dtype=torch.bool)
    others = whole.masked_fill(own, -math.inf)
    assert torch.equal(scores.positives(part), scores.positives(whole)[:, :anchors])
    assert torch.equal(scores.following(part), scores.following(whole)[:, :anchors])
    for found, expected in (
        (scores.log_sum_exp_rows(part), whole.logsumexp(-1)[:, :anchors]),
        (scores.log_sum_exp_columns(part), whole.logsumexp(-2)[:, :anchors]),
        (scores.log_sum_exp_other_rows(part), others.logsumexp(-2)[:, :anchors]),
        (
            scores.log_mean_exp_negatives(part),
            others[:, :anchors].logsumexp((-2, -1)) - math.log(anchors * (N - 1)),
        ),
        (
            scores.mean_negatives(part),
            whole.masked_fill(own, 0.0)[:, :anchors].sum((-2, -1)) / (anchors * (N - 1)),
        ),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_arithmetic_is_that_of_tensors():
    whole, part = matrix(), tiled(matrix())
    row, column = torch.randn(2, RUNS, 1, N, generator=stream("row"), dtype=torch.float64)
    for change in (
        lambda f: 1 + f - 0.5,
        lambda f: (f + 1).clamp(-0.5, 2.0) - 3,
        lambda f: 2 * (f - 1) / 4 + 1,
        lambda f: f - row + 1,
        lambda f: f + column.mT,
        lambda f: f - row[:, :, :1],
        lambda f: (f / 1 * 1).double(),
    ):
        for reduce in (scores.log_mean_exp_negatives, scores.mean_negatives, scores.log_sum_exp_columns):
            torch.testing.assert_close(reduce(change(part)), reduce(change(whole)), rtol=1e-12, atol=1e-12)


def test_the_lowest_and_the_highest_score_are_those_of_the_matrix():
    whole = matrix()
    whole[1] = 0.7
    for found, expected in zip(scores.extremes(tiled(whole) + 1), scores.extremes(whole + 1), strict=True):
        assert torch.equal(found, expected)


CRITICS = [
    *("separable[hidden=16,embedding=4]", "bilinear", "joint[hidden=16]"),
    *("gaussian-mlp[hidden=16]", "embedding[vocabulary=50]"),
]


@pytest.mark.parametrize("name", CRITICS)
def test_models_read_in_tiles_are_those_read_whole(name, monkeypatch):
    monkeypatch.setattr(tiling, "FEATURE_ROWS", 10)
    made = models.registry.get(name)
    tokens = "embedding" in name
    dims = Dims(1, 1, 50) if tokens else Dims(3, 2)
    x, y = torch.randn(2, RUNS, N, 3, generator=stream("x, y"), dtype=torch.float64)
    x, y = ((x, y[..., :2])) if not tokens else (x[..., :1].abs() * 5 // 1, y[..., :1].abs() * 5 // 1)
    drawn = [made.initialise(dims, stream("weights", run), torch.float64) for run in range(RUNS)]
    parameters = {key: torch.stack([run[key] for run in drawn]) for key in drawn[0]}
    method = "log_prob" if made.kind == "conditional" else "scores"
    whole = getattr(made, method)(parameters, x, y)
    part = getattr(tiling.tiled_model(made, Tiling(20, most_pairs=150)), method)(parameters, x, y)
    torch.testing.assert_close(part.diagonal(), scores.positives(whole)[:, :20], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(part.logsumexp_rows(True), whole.logsumexp(-1)[:, :20], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("task", ["gaussian[dim=3]", "cubic[dim=2]", "cpc", "linear-encoder", "bigram"])
def test_exact_ratios_in_tiles_are_those_of_the_matrix(task):
    pair = tasks.get(task).pair()
    x, y = pair.draw(N, stream("exact"), torch.float64)
    whole, part = (
        pair.log_ratio(x[None], y[None]),
        tiling.tiled_pair(pair, Tiling(20, most_pairs=150)).log_ratio(x[None], y[None]),
    )
    torch.testing.assert_close(
        scores.log_mean_exp_negatives(part),
        scores.off_diagonal(whole)[:, :20].logsumexp((-2, -1)) - math.log(20 * (N - 1)),
        rtol=1e-10,
        atol=1e-10,
    )


@pytest.fixture
def small_matrices(monkeypatch):
    """Above n = 16, batches are read in tiles, 8 rows of them."""
    for module, name, value in (
        (tiling, "LARGEST_MATRIX", 16),
        (tiling, "ANCHORS", 8),
        (plan, "LARGEST_MATRIX", 16),
    ):
        monkeypatch.setattr(module, name, value)


UNCHANGED = ["infonce", "infonce[symmetric=true]", "nwj", "js", "tuba", "nce", "ba", "doe", "club", "l1out"]
"""Estimators whose expectation does not depend on how many rows of a batch are anchors."""


@pytest.mark.parametrize("name", UNCHANGED)
def test_anchors_leave_the_expectation_as_it_is(name):
    pair, estimator = tasks.get("gaussian", dim=2, mi=1.0).pair(), estimators.get(name)
    n, batches = 24, 3000
    x, y = (side.view(batches, n, 2) for side in pair.draw(batches * n, stream("anchors"), torch.float64))
    batch = Batch(x, y, known={"entropy_y": torch.tensor(pair.entropy_y, dtype=torch.float64)})
    whole = estimator.read(estimator.exact(pair, batch), batch)
    part = estimator.read(estimator.exact(tiling.tiled_pair(pair, Tiling(4)), batch), batch)
    assert part.std() > whole.std()  # the diagonal of fewer rows
    assert abs((part - whole).mean().item()) < 4 * standard_error(part - whole)


def test_a_log_of_a_mean_over_fewer_pairs_is_lower():
    """Of dv, mine and smile the estimate with anchors is higher than from the matrix, if only by a little."""
    pair = tasks.get("gaussian", dim=2, mi=1.0).pair()
    x, y = (side.view(6000, 24, 2) for side in pair.draw(6000 * 24, stream("anchors"), torch.float64))
    part = scores.log_mean_exp_negatives(tiling.tiled_pair(pair, Tiling(4)).log_ratio(x, y))
    lower = part - scores.log_mean_exp_negatives(pair.log_ratio(x, y))
    assert -0.1 < lower.mean().item() < -4 * standard_error(lower)


def grid(names, **settings):
    frame = mibench.run(names, dim=2, mi=1, seeds=2, steps=30, device="cpu", **settings)
    return frame.set_index(["estimator", "n", "seed"])


@pytest.mark.slow
def test_a_run_is_read_in_tiles_as_from_its_matrix(small_matrices, monkeypatch):
    names = "infonce,nwj,smile,nce,ba,club,l1out"
    part = grid(names, n=24, train_n=8)
    assert (part["status"] == "ok").all()
    monkeypatch.setattr(tiling, "ANCHORS", 24)
    all_rows = grid(names, n=24, train_n=8)
    monkeypatch.undo()
    whole = grid(names, n=24, train_n=8)
    sums = (part["estimate_se_nats"] ** 2 + whole["estimate_se_nats"] ** 2) ** 0.5
    assert ((part["estimate_nats"] - whole["estimate_nats"]).abs() < 4 * sums).all()
    # Not as many batches are read where batches are large: the same data, and more of them.
    joined = all_rows["estimate_nats"] - whole["estimate_nats"]
    assert (joined.abs() < 4 * sums).all()
    assert (part["oracle_nats"] - whole["oracle_nats"]).abs().max() < 0.3


def test_one_training_is_read_at_many_n():
    many = grid("infonce,nwj", n=[8, 16, 32], train_n=16)
    own = grid("infonce,nwj", n=16)
    for name in ("infonce", "nwj"):
        for seed in range(2):
            assert many.loc[(name, 16, seed), "estimate_nats"] == own.loc[(name, 16, seed), "estimate_nats"]
            assert {many.loc[(name, n, seed), "training"] for n in (8, 16, 32)} == {
                own.loc[(name, 16, seed), "training"]
            }
    assert set(many["key"]).isdisjoint(own["key"])
    assert set(many["train_n"]) == {16}
    assert own["train_n"].isna().all()
    assert many.loc[("infonce", 32, 0), "ceiling_nats"] == math.log(32)
    cells = mibench.summarise(many.reset_index())
    assert len(cells) == 6
    # What is optimal does not depend on n: the bound loses less at a larger n, also where training had fewer.
    infonce = cells[cells["estimator"] == "infonce"].set_index("n")["oracle_nats"]
    assert infonce[8] < infonce[16] < infonce[32]


def test_several_n_of_training_are_an_axis():
    planned = mibench.plan("infonce,ksg", n=[8, 16], train_n=[4, 8], seeds=1, dim=2, mi=1, device="cpu")
    fits = [(spec.n, spec.fit and spec.fit.train_n) for spec in planned.specs]
    assert fits == [(8, 4), (16, 4), (8, 8), (16, 8), (8, None), (16, None)]
    assert [len(pack.trainings) for pack in planned.packs()] == [1, 1, 1, 1]


def test_a_resumed_grid_reads_only_what_is_missing(tmp_path):
    settings = {"dim": 2, "mi": 1, "seeds": 2, "steps": 20, "train_n": 8, "device": "cpu", "out": tmp_path}
    first = mibench.run("infonce", n=[8, 16], **settings)
    both = mibench.run("infonce", n=[8, 16, 32], **settings)
    assert both.merge(first, on="key")["estimate_nats_x"].tolist() == first["estimate_nats"].tolist()
    fresh = mibench.run("infonce", n=[8, 16, 32], **{**settings, "out": None})
    assert fresh["estimate_nats"].tolist() == both["estimate_nats"].tolist()


def test_the_number_of_anchors_is_an_axis_that_shares_a_training():
    names = "infonce,nwj,nce"
    usual, few = grid(names, n=24), grid(names, n=24, anchors=[6, 24])
    assert set(few["anchors"]) == {6, 24}
    assert usual["anchors"].isna().all()
    assert set(few["key"]).isdisjoint(usual["key"])
    assert set(few["training"]) == set(usual["training"])
    assert len(mibench.summarise(few.reset_index())) == 6
    every = few[few["anchors"] == 24]
    for name in ("estimate_nats", "oracle_nats", "batches"):
        assert (every[name] == usual[name]).all()
    part = few[few["anchors"] == 6]
    sums = (part["estimate_se_nats"] ** 2 + every["estimate_se_nats"] ** 2) ** 0.5
    assert ((part["estimate_nats"] - every["estimate_nats"]).abs() < 4 * sums).all()
    assert (part["batch_std_nats"] > 1.3 * every["batch_std_nats"]).all()


def test_the_usual_anchors_may_be_given(small_matrices):
    usual, given = grid("infonce", n=24), grid("infonce", n=24, anchors=8)
    assert (usual["estimate_nats"] == given["estimate_nats"]).all()
    assert (usual["batches"] == given["batches"]).all()


def test_an_estimator_that_needs_every_row_is_read_with_all_of_a_large_batch(small_matrices):
    every = grid("interpolated", n=24, anchors=24)
    assert (every["status"] == "ok").all()


def test_estimators_that_train_nothing_have_no_anchors():
    planned = mibench.plan("infonce,ksg", n=16, anchors=[4, 8], seeds=1, dim=2, mi=1, device="cpu")
    assert [spec.fit and spec.fit.anchors for spec in planned.specs] == [4, 8, None]


@pytest.mark.parametrize(("anchors", "batches"), [(1, 48), (4, 16), (8, 8), (16, 8), (20, 8)])
def test_a_pilot_of_few_anchors_has_more_batches(anchors, batches, small_matrices, monkeypatch):
    monkeypatch.setattr(plan, "ANCHORS", 8)
    (pack,) = mibench.plan("nwj", n=20, anchors=anchors, seeds=1, dim=2, mi=1, device="cpu").packs()
    (read,) = (own for _, own in pack.readings())
    assert (read.anchors, read.pilot_batches) == (anchors, batches)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"anchors": 17, "n": 16}, "A batch of n = 16 has no 17 anchors"),
        ({"anchors": 17, "n": [64, 16]}, "A batch of n = 16 has no 17 anchors"),
        ({"anchors": 0}, "anchors"),
        ({"estimator": "interpolated", "n": 64, "anchors": 8}, "whole score matrices, not 8 rows of n = 64"),
        ({"estimator": "ksg", "anchors": 8}, "No estimator here can use --anchors"),
        ({"protocol": "samples", "samples": 100, "anchors": 8}, "anchors has no meaning under the protocol"),
        ({"protocol": "staircase", "anchors": 8}, "anchors has no meaning under the protocol 'staircase'"),
        ({"protocol": "samples", "samples": 100, "train_n": 8}, "no meaning under the protocol 'samples'"),
        ({"protocol": "staircase", "train_n": 8}, "no meaning under the protocol 'staircase'"),
        ({"estimator": "interpolated", "n": 4096, "train_n": 8}, "whole score matrices"),
        ({"estimator": "nce[k=9]", "n": 16, "train_n": 8}, "needs 9 noise samples"),
        ({"train_n": 1}, "train_n"),
        ({"estimator": "ksg", "train_n": 8}, "No estimator here can use --train-n"),
    ],
)
def test_what_train_n_cannot_be(settings, words):
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        mibench.plan(**{"estimator": "infonce", "dim": 2, "mi": 1, "device": "cpu", **settings})


def test_memory_is_announced_for_reading_in_tiles():
    settings = {"dim": 20, "mi": 10, "seeds": 1, "train_n": 64, "device": "cpu"}
    (small,) = mibench.plan("infonce", n=64, **settings).packs()
    (large,) = mibench.plan("infonce", n=2**17, **settings).packs()
    assert small.bytes < large.bytes < 2**29
    assert large.trainings[0][0].in_training.n == 64


def test_an_n_of_which_reading_alone_needs_too_much_is_refused():
    with pytest.raises(UsageError, match="at n = 1073741824 with 'separable' needs about"):
        mibench.plan("infonce", dim=20, mi=4, n=[64, 2**30], train_n=64, seeds=1, device="cpu")


def test_the_time_of_reading_is_announced():
    """It grows with n, and that of training does not; of the same batches, with anchors."""
    settings = {"dim": 20, "mi": 4, "train_n": 64, "seeds": 1, "device": "cpu"}
    small, some, many = (
        mibench.plan("infonce", n=n, anchors=anchors, **settings).packs()[0]
        for n, anchors in ((64, None), (2**15, 1024), (2**15, 2048))
    )
    assert small.training_seconds(1e11) == some.training_seconds(1e11) == many.training_seconds(1e11)
    assert small.seconds(1e11) < 2 * small.training_seconds(1e11)
    assert some.seconds(1e11) > 5 * small.seconds(1e11)
    per_batch = [
        (pack.seconds(1e11) - pack.training_seconds(1e11)) / read._batches_read
        for pack in (some, many)
        for _, read in pack.readings()
    ]
    assert per_batch[0] < per_batch[1] < 2 * per_batch[0]  # the features of all rows cost the same


def test_a_step_in_tiles_costs_memory_of_rows_alone():
    sizes = [
        mibench.plan("infonce", dim=20, mi=4, n=n, seeds=1, steps=1, device="cpu").packs()[0].bytes
        for n in (2**13, 2**14, 2**15)
    ]
    assert sizes[2] - sizes[1] == pytest.approx(2 * (sizes[1] - sizes[0]), rel=0.1)
    assert sizes[2] < 4 * (2**15) ** 2 / 8  # an eighth of the matrix


def test_batches_larger_than_those_of_training_are_read_in_tiles_with_every_row():
    whole = grid("infonce,nwj,smile", n=24, train_n=24).loc[:, "oracle_nats"]
    part = grid("infonce,nwj,smile", n=24, train_n=8)
    assert (part["status"] == "ok").all()
    same = part["batches"] == grid("infonce,nwj,smile", n=24, train_n=24)["batches"]
    assert part["oracle_nats"][same].to_numpy() == pytest.approx(whole[same].to_numpy(), abs=1e-11)


def test_memory_is_small_where_a_large_model_is_read_above_its_training():
    (pack,) = mibench.plan(
        "infonce", dim=2, mi=1, n=2048, train_n=16, seeds=1, critic="joint", device="cpu"
    ).packs()
    (read,) = (own for _, own in pack.readings())
    assert read.in_tiles
    assert read.anchors == 2048
    assert (
        read.applied_model.tiling.most_pairs < 2**12
    )  # a pair of the joint critic takes several hundred numbers
    assert pack.bytes < 2**26


def test_the_cost_of_a_training_is_that_of_its_own_n():
    found = mibench.compare(
        ["infonce", "nwj"], dim=2, mi=1, n=64, train_n=16, steps=10, seeds=2, device="cpu"
    )
    assert set(found.cells["score_evaluations"]) == {10 * 16**2}


def test_tables_tell_the_n_of_training_apart_where_it_varies():
    frames = [grid("infonce", n=16).reset_index(), grid("infonce", n=16, train_n=8).reset_index()]
    shown = tables.table(mibench.summarise(pd.concat(frames, ignore_index=True)))
    assert shown.titles[:3] == ["True MI", "n", "train n"]
    assert [row[2] for row in shown.rows] == ["–", "8"]
    assert "train n" not in shown.caption


def test_a_task_is_asked_for_batches_of_training_too():
    with pytest.raises(UsageError, match="719 different x"):
        mibench.plan("infonce", "digits", n=16, train_n=2000, device="cpu")


@pytest.mark.parametrize("nats", [0.5, 2.0])
def test_the_exact_value_at_a_large_n_is_that_of_a_formula_written_out_and_near_its_limit(nats):
    """InfoNCE at the exact ratio tends to I for n to infinity: at n = 65,536 it is there within its error."""
    n, anchors, dim = 2**16, 512, 20
    pair = tasks.get("gaussian", dim=dim, mi=nats).pair()
    x, y = pair.draw(n, torch.Generator().manual_seed(1), torch.float64)
    log_ratio = tiled_pair(pair, Tiling(anchors)).log_ratio(x[None], y[None])
    found = log_ratio.diagonal() - log_ratio.logsumexp_rows(with_own=True) + math.log(n)
    rho_2 = 1 - math.exp(-2 * nats / dim)
    rho, x, y = math.sqrt(rho_2), x.numpy(), y.numpy()
    expected = []
    for i in range(0, anchors, 16):  # log N(y; rho x, 1 - rho^2) - log N(y; 0, 1), coordinate by coordinate
        squares = ((y - rho * x[i]) ** 2 / (1 - rho_2) - y**2).sum(-1)
        row = -0.5 * (squares + dim * math.log(1 - rho_2))
        expected.append(row[i] - np.logaddexp.reduce(row) + math.log(n))
    assert found[0, ::16].numpy() == pytest.approx(np.array(expected), abs=1e-9)
    assert abs(found.mean().item() - nats) < 4 * found.std().item() / math.sqrt(anchors)


def test_a_value_without_gradient_is_not_one_with_it():
    values = matrix()
    gradients = []
    for scores_of in (lambda given: given, tiled):
        given = values.clone().requires_grad_()
        f = scores_of(given)
        with torch.no_grad():
            before = scores.log_mean_exp_negatives(f)
        found = scores.positives(f).mean(-1) - (scores.log_mean_exp_negatives(f) - before).exp()
        found.sum().backward()
        gradients.append(given.grad)
    assert torch.allclose(*gradients, rtol=0, atol=1e-12)


def test_arithmetic_that_estimators_of_others_use():
    values = matrix()
    for of in (lambda f: -f, lambda f: 1 - f, lambda f: 2 * (f + 1) / 3 - 1):
        assert of(tiled(values)).diagonal() == pytest.approx(of(values).diagonal(dim1=-2, dim2=-1))
    with pytest.raises(TypeError):
        tiled(values) + tiled(values)


@pytest.mark.parametrize("settings", [{"n": 32, "train_n": 16}, {"n": 8, "anchors": 4}])
def test_estimators_of_one_training_are_read_at_once(settings, monkeypatch):
    """Each needs as many exact values as its own variance asks for."""
    fitted = []
    original = stream_protocol.fit
    monkeypatch.setattr(stream_protocol, "fit", lambda *given: fitted.append(1) or original(*given))
    run = {"dim": 2, "mi": 1, "seeds": 2, "steps": 30, "device": "cpu", **settings}
    assert (mibench.run("js,smile", **run)["status"] == "ok").all()
    assert (mibench.run("ba,doe,club,l1out", **run)["status"] == "ok").all()
    assert len(fitted) == 2


def test_with_anchors_both_parts_of_doe_are_of_the_same_rows():
    conditional, marginal = matrix(), torch.randn(RUNS, N, generator=stream("marginal"), dtype=torch.float64)
    outputs = {"conditional": tiled(conditional, anchors=5), "marginal": marginal}
    batch = Batch(torch.zeros(RUNS, N, 1), torch.zeros(RUNS, N, 1))
    expected = (conditional.diagonal(dim1=-2, dim2=-1) - marginal)[:, :5].mean(-1)
    assert estimators.get("doe").read(outputs, batch) == pytest.approx(expected)


def test_anchors_mean_nothing_to_a_model_of_no_pairs():
    runs = mibench.plan("mmg", dim=2, mi=1, n=8, anchors=[2, 4], seeds=1, device="cpu").specs
    assert [run.fit.anchors for run in runs] == [None]
    (pack,) = mibench.plan("mmg", dim=2, mi=1, n=4096, seeds=1, device="cpu").packs()
    ((_, read_pack),) = pack.readings()
    assert not read_pack.in_tiles
    assert read_pack.anchors == 4096


def test_a_pack_reads_no_more_at_once_than_memory_has_room_for():
    packs = mibench.plan("infonce", dim=20, mi=[1, 2], n=2**17, train_n=16, seeds=40, device="cpu").packs()
    assert max(pack.bytes for pack in packs) < 1.1 * plan.MOST_READING_BYTES
    assert sum(len(pack.trainings) for pack in packs) == 80
