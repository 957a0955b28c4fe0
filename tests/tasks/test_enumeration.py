"""Representations of finitely many images: equal ones, exact information, and the exact log density ratio."""

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
import torch

from mibench import encoders, tasks
from mibench.engine.encoding import represent, train_encoders
from mibench.spec import EncoderSpec
from mibench.tasks import enumeration
from mibench.tasks.digits import channel, channel_information
from mibench.tasks.enumeration import RESOLUTION, Nearest, Side, equal_rows, joint_information
from mibench.tasks.images import load
from mibench.tasks.pair import scaled

COUNTS = (10, 8, 5)  # images of each class; 4, 3 and 2 of them are to test


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def path(tmp_path):
    labels = np.repeat(np.arange(len(COUNTS)), COUNTS)
    images = np.random.default_rng(0).random((len(labels), 4, 4))
    np.savez(tmp_path / "tiny.npz", images=images, labels=labels)
    return str(tmp_path / "tiny.npz")


# ---- Information and log ratio, by enumeration of all pairs of images

CODES = {
    "apart": range(9),
    "within a class": [0, 0, 1, 2, 3, 3, 3, 4, 5],
    "across classes": [0, 1, 1, 1, 2, 1, 3, 2, 4],
    "across all": [0, 1, 2, 0, 1, 2, 3, 1, 0],
    "one": [0] * 9,
}


def encoder_of_codes(path, codes):
    """Return an encoder that maps test images to points, one a code, and training images to their own."""
    found = load(path)
    points = torch.randn(20, 3, generator=generator(1)) * torch.tensor([1.0, 1e-3, 1e3])
    images = torch.cat([found.test.pixels, found.train.pixels]).float()
    places = {image.numpy().tobytes(): code for image, code in zip(images, [*codes, *range(14)], strict=True)}

    def encode(rows):
        return points[[places[row.numpy().tobytes()] for row in rows]]

    return encode


def table(task, path, codes_x, codes_y):
    """Return p(z, z') by codes, from the probability of every tuple of test images."""
    part = load(path).test
    classes, counts = part.classes.tolist(), part.counts.tolist()
    p, tiles, joint = task.flip, task.tiles, defaultdict(float)
    for x in itertools.product(range(9), repeat=tiles):
        for y in itertools.product(range(9), repeat=tiles):
            weight = 1.0
            for i, j in zip(x, y, strict=True):
                c, other = classes[i], classes[j]
                weight *= (1 - p if c == other else p / 2) / 3 / counts[c] / counts[other]
            joint[tuple(codes_x[i] for i in x), tuple(codes_y[j] for j in y)] += weight
    return joint


def ratios(joint):
    """Return p(z, z') / p(z) p(z') of each cell."""
    one, other = defaultdict(float), defaultdict(float)
    for (z, z2), weight in joint.items():
        one[z] += weight
        other[z2] += weight
    return {(z, z2): weight / (one[z] * other[z2]) for (z, z2), weight in joint.items()}


@pytest.mark.parametrize("p", [0.0, 0.2])
@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize(
    ("of_x", "of_y"),
    [*((name, name) for name in CODES), ("across classes", "apart"), ("within a class", "across all")],
)
def test_information_and_log_ratio_are_those_of_the_table_of_all_images(path, of_x, of_y, m, p):
    task = tasks.get("digits", data=path, m=m, p=p)
    codes_x, codes_y = list(CODES[of_x]), list(CODES[of_y])
    encode_x, encode_y = (encoder_of_codes(path, codes) for codes in (codes_x, codes_y))
    pair = task.represented(encode_x, encode_y, generator())
    joint = table(task, path, codes_x, codes_y)
    ratio = ratios(joint)
    information = sum(weight * math.log(ratio[cell]) for cell, weight in joint.items() if weight > 0)
    assert pair.truth.value == pytest.approx(information, abs=1e-12)
    assert pair.truth.how == "enumeration of equal representations"
    assert pair.truth.confidence == 1

    # Drawn as critics see it: scaled, in float32. The same generator draws the images.
    x, y = scaled(pair, generator(4)).draw(40, generator(5), torch.float32)
    codes = [
        [codes[i] for i in places.flatten()]
        for codes, places in zip((codes_x, codes_y), places_of(task, path, 40, 5), strict=True)
    ]
    found = scaled(pair, generator(4)).log_ratio(x, y)
    for i, j in itertools.product(range(40), repeat=2):
        cell = tuple(codes[0][m * i : m * i + m]), tuple(codes[1][m * j : m * j + m])
        expected = math.log(ratio[cell]) if ratio[cell] else -math.inf
        assert found[i, j].item() == pytest.approx(expected, abs=1e-12)


