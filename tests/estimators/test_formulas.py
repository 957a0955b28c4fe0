"""Objectives and read-outs against naive float64 versions, and their invariances."""

import math

import naive
import pytest
import torch

from mibench import estimators
from mibench.batch import Dims
from mibench.scores import log_mean_exp_negatives

NAIVE = {
    "infonce": naive.infonce,
    "mine": naive.donsker_varadhan,
    "dv": naive.donsker_varadhan,
    "nwj": naive.nwj,
    "js": naive.js,
    "tuba": naive.tuba,
    "interpolated": lambda scores: naive.interpolated(scores, 0.5),
    "interpolated[alpha=0.01]": lambda scores: naive.interpolated(scores, 0.01),
    "interpolated[alpha=0.99]": lambda scores: naive.interpolated(scores, 0.99),
    "interpolated[alpha=0]": naive.tuba,
    "interpolated[alpha=1]": lambda scores: naive.infonce(
        [list(column) for column in zip(*scores, strict=True)]
    ),
    "smile[tau=1]": lambda scores: naive.smile(scores, 1),
    "smile": lambda scores: naive.smile(scores, 5),
    "smile[tau=none]": naive.donsker_varadhan,
}


@pytest.fixture
def scores(generator):
    return 2 * torch.randn(7, 7, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", NAIVE)
def test_read_out_is_the_naive_one(name, scores):
    estimate = estimators.get(name).estimate(scores).item()
    assert estimate == pytest.approx(NAIVE[name](scores.tolist()), abs=1e-12)


@pytest.mark.parametrize("name", ["js", "smile", "smile[tau=1]", "smile[tau=none]"])
def test_jensen_shannon_objective_is_the_naive_one(name, scores):
    objective = estimators.get(name).objective.of(scores, {}).item()
    assert objective == pytest.approx(naive.jensen_shannon(scores.tolist()), abs=1e-12)


def test_smile_clips_where_the_scores_are_large(scores):
    tight, loose = (estimators.get("smile", tau=tau).estimate(scores).item() for tau in (0.5, 50.0))
    assert abs(tight - loose) > 1e-3
    assert loose == pytest.approx(estimators.get("dv").estimate(scores).item(), abs=1e-12)


OBJECTIVES = {
    **{name: bound for name, bound in NAIVE.items() if name != "mine" and not name.startswith("smile")},
    "js": naive.jensen_shannon,
    "smile": naive.jensen_shannon,
    "nce": lambda scores: naive.nce_objective(scores, 6),
    "nce[k=2]": lambda scores: naive.nce_objective(scores, 2),
    "infonce[symmetric=true]": lambda scores: naive.mean(
        [naive.infonce(one) for one in (scores, [list(column) for column in zip(*scores, strict=True)])]
    ),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_training_follows_the_gradient_of_the_naive_objective(name, scores):
    """Central differences of the loops; of MINE, whose gradient is another, there is a test of its own."""
    moved = scores.clone().requires_grad_()
    estimators.get(name).objective.of(moved[None], {}).sum().backward()
    step = 1e-5
    for i, j in ((0, 0), (6, 6), (0, 6), (3, 1), (5, 4)):
        ends = []
        for sign in (1, -1):
            there = scores.clone()
            there[i, j] += sign * step
            ends.append(OBJECTIVES[name](there.tolist()))
        assert moved.grad[i, j].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-8)


@pytest.mark.parametrize(("name", "k"), [("nce", 6), ("nce[k=2]", 2), ("nce[k=6]", 6), ("nce[k=1]", 1)])
def test_nce_objective_is_the_naive_one(name, k, scores):
    objective = estimators.get(name).objective.of(scores, {}).item()
    assert objective == pytest.approx(naive.nce_objective(scores.tolist(), k), abs=1e-12)


def test_nce_reads_the_mean_of_the_joint_scores(scores):
    assert estimators.get("nce").estimate(scores).item() == pytest.approx(scores.diagonal().mean().item())


def test_log_mean_exp_is_the_naive_one_and_does_not_overflow(scores):
    expected = math.log(naive.mean([math.exp(s) for s in naive.negatives(scores.tolist())]))
    assert log_mean_exp_negatives(scores).item() == pytest.approx(expected, abs=1e-12)
    assert log_mean_exp_negatives(scores + 1e4).item() == pytest.approx(expected + 1e4, abs=1e-9)


def test_symmetric_infonce_averages_rows_and_columns(scores):
    rows, columns = naive.infonce(scores.tolist()), naive.infonce(scores.mT.tolist())
    assert rows != pytest.approx(columns, abs=1e-3)
    estimate = estimators.get("infonce[symmetric=true]").estimate(scores).item()
    assert estimate == pytest.approx((rows + columns) / 2, abs=1e-12)


def test_temperature_divides_the_scores(scores):
    estimate = estimators.get("infonce[temperature=0.25]").estimate(scores).item()
    assert estimate == pytest.approx(naive.infonce((4 * scores).tolist()), abs=1e-12)


@pytest.mark.parametrize("name", [*NAIVE, "infonce[symmetric=true]", "nce"])
def test_leading_axes_do_not_mix(name, generator):
    scores = torch.randn(3, 4, 6, 6, generator=generator, dtype=torch.float64)
    estimator = estimators.get(name)
    together = estimator.estimate(scores)
    assert together.shape == (3, 4)
    for index in ((0, 0), (2, 3)):
        assert torch.allclose(together[index], estimator.estimate(scores[index]), atol=1e-12)


@pytest.mark.parametrize("name", ["nce", *NAIVE])
def test_read_out_of_float32_scores_is_float64(name, generator):
    scores = torch.randn(6, 6, generator=generator)
    assert estimators.get(name).estimate(scores).dtype == torch.float64


def shift(name, scores, by):
    estimator = estimators.get(name)
    return (estimator.estimate(scores + by) - estimator.estimate(scores)).abs().item()


def test_donsker_varadhan_is_invariant_to_constants_only(scores, generator):
    by_row = torch.randn(7, 1, generator=generator, dtype=torch.float64)
    assert shift("mine", scores, 3.0) < 1e-12
    assert shift("dv", scores, 3.0) < 1e-12
    assert shift("smile", scores, 3.0) > 1e-3
    assert shift("mine", scores, by_row) > 1e-3


def test_infonce_is_invariant_to_functions_of_x_only(scores, generator):
    by_row = torch.randn(7, 1, generator=generator, dtype=torch.float64)
    assert shift("infonce", scores, by_row) < 1e-12
    assert shift("infonce", scores, by_row.mT) > 1e-3
    assert shift("infonce[symmetric=true]", scores, by_row) > 1e-3
    assert shift("infonce[symmetric=true]", scores, 3.0) < 1e-12


def test_nwj_is_invariant_to_neither(scores, generator):
    assert shift("nwj", scores, 0.5) > 1e-3
    assert shift("nwj", scores, torch.randn(7, 1, generator=generator, dtype=torch.float64)) > 1e-3


def test_nwj_at_its_best_constant_is_donsker_varadhan(scores):
    best = 1 - log_mean_exp_negatives(scores)
    nwj, dv = estimators.get("nwj"), estimators.get("mine")
    assert nwj.estimate(scores + best).item() == pytest.approx(dv.estimate(scores).item(), abs=1e-12)
    assert nwj.estimate(scores + best + 0.1) < nwj.estimate(scores + best)
    assert nwj.estimate(scores + best - 0.1) < nwj.estimate(scores + best)


@pytest.mark.parametrize("name", ["nce", *NAIVE])
def test_a_critic_that_ignores_its_input_reads_zero(name):
    estimator = estimators.get(name)
    scores = estimator.optimal_critic(torch.zeros(5, 5, dtype=torch.float64))
    assert estimator.estimate(scores).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", ["infonce", "infonce[symmetric=true]", "infonce[temperature=0.1]"])
@pytest.mark.parametrize("n", [2, 17, 64])
def test_infonce_never_exceeds_its_ceiling(name, n, generator):
    estimator = estimators.get(name)
    for scale in (1, 10, 1e4):
        scores = scale * torch.randn(50, n, n, generator=generator)
        scores += 3 * scale * torch.eye(n)
        assert (estimator.estimate(scores) <= estimator.ceiling(n)).all()
    assert estimator.ceiling(n) == math.log(n)
    perfect = torch.full((n, n), -1e30).fill_diagonal_(1e30)
    assert estimator.estimate(perfect).item() == pytest.approx(math.log(n))


def test_mine_corrects_its_gradient_by_an_average_carried_across_steps(generator):
    """Belghazi's gradient: mean grad f_ii - mean exp(f_ij) grad f_ij / moving average of mean exp(f_ij)."""
    rate, n, steps = 0.2, 5, 4
    estimator = estimators.get("mine", rate=rate)
    state = {key: value.double().repeat(1) for key, value in estimator.objective.state().items()}
    average = weight = 0.0
    for _ in range(steps):
        scores = torch.randn(n, n, generator=generator, dtype=torch.float64, requires_grad=True)
        estimator.objective.of(scores[None], state).sum().backward()
        exp = scores.detach().exp()
        off_diagonal = ~torch.eye(n, dtype=torch.bool)
        average = (1 - rate) * average + rate * exp[off_diagonal].mean().item()
        weight = (1 - rate) * weight + rate
        expected = -exp / (n * (n - 1)) / (average / weight)
        expected.fill_diagonal_(1 / n)
        assert torch.allclose(scores.grad, expected, atol=1e-12)


def test_mine_keeps_one_average_a_run(generator):
    estimator = estimators.get("mine")
    scores = torch.randn(3, 4, 4, generator=generator, dtype=torch.float64)
    together = {key: value.double().repeat(3) for key, value in estimator.objective.state().items()}
    estimator.objective.of(scores, together)
    for run in range(3):
        alone = {key: value.double().repeat(1) for key, value in estimator.objective.state().items()}
        estimator.objective.of(scores[run : run + 1], alone)
        assert torch.allclose(together["log_average"][run], alone["log_average"])


def test_learned_normaliser_shifts_each_run_by_its_own(generator):
    estimator = estimators.get("nce[normalizer=learned]")
    scores = torch.randn(2, 4, 4, generator=generator)
    y = torch.randn(2, 4, 3, generator=generator)
    corrected = estimator.objective.corrected(scores, y, {"log_normalizer": torch.tensor([1.0, -2.0])})
    assert torch.allclose(corrected[0], scores[0] - 1)
    assert torch.allclose(corrected[1], scores[1] + 2)
    assert estimators.get("nce").objective.learned(Dims(2, 3), generator) == {}


@pytest.mark.parametrize("alpha", [0.01, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("n", [2, 64])
def test_interpolated_stays_below_one_more_than_the_papers_ceiling_on_a_batch(alpha, n, generator):
    estimator = estimators.get("interpolated", alpha=alpha)
    assert estimator.ceiling(n) == math.log(n / alpha) + (alpha < 1)
    for scale in (1, 10, 100):
        scores = scale * torch.randn(50, n, n, generator=generator) + 3 * scale * torch.eye(n)
        assert (estimator.estimate(scores) <= estimator.ceiling(n) + 1e-12).all()
    perfect = torch.full((n, n), -1e3).fill_diagonal_(1e3)
    assert estimator.estimate(perfect).item() == pytest.approx(estimator.ceiling(n))
    assert estimators.get("interpolated[alpha=0]").ceiling(n) is None


@pytest.mark.parametrize("name", ["tuba", "interpolated"])
def test_the_baseline_of_y_is_subtracted_from_its_column_of_each_run(name, generator):
    estimator = estimators.get(name)
    runs, n, dim_y = 2, 4, 3
    own = [estimator.objective.learned(Dims(5, dim_y), generator) for _ in range(runs)]
    learned = {key: torch.stack([run[key] for run in own]) for key in own[0]}
    scores, y = torch.randn(runs, n, n, generator=generator), torch.randn(runs, n, dim_y, generator=generator)
    corrected = estimator.objective.corrected(scores, y, learned)
    for run in range(runs):
        for j in range(n):
            layer = y[run, j : j + 1]
            for depth in range(3):
                layer = layer @ own[run][f"log_a.{depth}.weight"] + own[run][f"log_a.{depth}.bias"]
                layer = layer.relu() if depth < 2 else layer
            for i in range(n):
                assert corrected[run, i, j].item() == pytest.approx(
                    (scores[run, i, j] - layer).item(), abs=1e-5
                )


def test_mine_is_validated_by_its_estimate(scores):
    mine = estimators.get("mine")
    assert mine.objective.criterion({"scores": scores}).item() == pytest.approx(mine.estimate(scores).item())
    js = estimators.get("js")
    expected = naive.jensen_shannon(scores.tolist())
    assert js.objective.criterion({"scores": scores}).item() == pytest.approx(expected, abs=1e-12)
