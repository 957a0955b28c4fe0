"""What is known of a pair: densities against entropies, truths against samples, scales that cancel."""

import math

import pytest
import torch
from scipy.integrate import quad

from mibench import tasks
from mibench.batch import Dims
from mibench.tasks.gaussian import Gaussian
from mibench.tasks.pair import Pair, Truth, of_rows, scaled

PAIRS = {
    "gaussian": ("gaussian", {"dim": 3, "mi": 1.5}),
    "negative": ("gaussian", {"dim": 2, "rho": -0.8}),
    "cubic": ("cubic", {"dim": 3, "mi": 1.5}),
    "linear-encoder": ("linear-encoder", {"dim": 5, "rank": 2, "mi": 2.0}),
    "cpc": ("cpc", {"dim": 2, "past": 3, "observed": 4}),
    "noisy cpc": ("cpc", {"dim": 2, "past": 3, "observed": 4, "noise": 0.5, "horizon": 2}),
}
ROWS = 20_000


def pair_of(name):
    task, options = PAIRS[name]
    return tasks.get(task, **options).pair()


def rows_of(pair, rows=ROWS, seed=2):
    return pair.draw(rows, torch.Generator().manual_seed(seed), torch.float64)


def joint(known, x, y):
    """Return what a function of pairs is on those that belong together, row by row."""
    return known(x[:, None], y[:, None]).flatten()


def mean_and_error(values):
    return values.mean().item(), values.std().item() / math.sqrt(len(values))


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("change", [lambda pair: pair, lambda pair: scaled(pair, torch.Generator())])
def test_log_conditional_and_entropy_add_up_to_the_information(name, change):
    """E log p(y | x) + h(Y) = I(X;Y), whatever the scale."""
    pair = change(pair_of(name))
    mean, error = mean_and_error(joint(pair.log_conditional, *rows_of(pair)))
    assert error < 0.04
    assert abs(mean + pair.entropy_y - pair.truth.value) < 4 * error


@pytest.mark.parametrize("name", PAIRS)
def test_the_conditional_is_the_ratio_and_a_marginal(name):
    """log p(y | x) - log r(x, y) = log p(y) is the same for every x, and its mean is -h(Y)."""
    pair = pair_of(name)
    x, y = rows_of(pair, 40)
    marginal = pair.log_conditional(x, y) - pair.log_ratio(x, y)
    assert torch.allclose(marginal, marginal[:1].expand_as(marginal), atol=1e-7)
    x, y = rows_of(pair)
    mean, error = mean_and_error(joint(pair.log_conditional, x, y) - joint(pair.log_ratio, x, y))
    assert abs(mean + pair.entropy_y) < 4 * error


def test_entropy_of_a_standard_normal_and_of_its_cube():
    normal = math.log(2 * math.pi * math.e) / 2
    assert tasks.get("gaussian", dim=3).pair().entropy_y == pytest.approx(3 * normal)
    # h(y^3) = h(y) + E log 3 y^2
    log_square, _ = quad(lambda y: 2 * 2 * math.log(y) * math.exp(-y * y / 2) / math.sqrt(2 * math.pi), 0, 40)
    expected = normal + math.log(3) + log_square
    assert tasks.get("cubic", dim=1).pair().entropy_y == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("mi", [0.0, 0.8])
def test_conditionals_of_bigrams_sum_to_one_by_enumeration(mi):
    task = tasks.get("bigram", vocabulary=60, topics=5, mi=mi)
    words = torch.arange(60, dtype=torch.float64)[:, None]
    conditional = task.pair().log_conditional(words, words)
    assert torch.allclose(conditional.exp().sum(1), torch.ones(60, dtype=torch.float64), atol=1e-12)
    joint_mean = (task.unigrams[:, None] * conditional.exp() * conditional).sum().item()
    entropy = -(task.unigrams * task.unigrams.log()).sum().item()
    assert joint_mean + entropy == pytest.approx(mi, abs=1e-10)
    assert task.pair().entropy_y is None  # a differential entropy, which tokens do not have


# ---- Scales


@pytest.mark.parametrize("name", PAIRS)
def test_scaling_keeps_the_ratio_and_shifts_densities_by_the_scale_of_y(name):
    pair = pair_of(name)
    other = scaled(pair, torch.Generator().manual_seed(0))
    (x, y), (z, w) = rows_of(pair, 50), rows_of(other, 50)
    assert z.shape == x.shape
    assert other.truth == pair.truth
    assert torch.allclose(other.log_ratio(z, w), pair.log_ratio(x, y), atol=1e-6)
    spread = rows_of(pair, 4096, seed=0)  # what the scale is of
    log_volume = spread[1].std(0).log().sum().item()
    assert torch.allclose(w, (y - spread[1].mean(0)) / spread[1].std(0))
    shift = other.log_conditional(z, w) - pair.log_conditional(x, y)
    assert torch.allclose(shift, torch.full_like(shift, log_volume), atol=1e-6)
    assert other.entropy_y == pytest.approx(pair.entropy_y - log_volume, abs=1e-12)


