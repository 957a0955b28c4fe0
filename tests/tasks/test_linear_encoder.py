"""Linear encoders of Gaussians: the information of every (Ax, By) against determinants and simulation."""

import math

import numpy as np
import pytest
import torch

import mibench
from mibench import tasks
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
    assert np.allclose(normal.xy.numpy(), covariance[:6, 6:], atol=0.02)
    for width in (1, 2, 5, 6):
        a, b, pair = encoded(task, width, generator)
        seen = [m.numpy() for m in (a @ a.mT, b @ b.mT, a @ normal.xy @ b.mT)]
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
        normal = Normal(whole[:split, :split], whole[split:, split:], whole[:split, split:])
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
        entropies = entropy(normal.xx) + entropy(normal.yy) - entropy(whole)
        assert normal.information == pytest.approx(entropies, abs=1e-10)


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
