"""The denoiser: exact predictions read the information, noise is drawn run by run, training finds it."""

import math

import pytest
import torch

import mibench
from mibench import estimators, models, tasks
from mibench.batch import Batch, Dims
from mibench.models.base import Denoiser


class Exact(Denoiser):
    """The exact predictions of the noise on correlated Gaussians."""

    def __init__(self, rho):
        self.rho = rho

    def initialise(self, dims, generator, dtype):
        return {}

    def noise(self, parameters, z, log_snr, y):
        signal, deviation = log_snr.sigmoid().sqrt(), (-log_snr).sigmoid().sqrt()
        if y is None:
            return deviation * z
        return deviation * (z - signal * self.rho * y) / (1 - signal**2 * self.rho**2)


@pytest.mark.parametrize(("dim", "mi"), [(1, 0.5), (1, 2.0), (3, 2.0), (3, 6.0)])
def test_exact_denoisers_read_the_information(dim, mi, generator):
    task, estimator = tasks.get("gaussian", dim=dim, mi=mi), estimators.get("mmg")
    n, runs = 256, 400
    x, y = task.sample(runs * n, generator, torch.float64)
    objective = estimator.objective
    drawn = [objective.draw(n, Dims(dim, dim), generator, torch.float64) for _ in range(runs)]
    batch = Batch(
        x.view(runs, n, dim),
        y.view(runs, n, dim),
        {key: torch.stack([one[key] for one in drawn]) for key in drawn[0]},
    )
    rho = math.sqrt(-math.expm1(-2 * mi / dim))
    values = estimator.read(objective.outputs(Exact(rho), {}, batch), batch)
    mean, error = values.mean().item(), values.std().item() / math.sqrt(runs)
    lost = _outside(dim, rho, objective.low, objective.high)
    assert abs(mean - (mi - lost)) < 4 * error
    assert lost < 0.01 * dim


def _outside(dim, rho, low, high):
    """Return the information outside the range: that at the lower end, and what is left at the upper."""

    def information(a):  # of y about sqrt(s) x + sqrt(1 - s) e, s = sigmoid(a): -dim/2 log(1 - s rho^2)
        return -dim / 2 * math.log1p(-(rho**2) / (1 + math.exp(-a)))

    return information(low) + (-dim / 2 * math.log1p(-(rho**2)) - information(high))


def test_noise_levels_are_stratified_and_of_every_run_its_own(generator):
    objective = estimators.get("mmg[low=-2,high=2]").objective
    one, other = (objective.draw(8, Dims(2, 3), generator, torch.float32) for _ in range(2))
    assert one["log_snr"].shape == (8, 1)
    assert one["noise"].shape == (8, 2)
    places = (one["log_snr"][:, 0] + 2) / 4 * 8
    assert places.floor().tolist() == list(range(8))
    assert not torch.isclose(one["noise"], other["noise"]).any()


def test_without_y_the_denoiser_does_not_see_it(generator):
    model, dims = models.get("noise-mlp[hidden=8]"), Dims(2, 3)
    parameters = {key: value[None] for key, value in model.initialise(dims, generator, torch.float64).items()}
    z, y = (torch.randn(1, 5, dim, generator=generator, dtype=torch.float64) for dim in (2, 3))
    log_snr = torch.randn(1, 5, 1, generator=generator, dtype=torch.float64)
    free, given = (model.noise(parameters, z, log_snr, side) for side in (None, y))
    assert free.shape == given.shape == (1, 5, 2)
    assert not torch.isclose(free, given).any()
    zeros = model.noise(parameters, z, log_snr, torch.zeros_like(y))
    assert not torch.isclose(free, zeros).any()  # a y of zeros is not the same as none


def test_a_pack_reads_what_each_run_reads_alone():
    settings = dict(dim=2, mi=[1.0], n=[16], steps=20, critic="noise-mlp[hidden=16]", precision="float64")  # noqa: C408
    together = mibench.run("mmg", seeds=3, device="cpu", **settings).set_index("seed")["estimate_nats"]
    for seed in range(3):
        (alone,) = mibench.run("mmg", seeds=[seed], device="cpu", **settings)["estimate_nats"]
        assert together[seed] == pytest.approx(alone, abs=1e-6)
    assert together.nunique() == 3


@pytest.mark.slow
def test_training_finds_the_information():
    frame = mibench.run("mmg", dim=2, mi=[0.0, 1.0], n=[256], seeds=2, steps=2000, device="cpu")
    mean = frame.groupby("true_mi_nats")["estimate_nats"].mean()
    assert 0 <= mean[0.0] < 0.03
    assert abs(mean[1.0] - 1) < 0.08


def test_an_empty_range_is_refused():
    with pytest.raises(mibench.UsageError, match="empty"):
        estimators.get("mmg[low=2,high=2]")