def places_of(task, path, n, seed):
    """Return which test images are drawn, by the pixels that the task draws with the same generator."""
    pixels = load(path).test.pixels
    sides = task.pair().draw(n, generator(seed), torch.float64)
    return [(rows.view(n * task.tiles, 1, 16) - pixels).abs().sum(-1).argmin(-1).numpy() for rows in sides]


@pytest.mark.parametrize(("m", "p"), [(1, 0.1), (3, 0.37), (4, 0.0)])
def test_an_encoder_that_keeps_images_apart_keeps_all_information(m, p):
    task = tasks.get("digits", m=m, p=p)
    pair = task.represented(lambda rows: rows @ WEIGHTS, lambda rows: 1 - rows @ WEIGHTS, generator())
    assert pair.truth.value == task.true_mi_nats == pytest.approx(m * channel_information(p, 10), abs=1e-12)
    found = load(None).test
    side = Side.of(found.pixels, found.classes, found.weights / 10)
    assert m * joint_information(side, side, 100 * channel(p, 10)) == pytest.approx(
        pair.truth.value, abs=1e-12
    )


WEIGHTS = torch.randn(64, 5, generator=generator(9))


def test_the_mean_log_ratio_of_samples_is_the_truth():
    """A coordinate of three pixels, so that many images of all classes are equal."""
    task = tasks.get("digits", m=2)

    def encode(rows):
        return rows[:, 20:23]

    pair = scaled(task.represented(encode, encode, generator()), generator(1))
    x, y = pair.draw(40_000, generator(2))
    values = torch.cat(
        [
            pair.log_ratio(*rows).flatten()
            for rows in zip(x[:, None].split(4000), y[:, None].split(4000), strict=True)
        ]
    )
    assert 0.2 < pair.truth.value < 0.9 * task.true_mi_nats
    error = values.std().item() / math.sqrt(len(values))
    assert abs(values.mean().item() - pair.truth.value) < 4 * error


def test_each_side_of_the_split_has_its_own_truth(path):
    task = tasks.get("digits", data=path)
    encode = encoder_of_codes(path, CODES["one"])  # training images stay apart
    pair = task.represented(encode, encode, generator())
    assert pair.truth.value == pytest.approx(0, abs=1e-12)
    assert pair.training.truth.value == task.true_mi_nats
    x, y = pair.training.draw(50, generator())
    assert pair.training.log_ratio(x, y).diagonal().mean().item() > 0.3


@pytest.mark.parametrize("recipe", ["random", "simclr[steps=2,batch=32]", "simcse[steps=2,batch=32]"])
def test_every_row_of_an_encoder_finds_itself_after_scaling(recipe, monkeypatch):
    """All test images through an encoder, scaled in float32 and back: each is nearest to itself."""
    spec = EncoderSpec(encoders.registry.choose(recipe), tasks.registry.choose("digits"), 0)
    sides = []
    original = Side.of
    monkeypatch.setattr(Side, "of", lambda *rows: sides.append(original(*rows)) or sides[-1])
    (made,) = train_encoders([spec], torch.device("cpu"))
    pair = represent(tasks.registry.choose("digits", m=2), made).pair
    rows = sides[0].places.rows
    assert len(rows) == 719
    assert pair.truth.value == tasks.get("digits", m=2).true_mi_nats
    finds = Nearest(rows, torch.arange(len(rows)))
    for scale in (1.0, 1e-3):
        moved = rows + scale * rows.abs().max()  # far from 0, as without a bias
        mean, deviation = moved.mean(0), moved.std(0)
        seen = (moved.float() - mean.float()) / deviation.float()
        back = seen.double() * deviation + mean
        assert Nearest(moved, finds.labels)(back).equal(finds.labels)


# ---- Equal rows


