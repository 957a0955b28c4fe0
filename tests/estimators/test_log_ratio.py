"""The learned log ratio: the inverse of the optimal critic, where there is one."""

import pytest
import torch

import mibench
from mibench import estimators, tasks
from mibench.estimators.base import FromScores

NAMES = [name for name, kind in estimators.registry.classes() if issubclass(kind, FromScores)]
FREE = {"infonce", "mine", "dv", "interpolated"}


@pytest.mark.parametrize("name", NAMES)
def test_log_ratio_undoes_the_one_optimal_critic(name, generator):
    task, estimator = tasks.get("gaussian", dim=3, mi=1.0), estimators.get(name)
    assert estimator.objective.identifiable == (name not in FREE)
    ratio = task.log_density_ratio(*task.sample(6, generator, torch.float64))
    found = estimator.objective.log_ratio({"scores": estimator.optimal_critic(ratio).float()})
    if name in FREE:
        assert found is None
    else:
        assert found.dtype == torch.float64
        assert torch.allclose(found, ratio, atol=1e-5)
        exact = estimator.objective.log_ratio_of(estimator.optimal_critic(ratio))
        assert torch.allclose(exact, ratio, atol=1e-12)


def test_an_optimum_that_is_free_has_no_error_of_the_ratio():
    frame = mibench.run("infonce,mine,nwj", dim=2, mi=1.0, n=8, steps=3, seeds=1, device="cpu")
    known = dict(zip(frame["estimator"], frame["log_ratio_rmse_nats"].notna(), strict=True))
    assert known == {"infonce": False, "mine": False, "nwj": True}


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
