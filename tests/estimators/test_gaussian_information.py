"""Gaussian information and that of normal scores, against plain loops, closed forms and simulated values."""

import math
from fractions import Fraction
from statistics import NormalDist

import pytest
import torch
from naive import determinant
from scipy.special import psi

from mibench import estimators, tasks
from mibench.errors import UsageError

ALL = ["cca", "cca[corrected=false]", "gcmi"]
FLOAT = torch.float64


def gaussian(n, dim, mi, seed, runs=None):
    """Pairs of a correlated Gaussian with a true MI of `mi` nats, (n, dim) or (runs, n, dim)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (n, dim) if runs is None else (runs, n, dim)
    x, noise = (torch.randn(*shape, generator=generator, dtype=FLOAT) for _ in range(2))
    rho = math.sqrt(-math.expm1(-2 * mi / dim))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def estimate(name, x, y):
    return estimators.get(name).estimate_from(x, y)


def naive_information(x, y):
    """-1/2 log(det S / (det S_x det S_y)) of lists of rows, in exact arithmetic up to the logarithm."""
    rows = [[Fraction(value) for value in (*a, *b)] for a, b in zip(x, y, strict=True)]
    n, dim_x, dim = len(rows), len(x[0]), len(rows[0])
    means = [sum(row[i] for row in rows) / n for i in range(dim)]
    s = [
        [sum((row[i] - means[i]) * (row[j] - means[j]) for row in rows) for j in range(dim)]
        for i in range(dim)
    ]
    s_x, s_y = [row[:dim_x] for row in s[:dim_x]], [row[dim_x:] for row in s[dim_x:]]
    return -math.log(determinant(s) / (determinant(s_x) * determinant(s_y))) / 2


def naive_bias(n, dim_x, dim_y):
    total = sum(psi((n - i) / 2) for i in range(1, dim_x + 1))
    total += sum(psi((n - i) / 2) for i in range(1, dim_y + 1))
    return (total - sum(psi((n - i) / 2) for i in range(1, dim_x + dim_y + 1))) / 2


def naive_scores(rows):
    """Normal scores of lists of rows: equal values share their mean rank."""
    n = len(rows)

    def rank(value, column):
        return sum(other < value for other in column) + (sum(other == value for other in column) + 1) / 2

    columns = [
        [NormalDist().inv_cdf(rank(value, column) / (n + 1)) for value in column]
        for column in zip(*rows, strict=True)
    ]
    return [list(row) for row in zip(*columns, strict=True)]


@pytest.mark.parametrize("dims", [(1, 1), (5, 5), (1, 4), (3, 2)])
def test_estimates_are_the_naive_ones(dims, generator):
    x, y = (torch.randn(30, dim, generator=generator, dtype=FLOAT) for dim in dims)
    y[:, 0] += 2 * x[:, 0]
    plain = naive_information(x.tolist(), y.tolist())
    bias = naive_bias(30, *dims)
    ranked = naive_information(naive_scores(x.tolist()), naive_scores(y.tolist()))
    assert estimate("cca[corrected=false]", x, y).item() == pytest.approx(plain, abs=1e-12)
    assert estimate("cca", x, y).item() == pytest.approx(plain - bias, abs=1e-12)
    assert estimate("gcmi", x, y).item() == pytest.approx(ranked - bias, abs=1e-12)


def test_equal_values_share_their_mean_rank(generator):
    x = torch.randint(0, 4, (40, 2), generator=generator).double()
    y = x[:, :1] + torch.randint(0, 3, (40, 1), generator=generator).double()
    ranked = naive_information(naive_scores(x.tolist()), naive_scores(y.tolist()))
    assert estimate("gcmi", x, y).item() == pytest.approx(ranked - naive_bias(40, 2, 1), abs=1e-12)


def test_information_is_that_of_the_canonical_correlations(generator):
    x, y = gaussian(100, 3, 2.0, seed=0)
    x, y = x - x.mean(0), y - y.mean(0)
    white = [side @ torch.linalg.inv(torch.linalg.cholesky(side.mT @ side)).mT for side in (x, y)]
    correlations = torch.linalg.svdvals(white[0].mT @ white[1])
    expected = -0.5 * torch.log1p(-correlations.square()).sum().item()
    assert estimate("cca[corrected=false]", x, y).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("eps", [1e-3, 1e-6, 1e-9])
def test_nearly_dependent_coordinates_keep_their_information(eps):
    x, y = (
        torch.stack([side[:, 0], side[:, 0] + eps * side[:, 1]], 1) for side in gaussian(12, 2, 2.0, seed=0)
    )
    expected = naive_information(x.tolist(), y.tolist())
    assert estimate("cca[corrected=false]", x, y).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("mi", [0.0, 2.0, 10.0])
@pytest.mark.parametrize(("n", "dim", "runs"), [(10, 1, 4000), (40, 5, 2000), (500, 20, 100)])
def test_correction_removes_the_bias_at_every_information(n, dim, runs, mi):
    x, y = gaussian(n, dim, mi, seed=dim, runs=runs)
    values, plain = estimate("cca", x, y), estimate("cca[corrected=false]", x, y)
    error = values.std().item() / math.sqrt(runs)
    assert values.mean().item() == pytest.approx(mi, abs=4 * error)
    assert (plain - values).tolist() == pytest.approx([naive_bias(n, dim, dim)] * runs, abs=1e-10)


def test_bias_is_the_known_one_at_500_pairs_of_20_dimensions():
    x, y = gaussian(500, 20, 10.0, seed=0, runs=200)
    plain, values = estimate("cca[corrected=false]", x, y), estimate("cca", x, y)
    assert (plain - values).mean().item() == pytest.approx(0.4181, abs=5e-5)
    assert plain.mean().item() - 10 == pytest.approx(0.4181, abs=4 * 0.16 / math.sqrt(200))
    assert values.std().item() == pytest.approx(0.16, rel=0.2)


def test_the_fewest_rows_are_enough_and_unbiased():
    x, y = gaussian(5, 2, 1.0, seed=0, runs=20_000)  # n = dim_x + dim_y + 1
    values = estimate("cca", x, y)
    assert values.mean().item() == pytest.approx(1.0, abs=4 * values.std().item() / math.sqrt(20_000))


def test_normal_scores_are_slightly_low():
    x, y = gaussian(1000, 1, 0.8304, seed=0, runs=400)
    values = estimate("gcmi", x, y)
    assert values.mean().item() == pytest.approx(0.8263, abs=4 * 0.03 * math.sqrt(1 / 400 + 1 / 200))
    x, y = gaussian(1000, 20, 10.0, seed=0, runs=20)
    assert estimate("gcmi", x, y).mean().item() == pytest.approx(9.96, abs=0.1)


def test_normal_scores_see_ranks_alone():
    x, y = gaussian(500, 2, 1.0, seed=0)
    value = estimate("gcmi", x, y).item()
    assert estimate("gcmi", x, y**3).item() == value
    assert estimate("gcmi", x.exp(), y.atan()).item() == value
    assert estimate("cca", x, y**3).item() < estimate("cca", x, y).item() - 0.1


def test_normal_scores_of_a_student_t_read_nothing():
    """Student's t(1) with a unit scale matrix: uncorrelated, and 0.2242 nats."""
    generator = torch.Generator().manual_seed(0)
    x, y, z = torch.randn(3, 20_000, 1, generator=generator, dtype=FLOAT)
    assert estimate("gcmi", x / z.abs(), y / z.abs()).item() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("name", ALL)
