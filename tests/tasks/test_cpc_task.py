"""The autoregression's exact information against closed forms and a long simulation, and its lower bound."""

import math
from fractions import Fraction

import naive
import numpy as np
import pytest
import torch

import mibench
from mibench import tasks
from mibench.tasks.normal import Normal


@pytest.mark.parametrize("a", [0.9, 0.5, -0.7])
def test_noiseless_information_is_that_of_independent_ar1(a):
    for horizon in range(1, 9):
        found = tasks.get("cpc", dim=4, a=a, horizon=horizon).true_mi_nats
        expected = -sum(math.log(1 - a ** (2 * horizon)) / 2 for _ in range(4))
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("a", "noise"), [(0.9, 0.5), (0.99, 1e-4), (0.999999, 1e-6), (0.999999, 1e-9)])
def test_noisy_information_is_that_of_the_exact_determinants(a, noise):
    """Also where the states of the past are nearly one: the coordinates are independent AR(1), turned."""
    steps = [0, 1, 2, 4]
    covariance = [
        [Fraction(a) ** abs(i - j) + (Fraction(noise) ** 2 if i == j else 0) for j in steps] for i in steps
    ]
    past = naive.determinant([row[:3] for row in covariance[:3]])
    expected = naive.log(past * covariance[3][3] / naive.determinant(covariance)) / 2
    task = tasks.get("cpc", dim=3, a=a, noise=noise, past=3, horizon=2)
    assert task.true_mi_nats == pytest.approx(3 * expected, abs=1e-8)


def simulated_information(a, noise, past, horizon, generator, steps=60_000):
    """I(past; next) of one noisy scalar AR(1), from the covariance of one long series of its recursion."""
    z, series = 0.0, np.empty(steps)
    for t, e in enumerate(generator.standard_normal(steps)):
        z = a * z + math.sqrt(1 - a * a) * e
        series[t] = z
    series += noise * generator.standard_normal(steps)
    last = steps - past - horizon + 1
    columns = [series[i : i + last] for i in range(past)] + [series[past - 1 + horizon :][:last]]
    covariance = np.cov(np.stack(columns))
    parts = [np.linalg.slogdet(c)[1] for c in (covariance[:-1, :-1], covariance)]
    return (parts[0] + math.log(covariance[-1, -1]) - parts[1]) / 2


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [1, 3])
def test_noisy_information_is_that_of_a_long_simulation(horizon):
    # A rotation that all steps share leaves the coordinates independent AR(1) with isotropic noise.
    task = tasks.get("cpc", dim=3, a=0.8, noise=0.7, past=4, horizon=horizon)
    generator = np.random.default_rng(0)
    values = np.array([3 * simulated_information(0.8, 0.7, 4, horizon, generator) for _ in range(24)])
    error = values.std(ddof=1) / math.sqrt(len(values))
    assert error < 0.01
    assert abs(values.mean() - task.true_mi_nats) < 4 * error


def test_noise_hides_and_a_longer_past_tells_more():
    def known(**options):
        return tasks.get("cpc", **options).true_mi_nats

    assert known(noise=0.5) < known()
    assert known(noise=0.5, past=1) < known(noise=0.5, past=2) < known(noise=0.5, past=8)
    assert known(past=1) == known(past=8)  # without noise the last step tells all
    assert known(noise=1e-4) == pytest.approx(known(), abs=1e-5)
    assert known(horizon=3) < known(horizon=2) < known(horizon=1)


@pytest.mark.parametrize("noise", [0.0, 0.6])
def test_raw_log_ratio_undoes_the_map(noise, generator):
    task = tasks.get("cpc", dim=2, observed=5, past=3, noise=noise, horizon=2)
    x, y = task.sample(3000, generator, torch.float64)
    assert x.shape == (3000, 15)
    assert y.shape == (3000, 2)
    ratios = task.log_density_ratio(x, y)
    joint = ratios.diagonal()
    assert abs(joint.mean().item() - task.true_mi_nats) < 4 * joint.std().item() / math.sqrt(3000)
    noise_ratio = ratios[~torch.eye(3000, dtype=torch.bool)].exp().mean().item()
    assert noise_ratio == pytest.approx(1.0, abs=0.1)


def test_pairs_and_sequences_have_the_recursions_moments(generator):
    task = tasks.get("cpc", dim=3, a=0.7, noise=0.5, past=2, length=5)
    states = task._states(task._roots[1], 200_000, generator, torch.float64)
    step = torch.einsum("nti,ntj->tij", states[:, 1:], states[:, :-1]) / len(states)
    assert torch.allclose(step, (0.7 * task._turn).expand(4, 3, 3), atol=0.02)
    own = torch.einsum("nti,ntj->tij", states, states) / len(states)
    assert torch.allclose(own, 1.25 * torch.eye(3, dtype=torch.float64).expand(5, 3, 3), atol=0.02)
    assert task.sequences(7, generator).shape == (7, 5, 16)


def test_lower_end_lies_below_the_exact_information_and_near_it(generator):
    """An encoder whose information is exact: the last state with noise of its own in place of a GRU."""
    task = tasks.get("cpc", dim=4, a=0.9)
    mixing = task._mixing
    found = []
    for seed in range(12):
        weights = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

        def encode(rows, weights=weights):
            last = rows.view(len(rows), task.past, task.observed)[:, -1].double().sinh() @ mixing / 4
            noise = torch.randn(last.shape, generator=generator, dtype=torch.float64)
            return (last + 0.5 * noise) @ weights

        seen = 1.25 * torch.eye(4, dtype=torch.float64)
        exact = Normal.of(seen, torch.eye(4, dtype=torch.float64), task._normal.core).information
        truth = task.represented(encode, lambda y: y, generator).truth
        low, high = truth.low, truth.high
        assert low <= high == task.true_mi_nats
        assert truth.confidence == 0.999
        found.append(low - exact)
    assert max(found) < 0
    assert min(found) > -0.1


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"horizon": 9}, "longer than the sequence"),
        ({"observed": 3}, "not injective"),
        ({"a": 1.0}, "between 0 and"),
        ({"a": 0.9999999999999999}, "not 1"),
        ({"a": 0.0}, "between 0 and"),
        ({"noise": -0.1}, "0 or more"),
        ({"horizon": 0}, "at least 1"),
    ],
)
def test_what_is_not_allowed(options, word):
    with pytest.raises(mibench.UsageError, match=word):
        tasks.get("cpc", **options)
