"""Linear encoders of Gaussians: the information of every (Ax, By) against determinants and simulation."""

import math
from fractions import Fraction

import naive
import numpy as np
import pytest
import torch

import mibench
from mibench import estimators, tasks
from mibench.tasks.normal import Normal, entropy, rotation


def naive_information(xx, yy, xy):
    whole = np.block([[xx, xy], [xy.T, yy]])
    parts = [np.linalg.slogdet(block)[1] for block in (xx, yy, whole)]
    return (parts[0] + parts[1] - parts[2]) / 2


def linear(matrix):
    return lambda rows: rows @ matrix.mT.to(rows)


def encoded(task, width, generator):
    a, b = (torch.randn(width, task.dim, generator=generator, dtype=torch.float64) for _ in range(2))
    return a, b, task.represented(linear(a), linear(b), generator)


def test_information_is_that_of_the_determinants(generator):
    task = tasks.get("linear-encoder", dim=6, rank=3, mi=2.0)
    x, y = task.sample(200_000, generator, torch.float64)
    covariance = np.cov(torch.cat([x, y], 1).T.numpy())
    assert np.allclose(covariance[:6, :6], np.eye(6), atol=0.02)
    assert np.allclose(covariance[6:, 6:], np.eye(6), atol=0.02)
    assert naive_information(covariance[:6, :6], covariance[6:, 6:], covariance[:6, 6:]) == pytest.approx(
        2.0, abs=0.02
    )
    normal = task._normal
    assert np.allclose(normal.core.numpy(), covariance[:6, 6:], atol=0.02)
    for width in (1, 2, 5, 6):
        a, b, pair = encoded(task, width, generator)
        seen = [m.numpy() for m in (a @ a.mT, b @ b.mT, a @ normal.core @ b.mT)]
        assert pair.truth.value == pytest.approx(naive_information(*seen), abs=1e-10)
    assert pair.truth.value == pytest.approx(2.0, abs=1e-10)  # square encoders lose nothing


def test_encoders_never_know_more_than_the_data(generator):
    task = tasks.get("linear-encoder", dim=8, rank=2, mi=5.0)
    for width in (1, 3, 7, 8):
        found = [encoded(task, width, generator)[2].truth.value for _ in range(50)]
        assert max(found) <= 5.0 + 1e-9
        assert min(found) >= 0


def test_exact_information_agrees_with_simulation(generator):
    task = tasks.get("linear-encoder", dim=6, rank=3, mi=4.0)
    _, _, pair = encoded(task, 4, generator)
    z, other = pair.draw(4000, generator, torch.float64)
    ratios = pair.log_ratio(z, other)
    joint = ratios.diagonal()
    error = joint.std().item() / math.sqrt(len(joint))
    assert abs(joint.mean().item() - pair.truth.value) < 4 * error
    noise = ratios[~torch.eye(len(z), dtype=torch.bool)].exp()
    assert noise.mean().item() == pytest.approx(1.0, abs=0.15)


def test_log_ratio_is_that_of_scipy_and_its_dimensions_may_differ(generator):
    from scipy.stats import multivariate_normal

    root = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    whole = root @ root.mT + torch.eye(5, dtype=torch.float64)
    for split in (2, 3):
        normal = Normal.of(whole[:split, :split], whole[split:, split:], whole[:split, split:])
        rows = torch.randn(4, 5, generator=generator, dtype=torch.float64)
        found = normal.log_ratio(rows[:, :split], rows[:, split:])
        for i in range(4):
            for j in range(4):
                x, y = rows[i, :split].numpy(), rows[j, split:].numpy()
                expected = (
                    multivariate_normal(cov=whole.numpy()).logpdf(np.concatenate([x, y]))
                    - multivariate_normal(cov=whole[:split, :split].numpy()).logpdf(x)
                    - multivariate_normal(cov=whole[split:, split:].numpy()).logpdf(y)
                )
                assert found[i, j].item() == pytest.approx(float(expected), abs=1e-9)
        entropies = entropy(whole[:split, :split]) + normal.entropy_y - entropy(whole)
        assert normal.information == pytest.approx(entropies, abs=1e-10)


def rational(matrix):
    return [[Fraction(value) for value in row] for row in matrix.tolist()]


def times(a, b):
    return [
        [sum(x * y for x, y in zip(row, column, strict=True)) for column in zip(*b, strict=True)] for row in a
    ]


def transposed(a):
    return [list(column) for column in zip(*a, strict=True)]


class Rational:
    """(Ax, By) of a linear-encoder task, by the determinants of its covariances in rational arithmetic."""

    def __init__(self, task, a, b):
        a, b, across = rational(a), rational(b), rational(task._normal.core)
        xx, yy, xy = times(a, transposed(a)), times(b, transposed(b)), times(times(a, across), transposed(b))
        whole = [row + more for row, more in zip(xx, xy, strict=True)]
        whole += [row + more for row, more in zip(transposed(xy), yy, strict=True)]
        self.covariances = xx, yy, whole

    def _log_scale(self, covariance, value):
        """Twice the log density at a value, but for its constant."""
        column = [[Fraction(number)] for number in value]
        rows = [row + one for row, one in zip(covariance, column, strict=True)]
        determinant, solution = naive.eliminated(rows, len(rows))
        return -naive.log(determinant) - float(times(transposed(column), solution)[0][0])

    def log_ratio(self, z, other):
        """log p(z, z') / p(z)p(z') of one pair."""
        of_z, of_other, of_both = self.covariances
        margins = self._log_scale(of_z, z) + self._log_scale(of_other, other)
        return (self._log_scale(of_both, z + other) - margins) / 2

    @property
    def information(self):
        """The log ratio where both are 0, where only determinants are left."""
        of_z, of_other, _ = self.covariances
        return self.log_ratio([0] * len(of_z), [0] * len(of_other))


