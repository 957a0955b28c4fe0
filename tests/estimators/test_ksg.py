"""KSG against plain loops, closed forms, simulated values of the literature and scikit-learn."""

import math

import numpy as np
import pytest
import torch
from scipy.special import psi

from mibench import estimators, tasks
from mibench.errors import UsageError
from mibench.estimators.neighbours import counts

BOTH = ["ksg", "ksg[variant=2]"]
FLOAT = torch.float64


def naive(x, y, k, variant):
    """KSG of lists of rows, by plain loops."""

    def far(a, b):
        return max(abs(p - q) for p, q in zip(a, b, strict=True))

    n, total = len(x), 0.0
    for i in range(n):
        others = [j for j in range(n) if j != i]
        joint = {j: max(far(x[i], x[j]), far(y[i], y[j])) for j in others}
        radius = sorted(joint.values())[k - 1]
        for side in (x, y):
            if variant == 1:
                total += psi(1 + sum(far(side[i], side[j]) < radius for j in others))
            else:
                own = max(far(side[i], side[j]) for j in others if joint[j] <= radius)
                total += psi(sum(far(side[i], side[j]) <= own for j in others))
    return psi(k) + psi(n) - total / n - (1 / k if variant == 2 else 0)


def gaussian(n, dim, mi, seed, runs=None):
    """Pairs of a correlated Gaussian with a true MI of `mi` nats, (n, dim) or (runs, n, dim)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (n, dim) if runs is None else (runs, n, dim)
    x, noise = (torch.randn(*shape, generator=generator, dtype=FLOAT) for _ in range(2))
    rho = math.sqrt(-math.expm1(-2 * mi / dim))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def lattice(n, dim_x, dim_y, seed):
    """Pairs with many ties, duplicates among them."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, 4, (n, dim), generator=generator).double() / 3 for dim in (dim_x, dim_y)]


def estimate(name, x, y):
    return estimators.get(name).estimate_from(x, y)


@pytest.mark.parametrize("variant", [1, 2])
@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("dims", [(1, 1), (5, 5), (20, 20), (1, 3), (4, 2)])
def test_estimate_is_the_naive_one(variant, k, dims, generator):
    x, y = (torch.randn(40, dim, generator=generator, dtype=FLOAT) for dim in dims)
    y[:, 0] += x[:, 0]
    expected = naive(x.tolist(), y.tolist(), k, variant)
    assert estimate(f"ksg[k={k},variant={variant}]", x, y).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("variant", [1, 2])
@pytest.mark.parametrize("dims", [(1, 1), (2, 1)])
def test_estimate_of_ties_is_the_naive_one(variant, dims):
    x, y = lattice(60, *dims, seed=0)
    expected = naive(x.tolist(), y.tolist(), 3, variant)
    assert estimate(f"ksg[variant={variant}]", x, y).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("own_radii", [False, True])
@pytest.mark.parametrize("dims", [(1, 1), (2, 3), (1, 5)])
def test_trees_count_what_brute_force_counts(own_radii, dims, generator):
    normal = [torch.randn(2, 300, dim, generator=generator, dtype=FLOAT) for dim in dims]
    rounded = [side.mul(16).round() / 10 for side in normal]  # ties whose distances are not exact
    tied = [side[None] for side in lattice(300, *dims, seed=1)]
    # Far from 0 the spacing of doubles is wider than any small tolerance that a radius could have.
    shifted = [side + 1e6 for side in normal]
    for x, y in (normal, rounded, tied, shifted):
        trees, brute = (how(x, y, 3, own_radii=own_radii) for how in (counts.by_trees, counts.by_brute_force))
        for by_trees, by_brute_force in zip(trees, brute, strict=True):
            assert torch.equal(by_trees, by_brute_force)


@pytest.mark.parametrize("name", BOTH)
def test_estimate_does_not_depend_on_the_method_or_the_size_of_chunks(name, monkeypatch):
    x, y = gaussian(400, 1, 1.0, seed=0)
    trees = estimate(name, x, y).item()
    monkeypatch.setattr(counts, "_trees_are_faster", lambda x, y: False)
    for numbers in (1, 1000, 2**20):
        monkeypatch.setitem(counts.AT_ONCE, "cpu", numbers)
        assert estimate(name, x, y).item() == pytest.approx(trees, abs=1e-12)


def test_large_samples_of_few_dimensions_are_searched_by_trees(monkeypatch):
    used = []

    def noting(name):
        how = getattr(counts, name)
        monkeypatch.setattr(counts, name, lambda *args: (used.append(name), how(*args))[1])

    noting("by_trees")
    noting("by_brute_force")
    for n, dim in ((1000, 1), (64, 1), (300, 5)):
        estimate("ksg", *gaussian(n, dim, 1.0, seed=0))
    assert used == ["by_trees", "by_brute_force", "by_brute_force"]


