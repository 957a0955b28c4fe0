"""At the exact density ratio the mean over many batches agrees with theory (d = 20, n = 64)."""

import math

import pytest
import torch

from mibench import estimators, tasks

N, BATCHES, AT_ONCE = 64, 4000, 250
INFONCE = {2: 1.8145, 4: 3.0700, 6: 3.7407, 8: 4.0241, 10: 4.1219}
TABLE_SE = 0.004  # of the tabulated values themselves


def values_at_exact_critic(name, mi, batches=BATCHES, n=N):
    task, estimator = tasks.get("gaussian", dim=20, mi=mi), estimators.get(name)
    generator = torch.Generator().manual_seed(mi)
    values = []
    for _ in range(batches // AT_ONCE):
        x, y = task.sample(AT_ONCE * n, generator, torch.float64)
        ratios = task.log_density_ratio(x.view(AT_ONCE, n, -1), y.view(AT_ONCE, n, -1))
        values.append(estimator.estimate(estimator.optimal_critic(ratios)))
    return torch.cat(values)


def mean_and_error(values):
    return values.mean().item(), values.std().item() / math.sqrt(len(values))


@pytest.mark.parametrize(("mi", "expected"), INFONCE.items())
@pytest.mark.parametrize("name", ["infonce", "infonce[temperature=0.5]"])
def test_infonce(name, mi, expected):
    values = values_at_exact_critic(name, mi)
    mean, error = mean_and_error(values)
    assert error < 0.005
    assert abs(mean - expected) < 3 * math.hypot(error, TABLE_SE)
    assert mean < mi
    assert values.max() <= math.log(N)


# Means and standard errors of a numpy loop over 40,000 and 300 batches, written apart from this package.
@pytest.mark.parametrize(("n", "expected", "its_error"), [(16, 2.3020, 0.0012), (256, 3.5375, 0.0069)])
def test_infonce_at_other_n(n, expected, its_error):
    mean, error = mean_and_error(values_at_exact_critic("infonce", 4, batches=500, n=n))
    assert abs(mean - expected) < 3 * math.hypot(error, its_error)


@pytest.mark.parametrize("mi", [2, 4, 6, 8, 10])
def test_nce_reads_the_mutual_information(mi):
    mean, error = mean_and_error(values_at_exact_critic("nce", mi))
    assert error < 0.011
    assert abs(mean - mi) < 3 * error


@pytest.mark.parametrize("mi", [2, 4])
@pytest.mark.parametrize(
    "name", ["nwj", "js", "tuba", "interpolated[alpha=0]"]
)  # js is read at f + 1: I, not I - 1/e
def test_nwj_reads_the_mutual_information(name, mi):
    mean, error = mean_and_error(values_at_exact_critic(name, mi))
    assert error < 0.03
    assert abs(mean - mi) < 3 * error


@pytest.mark.parametrize("mi", [6, 8, 10])
def test_nwj_with_too_few_samples_errs_upwards_by_at_most_one(mi):
    """Var_Q[r] = exp(2 I) - 1: the rare large ratios are not seen, and 1 - E_Q[r] lies between 0 and 1."""
    values = values_at_exact_critic("nwj", mi, batches=1000)
    joint, _ = mean_and_error(values_at_exact_critic("nce", mi, batches=1000))
    assert values.median() > mi
    assert (values.median() - joint).item() < 1


# What SMILE reads above I, with the value's own error. For tau = 1 as tabulated; for tau = 5 by a numpy loop
# over 3,000 batches, written apart from this package: at this n the mean of a batch's -log lies above that of
# infinitely many samples.
ERROR = 0.002
SMILE = {
    "smile[tau=1]": {mi: (above, ERROR) for mi, above in zip((2, 4, 6), (0.373, 0.653, 0.827), strict=True)},
    "smile[tau=5]": {4: (0.2634, 0.0025), 6: (0.7149, 0.0039), 8: (1.3170, 0.0055), 10: (2.0512, 0.0086)},
}
SMILE["smile[tau=1]"] |= {8: (0.921, ERROR), 10: (0.966, ERROR)}


@pytest.mark.parametrize(("name", "mi"), [(name, mi) for name, row in SMILE.items() for mi in row])
def test_smile_reads_above_the_mutual_information(name, mi):
    expected, its_error = SMILE[name][mi]
    mean, error = mean_and_error(values_at_exact_critic(name, mi))
    assert abs(mean - mi - expected) < 3 * math.hypot(error, its_error)
    assert mean - mi < float(name[10:-1])


@pytest.mark.parametrize("mi", [2, 4, 6, 8, 10])
def test_donsker_varadhan_on_a_batch_errs_upwards(mi):
    mean, error = mean_and_error(values_at_exact_critic("mine", mi))
    joint, _ = mean_and_error(values_at_exact_critic("nce", mi))
    assert mean > joint  # E[-log of a mean] > -log of the expectation, on the very same batches
    if mi == 2:
        assert abs(mean - mi) < 0.02 + 3 * error  # the bias is Var(mean r) / 2, small here


@pytest.mark.parametrize(("mi", "expected"), INFONCE.items())
def test_interpolated_tends_to_infonce(mi, expected):
    mean, error = mean_and_error(values_at_exact_critic("interpolated[alpha=1]", mi))
    assert abs(mean - expected) < 3 * math.hypot(error, TABLE_SE)
    near, its_error = mean_and_error(values_at_exact_critic(f"interpolated[alpha={1 - 1e-15}]", mi))
    assert abs(near - expected) < 3 * math.hypot(its_error, TABLE_SE)


@pytest.mark.parametrize("mi", [2, 4, 6, 8, 10])
def test_interpolated_tends_to_nwj(mi):
    nwj, zero, near = (
        values_at_exact_critic(name, mi, batches=1000)
        for name in ("nwj", "interpolated[alpha=0]", "interpolated[alpha=1e-9]")
    )
    assert torch.allclose(zero, nwj, atol=1e-9)  # on every batch, not only in the mean
    assert abs(near.median() - nwj.median()) < 0.01


def test_interpolated_lies_between():
    means = [
        values_at_exact_critic(f"interpolated[alpha={alpha}]", 6, batches=1000).mean().item()
        for alpha in (1, 0.5, 0.1, 0.01)
    ]
    assert means == sorted(means)
    assert means[-1] < 6
