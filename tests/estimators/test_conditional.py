"""Estimators from a conditional density: naive twins, exact and wrong conditionals, one training."""

import math

import pytest
import torch

import mibench
from mibench import estimators, models, tasks
from mibench.batch import Batch, Dims
from mibench.engine.plan import training_key
from mibench.objectives import Likelihood

NAMES = ["ba", "doe", "club", "club[negatives=sampled]", "l1out"]


def jeffreys(dim, mi):
    """J = dim rho^2 / (1 - rho^2) = dim (exp(2 I / dim) - 1)."""
    return dim * math.expm1(2 * mi / dim)


def naive(name, log_q, marginal, entropy):
    """Return the estimate by double loops over a matrix log q(y_j | x_i)."""
    n = len(log_q)
    joint = sum(log_q[i][i] for i in range(n)) / n
    if name == "ba":
        return entropy + joint
    if name == "doe":
        return joint - sum(marginal) / n
    if name == "club":
        return joint - sum(log_q[i][j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    if name == "club[negatives=sampled]":
        return joint - sum(log_q[i][(i + 1) % n] for i in range(n)) / n
    columns = [math.log(sum(math.exp(log_q[j][i]) for j in range(n) if j != i) / (n - 1)) for i in range(n)]
    return joint - sum(columns) / n


@pytest.mark.parametrize("name", NAMES)
def test_the_estimate_is_the_naive_one_in_every_run(name, generator):
    log_q = torch.randn(3, 5, 5, generator=generator)
    marginal = torch.randn(3, 5, generator=generator)
    entropy = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    x, y = torch.zeros(3, 5, 2), torch.zeros(3, 5, 4)
    outputs = {"conditional": log_q, "marginal": marginal}
    read = estimators.get(name).read(outputs, Batch(x, y, known={"entropy_y": entropy}))
    assert read.dtype == torch.float64
    for run in range(3):
        own = naive(name, log_q[run].tolist(), marginal[run].tolist(), entropy[run].item())
        assert read[run].item() == pytest.approx(own, abs=1e-6)


def exact_values(name, task, n, batches, at_once=100):
    pair, estimator = tasks.get(task[0], **task[1]).pair(), estimators.get(name)
    generator = torch.Generator().manual_seed(n)
    values = []
    for _ in range(batches // at_once):
        x, y = pair.draw(at_once * n, generator, torch.float64)
        batch = Batch(
            x.view(at_once, n, -1),
            y.view(at_once, n, -1),
            known={"entropy_y": torch.tensor([pair.entropy_y], dtype=torch.float64)},
        )
        values.append(estimator.read(estimator.exact(pair, batch), batch))
    found = torch.cat(values)
    return found.mean().item(), found.std().item() / math.sqrt(len(found))


@pytest.mark.parametrize("dim", [1, 5, 20])
@pytest.mark.parametrize("mi", [0.5, 2.0, 4.0])
@pytest.mark.parametrize("name", NAMES[:4])
def test_the_exact_conditional_reads_the_information_or_the_jeffreys_divergence(name, mi, dim):
    mean, error = exact_values(name, ("gaussian", {"dim": dim, "mi": mi}), 64, 400)
    expected = mi if name in ("ba", "doe") else jeffreys(dim, mi)
    assert abs(mean - expected) < 4 * error


@pytest.mark.parametrize("name", ["ba", "doe"])
def test_the_exact_conditional_of_cubes_reads_the_information_too(name):
    mean, error = exact_values(name, ("cubic", {"dim": 3, "mi": 1.5}), 32, 400)
    assert abs(mean - 1.5) < 4 * error


# Means of double loops over exact conditionals, written apart from this package, with their errors.
@pytest.mark.parametrize(
    ("task", "n", "expected", "its_error"),
    [
        ({"dim": 20, "mi": 4.0}, 16, 5.63, 0.04),
        ({"dim": 20, "mi": 4.0}, 64, 4.74, 0.01),
        ({"dim": 20, "mi": 4.0}, 256, 4.35, 0.01),
        ({"dim": 1, "rho": 0.9}, 16, 0.972, 0.01),
        ({"dim": 1, "rho": 0.9}, 64, 0.862, 0.005),
        ({"dim": 5, "mi": 2.0}, 64, 2.18, 0.01),
        ({"dim": 20, "mi": 2.0}, 64, 2.165, 0.008),
        ({"dim": 20, "mi": 10.0}, 64, 16.25, 0.02),
    ],
)
def test_leaving_one_out_reads_above_the_information_and_less_so_as_n_grows(task, n, expected, its_error):
    mean, error = exact_values("l1out", ("gaussian", task), n, 1000 if n < 200 else 200)
    assert abs(mean - expected) < 4 * math.hypot(error, its_error)
    assert mean > tasks.get("gaussian", **task).true_mi_nats - 4 * error


def test_leaving_one_out_is_not_club(generator):
    log_q = torch.randn(1, 6, 6, generator=generator)
    outputs, batch = {"conditional": log_q}, Batch(log_q, log_q)
    club, l1out = (estimators.get(name).read(outputs, batch) for name in ("club", "l1out"))
    assert not torch.isclose(club, l1out)


@pytest.mark.parametrize(
    ("slope", "variance", "club", "ba"), [(0.5, 0.5, 0.8, 0.39657), (0.8, 0.2, 3.2, 0.4047)]
)
def test_a_wrong_gaussian_conditional_reads_what_algebra_says(slope, variance, club, ba, generator):
    """vCLUB is slope rho / variance per coordinate; BA is I less the divergence (rho = 0.8, I = 0.5108)."""
    pair = tasks.get("gaussian", dim=1, rho=0.8).pair()
    x, y = pair.draw(200 * 500, generator, torch.float64)
    x, y = x.view(500, 200, 1), y.view(500, 200, 1)
    log_q = -((y.mT - slope * x) ** 2) / (2 * variance) - math.log(2 * math.pi * variance) / 2
    batch = Batch(x, y, known={"entropy_y": torch.tensor([pair.entropy_y], dtype=torch.float64)})
    for name, expected in (("club", club), ("ba", ba)):
        values = estimators.get(name).read({"conditional": log_q}, batch)
        assert abs(values.mean().item() - expected) < 4 * values.std().item() / math.sqrt(500) + 1e-4


def specs(*arguments, **settings):
    return mibench.plan(*arguments, device="cpu", **settings).specs


def test_one_training_serves_all_four():
    chosen = specs(NAMES, dim=2, mi=[1.0], n=[8], seeds=1, steps=3)
    assert len({training_key(spec) for spec in chosen}) == 1
    assert len({spec.key for spec in chosen}) == len(NAMES)
    assert {spec.fit.model.label for spec in chosen} == {"gaussian-mlp"}


def test_shared_training_changes_no_number():
    settings = dict(dim=2, mi=[1.0], n=[8], seeds=2, steps=20, device="cpu")  # noqa: C408
    together = mibench.run(NAMES, **settings).set_index("key")["estimate_nats"]
    for name in NAMES:
        alone = mibench.run(name, **settings).set_index("key")["estimate_nats"]
        assert (together[alone.index] == alone).all()


def test_a_trained_conditional_encloses_the_information():
    """ba <= I <= club and l1out, and all near what the exact conditional reads."""
    frame = mibench.run(NAMES, dim=3, mi=[1.5], n=[64], seeds=3, steps=600, device="cpu")
    mean = frame.groupby("estimator")["estimate_nats"].mean()
    oracle = frame.groupby("estimator")["oracle_nats"].mean()
    assert mean["ba"] < 1.5 < mean["l1out"] < mean["club"]
    assert ((mean - oracle).abs() < 0.1 + 0.1 * (oracle - 1.5)).all()


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (("ba", "bigram"), {}, "entropy"),
        (("ba", "digits"), {}, "entropy"),
        (("ba", "linear-encoder"), {}, "entropy"),
        (("doe", "bigram"), {}, "tokens"),
        (("ba",), {"critic": "separable"}, "trains a conditional density"),
        (("nwj",), {"critic": "gaussian-mlp"}, "a conditional"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_is_trained(arguments, settings, words):
    with pytest.raises(mibench.UsageError, match=words):
        specs(*arguments, **settings)


def test_models_go_to_the_estimators_that_can_use_them():
    chosen = specs("nwj,ba", critic=["bilinear", "gaussian-mlp[hidden=8]"], dim=2, mi=[1.0], n=[8], seeds=1)
    used = {spec.estimator.name: spec.fit.model.label for spec in chosen}
    assert used == {"nwj": "bilinear", "ba": "gaussian-mlp[hidden=8]"}
    beside = specs("nwj,ba", critic="bilinear", dim=2, mi=[1.0], n=[8], seeds=1)
    assert {spec.fit.model.label for spec in beside} == {"bilinear", "gaussian-mlp"}


@pytest.fixture
def gaussian_mlp(generator):
    model, dims = models.get("gaussian-mlp[hidden=16]"), Dims(3, 2)
    runs = [model.initialise(dims, generator, torch.float64) for _ in range(2)]
    parameters = {key: torch.stack([run[key] for run in runs]) for key in runs[0]}
    parameters["marginal.mean"] += 0.3
    parameters["marginal.log_s"] -= 0.7
    x, y = (torch.randn(2, 5, dim, generator=generator, dtype=torch.float64) for dim in (3, 2))
    return model, parameters, x, y


def test_densities_of_pairs_are_the_diagonal_and_integrate_to_one(gaussian_mlp):
    model, parameters, x, y = gaussian_mlp
    log_q = model.log_prob(parameters, x, y)
    assert torch.allclose(log_q.diagonal(dim1=1, dim2=2), model.log_prob_of_pairs(parameters, x, y))
    line = torch.linspace(-12, 12, 400, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line).expand(2, -1, -1)
    area = (line[1] - line[0]) ** 2
    masses = model.log_prob(parameters, x, grid).exp().sum(-1)
    assert torch.allclose(masses * area, torch.ones_like(masses), atol=1e-6)
    marginal = model.log_marginal(parameters, grid).exp().sum(-1) * area
    assert torch.allclose(marginal, torch.ones_like(marginal), atol=1e-6)


def test_densities_are_those_of_scipy(gaussian_mlp):
    from scipy.stats import norm

    model, parameters, x, y = gaussian_mlp
    names = ("mean", "log_s")
    mean, log_s = (
        x[1] @ parameters[f"{name}.0.weight"][1] + parameters[f"{name}.0.bias"][1]
        for name in ("mean", "log_s")
    )
    for layer in (1, 2):
        mean, log_s = (
            side.relu() @ parameters[f"{name}.{layer}.weight"][1] + parameters[f"{name}.{layer}.bias"][1]
            for name, side in zip(names, (mean, log_s), strict=True)
        )
    scale = (6 * torch.tanh(log_s / 6)).exp()
    expected = norm.logpdf(y[1, None].numpy(), mean[:, None].numpy(), scale[:, None].numpy()).sum(-1)
    assert model.log_prob(parameters, x, y)[1].numpy() == pytest.approx(expected, abs=1e-9)


def test_the_likelihood_is_of_the_joint_pairs_alone(gaussian_mlp):
    model, parameters, x, y = gaussian_mlp
    value, outputs = Likelihood().value(model, parameters, {}, Batch(x, y))
    expected = model.log_prob(parameters, x, y).diagonal(dim1=1, dim2=2).mean(-1)
    assert torch.allclose(value, expected + model.log_marginal(parameters, y).mean(-1))
    assert outputs is None
    assert torch.allclose(Likelihood().criterion(Likelihood().outputs(model, parameters, Batch(x, y))), value)


def test_without_a_pair_only_what_holds_for_every_pair_is_checked():
    for name in estimators.registry.entries:
        estimators.get(name).check(64)
    pair = tasks.get("digits").pair()
    assert pair.entropy_y is None
    with pytest.raises(mibench.UsageError, match="entropy"):
        estimators.get("ba").check(64, pair)