def test_chunks_hold_no_more_distances_than_are_allowed(monkeypatch, generator):
    held = []
    measured = counts._distances
    monkeypatch.setattr(
        counts, "_distances", lambda *args: (found := measured(*args), held.append(found.numel()))[0]
    )
    for runs, n in ((1, 1000), (70, 64), (3, 300)):
        x, y = (torch.randn(runs, n, 20, generator=generator, dtype=FLOAT) for _ in range(2))
        estimate("ksg", x, y)
    assert max(held) <= counts.AT_ONCE["cpu"]


@pytest.mark.parametrize("name", BOTH)
def test_leading_axes_do_not_mix(name, generator):
    x = torch.randn(2, 3, 50, 2, generator=generator, dtype=FLOAT)
    y = x[..., :1] + torch.randn(2, 3, 50, 1, generator=generator, dtype=FLOAT)
    together = estimate(name, x, y)
    assert together.shape == (2, 3)
    for index in ((0, 0), (0, 2), (1, 1)):
        assert together[index].item() == pytest.approx(estimate(name, x[index], y[index]).item(), abs=1e-12)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("n", [100, 400])
def test_order_of_rows_and_a_common_scale_do_not_matter(name, n, generator):
    x, y = gaussian(n, 1, 1.0, seed=0)
    value = estimate(name, x, y).item()
    order = torch.randperm(n, generator=generator)
    assert estimate(name, x[order], y[order]).item() == pytest.approx(value, abs=1e-12)
    assert estimate(name, 1024 * x, 1024 * y).item() == pytest.approx(value, abs=1e-12)
    assert estimate(name, 1000 * x, 1000 * y).item() == pytest.approx(value, abs=1e-12)
    assert estimate(name, y, x).item() == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("name", BOTH)
def test_order_of_rows_does_not_matter_where_there_are_ties(name, generator):
    x, y = lattice(300, 1, 1, seed=0)
    order = torch.randperm(300, generator=generator)
    assert estimate(name, x[order], y[order]).item() == pytest.approx(estimate(name, x, y).item(), abs=1e-12)


@pytest.mark.parametrize("name", BOTH)
def test_float32_is_read_as_float64(name):
    x, y = (side.float() for side in gaussian(80, 2, 1.0, seed=0))
    value = estimate(name, x, y)
    assert value.dtype == FLOAT
    assert value.item() == estimate(name, x.double(), y.double()).item()


@pytest.mark.parametrize("variant", [1, 2])
def test_one_pair_more_than_neighbours_is_enough(variant):
    x, y = gaussian(4, 2, 1.0, seed=0)
    value = estimate(f"ksg[k=3,variant={variant}]", x, y).item()
    assert value == pytest.approx(naive(x.tolist(), y.tolist(), 3, variant), abs=1e-12)
    with pytest.raises(UsageError, match=r"ksg\[k=4\] needs n > 4, not n = 4"):
        estimate(f"ksg[k=4,variant={variant}]", x, y)


def test_what_cannot_be_asked_for():
    for name, words in (("ksg[k=0]", "k of 'ksg' must be at least 1"), ("ksg[variant=3]", "must be 1 or 2")):
        with pytest.raises(UsageError, match=words):
            estimators.get(name)
    ksg = estimators.get("ksg[k=5]")
    ksg.check(6)
    with pytest.raises(UsageError, match="n >= 6"):
        ksg.check(5)
    with pytest.raises(UsageError, match="tokens"):
        ksg.check(64, tasks.get("bigram").pair())


@pytest.mark.parametrize("n", [50, 300])
def test_degenerate_data_give_the_values_of_the_docstring(n):
    x, _ = gaussian(n, 1, 1.0, seed=0)
    constant = torch.full_like(x, 0.1)
    ceiling = psi(n) - psi(3) - 1 / 3
    assert estimate("ksg", x, x).item() == pytest.approx(psi(n) - psi(3), abs=1e-12)
    assert estimate("ksg[variant=2]", x, x).item() == pytest.approx(ceiling, abs=1e-12)
    assert estimate("ksg", x, constant).item() == pytest.approx(0, abs=1e-12)
    assert estimate("ksg[variant=2]", x, constant).item() == pytest.approx(1 / (n - 1) - 1 / 3, abs=1e-12)
    assert estimate("ksg", constant, constant).item() == pytest.approx(psi(3) + psi(n) - 2 * psi(1))
    for name in BOTH:
        for wrong in (math.nan, math.inf):
            broken = x.clone()
            broken[7] = wrong
            both = estimate(name, torch.stack([x, broken]), torch.stack([x, x]))
            assert both.isnan().tolist() == [False, True]