def test_leading_axes_do_not_mix(name, generator):
    x = torch.randn(2, 3, 50, 2, generator=generator, dtype=FLOAT)
    y = x[..., :1] + torch.randn(2, 3, 50, 1, generator=generator, dtype=FLOAT)
    together = estimate(name, x, y)
    assert together.shape == (2, 3)
    for index in ((0, 0), (0, 2), (1, 1)):
        assert together[index].item() == pytest.approx(estimate(name, x[index], y[index]).item(), abs=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_order_scale_and_place_do_not_matter(name, generator):
    x, y = gaussian(200, 5, 2.0, seed=0)
    value = estimate(name, x, y).item()
    order = torch.randperm(200, generator=generator)
    assert estimate(name, x[order], y[order]).item() == pytest.approx(value, abs=1e-12)
    assert estimate(name, y, x).item() == pytest.approx(value, abs=1e-12)
    scales = torch.logspace(-3, 3, 5, dtype=FLOAT)
    assert estimate(name, 1000 * x, 1000 * y).item() == pytest.approx(value, abs=1e-10)
    assert estimate(name, scales * x + 100, y / scales).item() == pytest.approx(value, abs=1e-10)


def test_linear_maps_of_a_side_do_not_matter_to_cca(generator):
    x, y = gaussian(200, 3, 2.0, seed=0)
    mixing = torch.randn(3, 3, generator=generator, dtype=FLOAT)
    value = estimate("cca", x, y).item()
    assert estimate("cca", x @ mixing, y).item() == pytest.approx(value, abs=1e-10)
    assert abs(estimate("gcmi", x @ mixing, y).item() - estimate("gcmi", x, y).item()) > 1e-4


@pytest.mark.parametrize("name", ALL)
def test_float32_is_read_as_float64(name):
    x, y = (side.float() for side in gaussian(80, 2, 1.0, seed=0))
    value = estimate(name, x, y)
    assert value.dtype == FLOAT
    assert value.item() == estimate(name, x.double(), y.double()).item()


@pytest.mark.parametrize("name", ALL)
def test_large_information_is_resolved(name):
    x, _ = gaussian(1000, 1, 1.0, seed=0)
    noise, _ = gaussian(1000, 1, 1.0, seed=1)
    tolerance = 1.5 if name == "gcmi" else 0.1  # ranks lose what the noise does not reorder
    if name != "gcmi":
        y = x + 1e-9 * noise  # -log(1e-9) = 20.7 nats
        assert estimate(name, x, y).item() == pytest.approx(-math.log(1e-9), abs=tolerance)
    assert estimate(name, x, x).item() == math.inf


@pytest.mark.parametrize("name", ALL)
def test_degenerate_data_give_the_values_of_the_docstring(name):
    x, y = gaussian(100, 2, 1.0, seed=0)
    constant = torch.full((100, 1), 0.1, dtype=FLOAT)
    for other in (constant, torch.cat([y, constant], 1), torch.cat([y, y[:, :1]], 1)):
        assert math.isnan(estimate(name, x, other).item())
        assert math.isnan(estimate(name, other, x).item())
    broken = y.clone()
    broken[7, 0] = math.nan
    both = estimate(name, torch.stack([x, x]), torch.stack([y, broken]))
    assert both.isnan().tolist() == [False, True]


@pytest.mark.parametrize("name", ALL)
def test_what_cannot_be_asked_for(name):
    estimator = estimators.get(name)
    pair = tasks.get("gaussian", dim=20, mi=2.0).pair()
    estimator.check(41, pair)
    with pytest.raises(UsageError, match=r"needs n > dim_x \+ dim_y = 40, not n = 40"):
        estimator.check(40, pair)
    with pytest.raises(UsageError, match="n >= 41"):
        estimator.estimate_from(*pair.draw(40, torch.Generator()))
    with pytest.raises(UsageError, match="tokens"):
        estimator.check(64, tasks.get("bigram").pair())


@pytest.mark.parametrize("name", ["ksg", *ALL])
def test_no_model_is_trained_and_no_exact_value_is_claimed(name):
    estimator = estimators.get(name)
    assert estimator.objective is None
    assert not estimator.oracle_is_best
    assert (estimator.ceiling(64) is None) == (name != "ksg")
