"""Alignment, uniformity, effective rank and spread compared with closed forms."""

import math

import pytest
import torch
from scipy.special import hyp0f1

from mibench.geometry import alignment, direction_spread, effective_rank, uniformity


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("dim", "value"), [(8, -3.0825), (128, -3.9375)])
def test_uniformity_of_the_uniform_sphere(dim, value):
    exact = -4 + math.log(hyp0f1(dim / 2, 4))
    assert exact == pytest.approx(value, abs=1e-4)
    assert uniformity(3 * gaussian(4000, dim)) == pytest.approx(exact, abs=0.005)


def test_uniformity_by_hand():
    z = torch.tensor([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    pairs = [math.exp(-2 * 2), math.exp(-2 * 4), math.exp(-2 * 2)]
    assert uniformity(z) == pytest.approx(math.log(sum(pairs) / 3))


def test_collapsed():
    z = torch.ones(50, 8, dtype=torch.float64) * torch.arange(1, 51)[:, None]
    assert uniformity(z) == pytest.approx(0, abs=1e-9)
    assert alignment(z, z.flip(0)) == pytest.approx(0, abs=1e-9)
    assert direction_spread(z) == pytest.approx(0, abs=1e-9)


def test_alignment():
    z = gaussian(20_000, 16)
    assert alignment(z, 5 * z) == pytest.approx(0, abs=1e-12)
    assert alignment(z, -z) == pytest.approx(4)
    assert alignment(z, gaussian(20_000, 16, seed=1)) == pytest.approx(2, abs=0.02)


def test_effective_rank():
    z = gaussian(100_000, 6)
    assert effective_rank(z) == pytest.approx(6, rel=1e-3)
    assert effective_rank(z + 100) == pytest.approx(6, rel=1e-3)
    assert effective_rank(z[:, :1].expand(-1, 6)) == pytest.approx(1, abs=1e-6)
    scale = torch.tensor([1.0, 0.5, 0, 0, 0, 0], dtype=torch.float64)
    entropy = -0.8 * math.log(0.8) - 0.2 * math.log(0.2)  # variances 1 and 1/4
    assert effective_rank(z * scale) == pytest.approx(math.exp(entropy), rel=1e-2)


def test_spread():
    z = gaussian(20_000, 16)
    assert direction_spread(z) == pytest.approx(1, abs=0.01)
    z[:, 0] = z[:, 0].abs()
    mean = (z[:, 0] / z.norm(dim=1)).mean().item()
    assert direction_spread(z) == pytest.approx(1 - mean**2, abs=0.01)
