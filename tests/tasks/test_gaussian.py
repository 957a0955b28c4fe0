"""The tasks' truth: closed forms, densities by scipy, samples by their moments."""

import decimal
import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

import mibench
from mibench import tasks


def test_true_mi_and_rho_determine_each_other():
    rho = math.sqrt(1 - math.exp(-2 * 4 / 20))
    assert tasks.get("gaussian", dim=20, rho=rho).true_mi_nats == pytest.approx(4.0, abs=1e-12)
    assert tasks.get("gaussian", dim=20, rho=-rho).true_mi_nats == pytest.approx(4.0, abs=1e-12)
    assert tasks.get("gaussian", dim=20, mi=4.0).true_mi_nats == 4.0
    assert tasks.get("gaussian", dim=20, rho=0.0).true_mi_nats == 0.0
    assert tasks.get("gaussian", dim=3, rho=0.5).true_mi_nats == pytest.approx(-1.5 * math.log(0.75))


@pytest.mark.parametrize("rho", [1e-9, 1e-5, 0.3, 1 - 1e-12])
def test_true_mi_is_exact_for_every_rho(rho):
    with decimal.localcontext(decimal.Context(prec=60)):
        exact = float(-((1 - decimal.Decimal(rho) ** 2).ln()))  # dim = 2
    assert tasks.get("gaussian", dim=2, rho=rho).true_mi_nats == pytest.approx(exact, rel=1e-6)


def naive_log_ratio(x, y, rho):
    joint = multivariate_normal(cov=[[1, rho], [rho, 1]])
    marginal = multivariate_normal(cov=[[1]])
    return sum(
        joint.logpdf([a, b]) - marginal.logpdf(a) - marginal.logpdf(b) for a, b in zip(x, y, strict=True)
    )


@pytest.mark.parametrize("level", [{"mi": 0.7}, {"mi": 6.0}, {"rho": -0.8}, {"mi": 0.0}])
def test_log_density_ratio_is_that_of_scipy(level, generator):
    task = tasks.get("gaussian", dim=3, **level)
    x, y = task.sample(4, generator=generator, dtype=torch.float64)
    ratio = task.log_density_ratio(x, y)
    rho = level.get("rho", math.sqrt(1 - math.exp(-2 * level.get("mi", 0) / 3)))
    for i in range(4):
        for j in range(4):
            expected = naive_log_ratio(x[i].numpy(), y[j].numpy(), rho)
            assert ratio[i, j].item() == pytest.approx(expected, abs=1e-9)


def test_cubic_has_the_gaussians_ratio_and_information(generator):
    gaussian, cubic = tasks.get("gaussian", dim=5, mi=3), tasks.get("cubic", dim=5, mi=3)
    x, y = gaussian.sample(6, torch.Generator().manual_seed(1), torch.float64)
    same_x, cubed = cubic.sample(6, torch.Generator().manual_seed(1), torch.float64)
    assert torch.equal(x, same_x)
    assert torch.equal(cubed, y**3)
    assert torch.allclose(cubic.log_density_ratio(x, cubed), gaussian.log_density_ratio(x, y), atol=1e-9)
    assert cubic.true_mi_nats == gaussian.true_mi_nats == 3.0


@pytest.mark.parametrize("name", ["gaussian", "cubic"])
def test_mean_log_ratio_of_joint_samples_is_the_mutual_information(name, generator):
    task = tasks.get(name, dim=20, mi=4.0)
    x, y = task.sample(200 * 100, generator, torch.float64)
    ratios = task.log_density_ratio(x.view(200, 100, 20), y.view(200, 100, 20))
    joint = ratios.diagonal(dim1=-2, dim2=-1).flatten()
    variance = 20 * (1 - math.exp(-2 * 4 / 20))  # d rho^2
    assert joint.var().item() == pytest.approx(variance, rel=0.05)
    assert abs(joint.mean().item() - 4) < 3 * math.sqrt(variance / len(joint))


def test_samples_have_unit_variance_and_the_correlation(generator):
    x, y = tasks.get("gaussian", dim=2, rho=-0.6).sample(100_000, generator)
    moments = np.cov(torch.cat([x, y], 1).T.numpy())
    expected = np.array([[1, 0, -0.6, 0], [0, 1, 0, -0.6], [-0.6, 0, 1, 0], [0, -0.6, 0, 1]])
    assert np.abs(moments - expected).max() < 0.02


def test_contract(generator):
    task = mibench.tasks.get("gaussian", dim=20, mi=4.0)
    x, y = task.sample(8, generator=generator)
    assert x.shape == (8, task.dim_x) == (8, 20)
    assert y.shape == (8, task.dim_y) == (8, 20)
    assert x.dtype == torch.get_default_dtype()
    assert task.log_density_ratio(x, y).shape == (8, 8)


def test_same_generator_same_samples():
    task = tasks.get("gaussian", dim=3, mi=1.0)
    first = task.sample(5, torch.Generator().manual_seed(3))
    again = task.sample(5, torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize(
    ("mi", "in_float32", "in_float64"), [(200, True, True), (300, False, True), (1e4, False, False)]
)
def test_beyond_the_resolution_of_a_type_everything_is_nan(mi, in_float32, in_float64, generator):
    task = tasks.get("gaussian", dim=20, mi=mi)
    for dtype, holds in ((torch.float32, in_float32), (torch.float64, in_float64)):
        _, y = task.sample(4, generator, dtype)
        assert y.isfinite().all().item() is holds
    x = torch.zeros(2, 20, dtype=torch.float64)
    assert task.log_density_ratio(x, x).isfinite().all().item() is in_float64


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"dim": 0}, "dim"),
        ({"dim": -3}, "dim"),
        ({"mi": -1}, "mi"),
        ({"mi": math.nan}, "mi"),
        ({"mi": math.inf}, "mi"),
        ({"rho": 1}, "rho"),
        ({"rho": -1.5}, "rho"),
        ({"mi": 1, "rho": 0.5}, "together"),
        ({"dim": "many"}, "dim"),
        ({"dims": 3}, "dims"),
    ],
)
def test_bad_options(options, word):
    with pytest.raises(mibench.UsageError, match=word):
        tasks.get("gaussian", **options)