def is_same(groups, expected):
    """Return whether two labellings make the same groups."""
    pairs = set(zip(groups.tolist(), expected, strict=True))
    return len(pairs) == len(set(groups.tolist())) == len(set(expected))


def naive_groups(rows, gaps):
    """Return lists of places, split at the first gap of the first coordinate that has one, until none has."""

    def split(places):
        for column, gap in enumerate(gaps):
            ordered = sorted(places, key=lambda place: rows[place][column])
            for at in range(1, len(ordered)):
                if rows[ordered[at]][column] - rows[ordered[at - 1]][column] > gap:
                    return split(ordered[:at]) + split(ordered[at:])
        return [places]

    return split(range(len(rows)))


@pytest.mark.parametrize("seed", range(6))
def test_equal_rows_are_those_between_which_no_coordinate_leaves_a_gap(seed):
    """Some rows repeat others, some are a little aside, in chains, some a little too far."""
    feed = generator(seed)
    rows = torch.randn(8, 3, generator=feed, dtype=torch.float64) * torch.tensor([1.0, 1e-4, 1e4])
    chosen = torch.randint(8, (40,), generator=feed)
    steps = torch.randint(-2, 3, (40, 3), generator=feed) * rows.abs().amax(0)
    rows = rows[chosen] + 0.7 * RESOLUTION * steps
    gaps = RESOLUTION * rows.abs().amax(0)
    groups = equal_rows(rows)
    expected = naive_groups(rows.tolist(), gaps.tolist())
    assert 8 < len(expected) < 40
    assert {frozenset(places) for places in expected} == {
        frozenset((groups == group).nonzero().flatten().tolist()) for group in groups.unique()
    }
    near = ((rows[:, None] - rows).abs() <= gaps).all(-1)
    assert (groups[:, None] == groups)[near].all()  # so a chain of equal rows is never broken
    assert is_same(equal_rows(rows.flip(1)), groups.tolist())


def test_one_ulp_is_equal_and_the_resolution_is_the_limit():
    one = np.float32(1)
    ulp = torch.tensor([[one], [np.nextafter(one, np.float32(2))], [np.nextafter(one, np.float32(0))]])
    assert is_same(equal_rows(ulp), [0, 0, 0])
    for factor, expected in ((0.99, [0, 0]), (1.01, [0, 1])):
        rows = torch.tensor([[1.0], [1 - factor * RESOLUTION]], dtype=torch.float64)
        assert is_same(equal_rows(rows), expected)


def test_equality_of_rows_is_made_transitive():
    chain = 1 - 0.9 * RESOLUTION * torch.arange(5, dtype=torch.float64)[:, None]
    assert is_same(equal_rows(chain), [0] * 5)
    assert is_same(equal_rows(chain[[0, 4]]), [0, 1])


def test_coordinates_are_told_apart_on_their_own_scales():
    """The first two differ in the small coordinate alone, the others by less than the large one resolves."""
    rows = torch.tensor([[1e6, 1e-6], [1e6, 2e-6], [1e6 + 0.1, 2e-6]], dtype=torch.float64)
    assert is_same(equal_rows(rows), [0, 1, 1])
    assert is_same(equal_rows(torch.zeros(3, 2)), [0, 0, 0])


def test_many_images_take_seconds():
    """30,000 rows of 64 coordinates, of which a third are equal to the one before: no table of all pairs."""
    rows = torch.randn(30_000, 64, generator=generator())
    rows[2::3] = rows[1::3] * (1 + 2**-23)
    expected = torch.arange(30_000)
    expected[2::3] -= 1
    assert is_same(equal_rows(rows), expected.tolist())
    assert is_same(equal_rows(torch.ones(30_000, 64)), [0] * 30_000)


def test_tables_in_parts_are_those_in_one(monkeypatch):
    found = load(None).test
    side = Side.of(found.pixels[:, 20:22], found.classes, found.weights / 10)
    ratio = 100 * channel(0.1, 10)
    whole = joint_information(side, side, ratio)
    labels = side.places(found.pixels[:, 20:22].float())
    monkeypatch.setattr(enumeration, "MOST_CELLS", 1000)
    assert joint_information(side, side, ratio) == pytest.approx(whole, rel=1e-12)
    assert side.places(found.pixels[:, 20:22].float()).equal(labels)