def test_a_scaled_pair_has_mean_0_and_deviation_1():
    x, y = rows_of(scaled(pair_of("cubic"), torch.Generator().manual_seed(0)))
    for side in (x, y):
        assert side.mean(0).abs().max() < 5 * math.hypot(1 / 64, 1 / math.sqrt(ROWS))  # of 4096 rows
        assert (side.std(0) - 1).abs().max() < 0.15  # a cube has heavy tails


def test_scaling_takes_the_scale_of_the_training_pair_and_keeps_what_is_not_known():
    def drawn(shift):
        def draw(n, generator=None, dtype=None):
            x, y = torch.randn(2, n, 1, generator=generator, dtype=dtype)
            return 3 * x + shift, y

        return draw

    dims = Dims(1, 1)
    training = Pair(dims, Truth.exactly(0.0), drawn(10.0))
    pair = Pair(dims, Truth.exactly(0.0), drawn(0.0), facts={"alignment": 1.0}, training=training)
    found = scaled(pair, torch.Generator().manual_seed(0))
    assert (found.log_ratio, found.log_conditional, found.entropy_y) == (None, None, None)
    assert found.facts == {"alignment": 1.0}
    assert rows_of(found)[0].mean().item() == pytest.approx(-10 / 3, abs=0.1)
    assert rows_of(found.for_training)[0].mean().item() == pytest.approx(0, abs=0.1)


def test_a_constant_coordinate_is_only_centred():
    def draw(n, generator=None, dtype=None):
        x = torch.randn(n, 2, generator=generator, dtype=dtype)
        x[:, 1] = 7.0
        return x, x

    found = scaled(Pair(Dims(2, 2), Truth.unknown(), draw), torch.Generator())
    assert torch.equal(rows_of(found)[0][:, 1], torch.zeros(ROWS, dtype=torch.float64))


# ---- Truths


def test_a_truth_is_a_point_an_interval_or_unknown():
    point, interval, unknown = Truth.exactly(2.5), Truth(1.0, 2.0, "a bound", 0.99), Truth.unknown()
    assert (point.value, point.middle, point.is_known, point.confidence) == (2.5, 2.5, True, 1.0)
    assert (interval.value, interval.middle, interval.is_known) == (None, 1.5, True)
    assert (unknown.value, unknown.middle, unknown.is_known) == (None, None, False)
    assert (unknown.low, unknown.high) == (0.0, math.inf)


@pytest.mark.parametrize("mi", [0.0, 0.3, 4.0])
def test_monte_carlo_covers_the_information(mi):
    pair = Gaussian(dim=5, mi=mi).pair()
    widths = []
    for rows in (2_000, 32_000):
        truth = Truth.monte_carlo(pair.log_ratio, pair.draw, torch.Generator().manual_seed(3), rows)
        assert 0 <= truth.low <= mi <= truth.high
        assert truth.value is None or mi == 0
        assert truth.confidence == pytest.approx(0.99994, abs=1e-5)
        assert truth.how == f"Monte Carlo, {rows:,} pairs"
        widths.append(truth.high - truth.low)
    if mi:
        # Var log r = dim rho^2: four standard errors to both sides, a quarter of it at 16 times the rows.
        rho_square = -math.expm1(-2 * mi / 5)
        assert widths[1] == pytest.approx(8 * math.sqrt(5 * rho_square / 32_000), rel=0.1)
        assert widths[0] / widths[1] == pytest.approx(4, rel=0.15)


def test_one_standard_error_covers_two_thirds_of_the_time():
    pair = Gaussian(dim=2, mi=1.0).pair()
    truths = [
        Truth.monte_carlo(pair.log_ratio, pair.draw, torch.Generator().manual_seed(seed), 500, 1.0)
        for seed in range(400)
    ]
    assert truths[0].confidence == pytest.approx(0.6827, abs=1e-4)
    share = sum(truth.low <= 1.0 <= truth.high for truth in truths) / 400
    assert abs(share - 0.6827) < 4 * math.sqrt(0.68 * 0.32 / 400)


# ---- One's own rows


def test_rows_are_drawn_without_replacement_and_in_pairs():
    x = torch.arange(50.0)[:, None]
    pair = of_rows(x, x.repeat(1, 2) + 100)
    assert pair.dims == Dims(1, 2)
    own, other = rows_of(pair, 30)
    assert len(own.unique()) == 30
    assert torch.equal(other, own.repeat(1, 2) + 100)
    shuffled, partners = rows_of(of_rows(x, x, shuffled=True), 50)
    assert sorted(shuffled.flatten().tolist()) == sorted(partners.flatten().tolist()) == x.flatten().tolist()
    assert not torch.equal(shuffled, partners)
    assert not pair.truth.is_known