def nearly_parallel(task, eps):
    """Encoders whose two coordinates are (c, c + eps c'), c and c' directions that together hold all."""
    sides = (turn[:, :2].mT for turn in task._rotations)
    return [torch.stack([side[0], side[0] + eps * side[1]]) for side in sides]


NARROW = {"dim": 6, "rank": 2, "mi": 4.0}


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
@pytest.mark.parametrize("eps", [10.0**-k for k in range(3, 13)])
def test_nearly_parallel_coordinates_have_the_exact_information_or_none(eps, precision, generator):
    """Exact for the encoder as its parameters are; those in float32 are other ones, or dependent."""
    task = tasks.get("linear-encoder", **NARROW)
    a, b = (matrix.to(precision).double() for matrix in nearly_parallel(task, eps))
    if eps < (1e-7 if precision == torch.float32 else 1e-10):
        with pytest.raises(ArithmeticError, match="nearly linearly dependent"):
            task.represented(linear(a), linear(b), generator)
        return
    pair, exact = task.represented(linear(a), linear(b), generator), Rational(task, a, b)
    normal = task._normal.seen_through(a, b)
    error = abs(pair.truth.value - exact.information)
    assert error <= normal.uncertainty
    assert error <= 1e-8
    if precision == torch.float64:
        assert exact.information == pytest.approx(4.0, abs=1e-9)  # nothing is lost
    z, other = pair.draw(3, generator, torch.float64)
    found = pair.log_ratio(z, other)
    moved = 4 * torch.finfo(torch.float64).eps * normal.condition  # of white coordinates, below 4
    for i in range(3):
        for j in range(3):
            expected = exact.log_ratio(z[i].tolist(), other[j].tolist())
            # The distances of which it is made are in units of sqrt(1 - rho^2) = exp(-mi / rank).
            slope = math.exp(2) * (4 + math.sqrt(2 * abs(expected)))
            assert found[i, j].item() == pytest.approx(expected, abs=slope * moved, rel=1e-12)


def test_rational_arithmetic_agrees_with_determinants_where_they_are_well_conditioned(generator):
    task = tasks.get("linear-encoder", **NARROW)
    a, b, pair = encoded(task, 3, generator)
    assert Rational(task, a, b).information == pytest.approx(pair.truth.value, abs=1e-12)


@pytest.mark.parametrize(("eps", "in_float32"), [(1e-3, True), (1e-4, True), (1e-5, False), (1e-9, False)])
def test_types_that_cannot_hold_a_direction_hold_nothing(eps, in_float32, generator):
    task = tasks.get("linear-encoder", **NARROW)
    pair = task.represented(*map(linear, nearly_parallel(task, eps)), generator)
    for dtype, holds in ((torch.float32, in_float32), (torch.float64, True)):
        for side in pair.draw(4, generator, dtype):
            assert side.dtype == dtype
            assert side.isfinite().all().item() is holds
            assert side.isnan().all().item() is not holds


@pytest.mark.parametrize("eps", [1e-5, 1e-6])
def test_what_rounding_takes_bounds_what_the_data_lose(eps, generator):
    """By CCA, which is unbiased on Gaussians, on the same pairs encoded in float32 and in float64.

    The errors of the data are a quarter of eps or more of their scale, and the loss is their square.
    """
    task, cca = tasks.get("linear-encoder", **NARROW), estimators.get("cca")
    a, b = (matrix.float() for matrix in nearly_parallel(task, eps))
    x, y = task.sample(40_000, generator, torch.float32)
    rounded, whole = (x @ a.mT, y @ b.mT), (x.double() @ a.mT.double(), y.double() @ b.mT.double())
    for side, exact in zip(rounded, whole, strict=True):
        errors = (side.double() - exact).std(0) / exact.std(0) / torch.finfo(torch.float32).eps
        assert errors.min() > 0.25
        assert errors.max() < 1
    normal = task._normal.seen_through(a.double(), b.double())
    predicted = normal.information - normal.rounded(torch.float32).information
    lost = cca.estimate_from(*whole) - cca.estimate_from(*rounded)
    assert predicted / 16 < lost.item() < predicted


def test_rotations_are_orthogonal(generator):
    turn = rotation(7, generator)
    assert torch.allclose(turn @ turn.mT, torch.eye(7, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"dim": 3, "rank": 4}, "rank of at most 3"),
        ({"mi": -1.0}, "between 0 and"),
        ({"rank": 1, "mi": 13.0}, "larger rank"),
        ({"dim": 0}, "at least 1"),
    ],
)
def test_what_is_not_allowed(options, word):
    with pytest.raises(mibench.UsageError, match=word):
        tasks.get("linear-encoder", **options)
