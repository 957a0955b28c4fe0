"""The learned log ratio: the inverse of the optimal critic, normalised where the optimum is free."""

import math

import pytest
import torch

import mibench
from mibench import estimators, tasks

NAMES = list(estimators.registry.entries)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("infonce", "mine", "dv")])
def test_log_ratio_undoes_the_optimal_critic(name, generator):
    task, estimator = tasks.get("gaussian", dim=3, mi=1.0), estimators.get(name)
    ratio = task.log_density_ratio(*task.sample(6, generator, torch.float64))
    assert torch.allclose(estimator.log_ratio(estimator.optimal_critic(ratio)), ratio, atol=1e-12)


@pytest.mark.parametrize("name", ["infonce", "infonce[temperature=0.3]", "mine", "dv"])
def test_where_the_optimum_is_free_the_noise_has_mean_one(name, generator):
    estimator = estimators.get(name)
    scores = torch.randn(2, 5, 5, generator=generator)
    ratio = estimator.log_ratio(scores)
    assert torch.allclose(estimator.log_ratio(scores + 3.0), ratio, atol=1e-5)
    for batch in ratio:
        means = [math.fsum(batch[i, j].exp().item() for j in range(5) if j != i) / 4 for i in range(5)]
        assert sum(means) / 5 == pytest.approx(1, abs=1e-6)
        if name.startswith("infonce"):
            assert means == pytest.approx([1.0] * 5, abs=1e-6)


def test_records_say_how_far_the_critic_is_from_the_exact_ratio():
    """An untrained critic knows nothing: its error is the root mean square of the exact ratio itself."""
    frame = mibench.run(
        "nwj,nce,js", dim=4, mi=2.0, n=32, steps=1, lr=1e-9, critic="bilinear", seeds=1, device="cpu"
    )
    task = tasks.get("gaussian", dim=4, mi=2.0)
    x, y = task.sample(2000, torch.Generator().manual_seed(0), torch.float64)
    joint = torch.stack([task.log_density_ratio(x[i : i + 1], y[i : i + 1])[0, 0] for i in range(2000)])
    size = joint.square().mean().sqrt().item()
    assert frame["log_ratio_rmse_nats"].notna().all()
    assert frame["log_ratio_rmse_nats"].between(0.3 * size, 2.0 * size).all()