@pytest.mark.parametrize(("k", "expected"), [(3, 5.6511), (10, 4.5555)])
@pytest.mark.parametrize("variant", [1, 2])
def test_ceiling_is_reached_by_a_function_with_little_noise(k, expected, variant, generator):
    ksg = estimators.get("ksg", k=k, variant=variant)
    assert ksg.ceiling(1000) == pytest.approx(expected, abs=5e-5)
    x = torch.randn(1000, 1, generator=generator, dtype=FLOAT)
    y = x + 1e-9 * torch.randn(1000, 1, generator=generator, dtype=FLOAT)
    value = ksg.estimate_from(x, y).item()
    assert value == pytest.approx(expected, abs=5e-4)
    assert value <= ksg.ceiling(1000) + 1e-12


@pytest.mark.parametrize("name", BOTH)
def test_a_curved_map_of_y_changes_the_estimate(name):
    x, _ = gaussian(1000, 1, 1.0, seed=0)
    # The fact sheet's values for y = x^3: the estimator is not invariant, the mutual information is.
    expected = {"ksg": 4.28, "ksg[variant=2]": 5.64}[name]
    assert estimate(name, x, x**3).item() == pytest.approx(expected, abs=0.1)


# Mean and standard deviation of a run on the correlated Gaussian with k = 3: n, dimensions, MI in nats, and
# for variants 1 and 2 the mean, then the standard deviation.
SIMULATED = {
    (1000, 1, 0.0): ((0.000, 0.001), (0.023, 0.026)),
    (1000, 1, 0.1438): ((0.145, 0.144), (0.031, 0.035)),
    (1000, 1, 0.8304): ((0.843, 0.842), (0.036, 0.039)),
}


@pytest.mark.parametrize("variant", [1, 2])
@pytest.mark.parametrize("case", SIMULATED)
def test_mean_over_fresh_data_is_the_simulated_one(case, variant):
    means, deviations = SIMULATED[case]
    runs = 100
    values = estimate(f"ksg[variant={variant}]", *gaussian(*case, seed=variant, runs=runs))
    tolerance = 4 * deviations[variant - 1] * math.sqrt(1 / runs + 1 / 200)
    assert values.mean().item() == pytest.approx(means[variant - 1], abs=tolerance)
    assert values.std().item() == pytest.approx(deviations[variant - 1], rel=0.35)


def test_single_values_at_independence_are_not_floored():
    values = estimate("ksg", *gaussian(1000, 1, 0.0, seed=5, runs=200))
    assert values.mean().item() == pytest.approx(0, abs=0.005)
    assert 0.3 < (values < 0).double().mean().item() < 0.7


@pytest.mark.slow
@pytest.mark.parametrize("variant", [1, 2])
@pytest.mark.parametrize(
    ("case", "expected", "tolerance"),
    [
        ((2000, 1, 3.0), (3.02, 3.02), 0.03),
        ((2000, 1, 5.0), (4.90, 4.92), 0.03),
        ((2000, 1, 8.0), (6.23, 6.25), 0.03),
        ((10_000, 1, 0.8304), (0.836, 0.839), 0.02),
        ((1000, 5, 2.0), (1.37, 1.41), 0.04),
        ((1000, 20, 2.0), (0.385, 0.405), 0.04),
        ((10_000, 20, 2.0), (0.56, 0.59), 0.03),
        ((10_000, 20, 10.0), (2.54, 2.64), 0.04),
    ],
)
def test_mean_far_from_the_truth_is_the_simulated_one(variant, case, expected, tolerance):
    runs = 1 if case[0] * case[1] > 10_000 else 10
    values = estimate(f"ksg[variant={variant}]", *gaussian(*case, seed=variant, runs=runs))
    assert values.mean().item() == pytest.approx(expected[variant - 1], abs=tolerance)


@pytest.mark.slow
def test_more_neighbours_have_less_variance_and_the_simulated_mean():
    values = estimate("ksg[k=10]", *gaussian(1000, 1, 0.8304, seed=0, runs=100))
    assert values.mean().item() == pytest.approx(0.844, abs=4 * 0.029 * math.sqrt(1 / 100 + 1 / 200))
    assert values.std().item() == pytest.approx(0.029, rel=0.35)


@pytest.mark.parametrize("mi", [0.1438, 0.8304, 3.0])
def test_scikit_learn_reads_the_same_in_one_dimension(mi):
    from sklearn.feature_selection import mutual_info_regression

    x, y = (side.numpy() for side in gaussian(500, 1, mi, seed=3))
    # It scales both sides, and adds noise of 1e-10 times the mean size of each: ties apart, no change.
    x, y = x / x.std(), y / y.std()
    theirs = mutual_info_regression(x, y[:, 0], n_neighbors=3, random_state=0)[0]
    assert theirs > 0  # it has a floor
    assert estimate("ksg", *map(torch.from_numpy, (x, y))).item() == pytest.approx(theirs, abs=1e-6)


def test_estimates_are_reproducible_and_leave_the_data_alone():
    x, y = gaussian(300, 1, 1.0, seed=0)
    before = x.clone(), y.clone()
    assert np.array_equal(estimate("ksg", x, y), estimate("ksg", x, y))
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])
