"""Digits: the truth of the channel, parts that never mix, what a probe can tell, bad images."""

import hashlib
import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import mibench
from mibench import encoders, tasks
from mibench.batch import Dims
from mibench.engine.data import chunks
from mibench.engine.encoding import encoder_of
from mibench.spec import digest
from mibench.tasks.digits import channel, channel_information, flip_of
from mibench.tasks.images import load, parted
from mibench.tasks.probe import confusion, predictions, table_information


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def brute_force(p, classes):
    """Return I(C;C') by the sum over the whole table, and p(c, c') from its words."""
    total = 0.0
    for c, other in itertools.product(range(classes), repeat=2):
        joint = (1 - p if c == other else p / (classes - 1)) / classes
        if joint > 0:
            total += joint * math.log(joint * classes * classes)
    return total


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("p", [0.0, 1e-6, 0.1, 0.37])
def test_the_channels_information_is_that_of_its_table(p, classes):
    assert channel_information(p, classes) == pytest.approx(brute_force(p, classes), abs=1e-12)
    assert table_information(channel(p, classes)) == pytest.approx(brute_force(p, classes), abs=1e-12)
    assert channel(p, classes).sum().item() == pytest.approx(1)


@pytest.mark.parametrize("information", [1e-8, 0.1, 1.0, 2.3, math.log(10) - 1e-9])
def test_p_is_solved_for_the_information(information):
    assert channel_information(flip_of(information, 10), 10) == pytest.approx(
        information, rel=1e-12, abs=1e-14
    )


def test_the_ends_of_the_channel():
    assert flip_of(math.log(10), 10) == 0.0
    assert flip_of(0.0, 10) == pytest.approx(0.9)
    assert channel_information(0.9, 10) == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize(
    ("options", "tiles"), [({}, 1), ({"m": 3}, 3), ({"mi": 4.0}, 2), ({"p": 0.3, "m": 2}, 2)]
)
def test_truth_of_the_images_is_the_channels(options, tiles):
    task = tasks.get("digits", **options)
    assert task.tiles == tiles
    assert task.true_mi_nats == pytest.approx(tiles * brute_force(task.flip, 10), abs=1e-12)
    assert task.pair().truth.value == task.true_mi_nats
    assert task.dim_x == task.dim_y == tiles * 64
    if "mi" in options:
        assert task.true_mi_nats == options["mi"]


def test_images_are_as_few_as_the_information_needs():
    log10 = math.log(10)
    found = [tasks.get("digits", mi=mi).tiles for mi in (0.1, log10, log10 + 1e-6, 3 * log10, 7.0)]
    assert found == [1, 1, 2, 3, 4]


def naive_ratio(task, x, y):
    """Look every tile up in the whole table of images, by eye as it were."""
    found = load(None)
    rows = torch.cat([found.train.pixels, found.test.pixels])
    labels = torch.cat([found.train.classes, found.test.classes]).tolist()

    def classes(row):
        return [labels[(rows - tile).abs().sum(1).argmin().item()] for tile in row.double().view(-1, 64)]

    total = 0.0
    for c, other in zip(classes(x), classes(y), strict=True):
        p = 1 - task.flip if c == other else task.flip / 9
        total += math.log(10 * p) if p else -math.inf
    return total


@pytest.mark.parametrize("options", [{"m": 1, "p": 0.0}, {"m": 2, "p": 0.2}, {"mi": 4.0}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_ratio_is_that_of_the_labels(options, dtype):
    task = tasks.get("digits", **options)
    pair = task.pair()
    for part in (pair, pair.training):
        x, y = part.draw(6, generator(), dtype)
        ratio = part.log_ratio(x, y)
        assert ratio.dtype == torch.float64
        for i, j in itertools.product(range(6), repeat=2):
            assert ratio[i, j].item() == pytest.approx(naive_ratio(task, x[i], y[j]), abs=1e-12)
    stacked = task.log_density_ratio(torch.stack([x, x]), torch.stack([y, x]))
    assert torch.equal(stacked[0], task.log_density_ratio(x, y))


def test_without_a_flip_pairs_share_their_class_always():
    task = tasks.get("digits", p=0)
    x, y = task.sample(500, generator())
    ratio = task.log_density_ratio(x, y)
    assert torch.allclose(ratio.diagonal(), torch.tensor(math.log(10), dtype=torch.float64))
    assert set(ratio.flatten().tolist()) == {ratio[0, 0].item(), -math.inf}


@pytest.mark.parametrize("p", [0.0, 0.1, 0.6])
def test_mean_log_ratio_is_the_information_and_classes_are_even(p):
    task = tasks.get("digits", p=p, m=1)
    x, y = task.sample(20_000, generator())
    found = load(None)
    c, other = found.classes_of(x), found.classes_of(y)
    joint = torch.bincount(10 * c + other, minlength=100).view(10, 10) / 20_000
    expected = channel(p, 10)
    assert (joint - expected).abs().max().item() < 5 * math.sqrt(0.1 / 20_000)


def rows_of(pixels):
    return {row.numpy().tobytes() for row in pixels}


def test_train_and_test_images_never_mix():
    found = load(None)
    train, test = rows_of(found.train.pixels), rows_of(found.test.pixels)
    assert not train & test
    assert len(train) + len(test) == 1797
    task = tasks.get("digits", m=2)
    pixels = task.pair()
    encoded = task.represented(lambda rows: rows, lambda rows: rows, generator())
    for pair in (pixels, encoded):
        for part, own in ((pair, test), (pair.for_training, train)):
            drawn = torch.cat([side.view(-1, 64) for side in part.draw(4000, generator(), torch.float64)])
            assert rows_of(drawn) <= own
        assert pair.training.training is None
        assert pair.training.for_training is pair.training
    for training, own in ((False, test), (True, train)):
        source = task.encoder_source(training)
        assert rows_of(source.images(400, generator()).double()) <= own
        assert rows_of(source.labelled(400, generator(1))[0].double()) <= own


def test_each_class_is_parted_alike_and_the_split_is_fixed():
    found = load(None)
    counts = found.train.counts + found.test.counts
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert found.train.counts.tolist() == [round(0.6 * count) for count in counts.tolist()]
    assert found.train.pixels.max().item() == 1
    digest = hashlib.sha256(found.test.pixels.float().numpy().tobytes()).hexdigest()
    assert digest.startswith("1277b22d9e323b7c")
    assert found.train.pixels.float().double().equal(found.train.pixels)


def test_representations_are_of_the_same_pairs():
    task = tasks.get("digits", m=2)
    x, y = task.sample(50, generator(3), torch.float64)
    pair = task.represented(lambda rows: 2 * rows[:, :10], lambda rows: rows[:, 20:30] - 1, generator())
    z, other = pair.draw(50, generator(3), torch.float64)
    assert torch.equal(z, 2 * x.view(50, 2, 64)[:, :, :10].flatten(1))
    assert torch.equal(other, y.view(50, 2, 64)[:, :, 20:30].flatten(1) - 1)
    assert pair.dims == Dims(20, 20)
    assert (pair.log_conditional, pair.entropy_y) == (None, None)


def test_what_the_probe_tells_is_the_information_of_predicted_classes_pair_by_pair():
    """Over all pairs of test images, each weighed as the task draws it, counted one by one."""
    task = tasks.get("digits", m=3, p=0.2)
    pair = task.represented(lambda rows: rows, lambda rows: rows, generator())
    found = load(None)
    guess = predictions(found.train.pixels, found.train.classes, found.test.pixels)
    counts, classes = found.test.counts, found.test.classes
    joint = np.zeros((10, 10))
    for c, other in itertools.product(range(10), repeat=2):
        weight = (0.8 if c == other else 0.2 / 9) / 10 / (counts[c] * counts[other]).item()
        for a in guess[classes == c].tolist():
            for b in guess[classes == other].tolist():
                joint[a, b] += weight
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    kept = joint > 0
    expected = 3 * (joint[kept] * np.log(joint[kept] / product[kept])).sum()
    assert pair.facts["probe_nats"] == pytest.approx(expected, rel=1e-9)
    assert pair.facts["probe_nats"] < pair.truth.value == task.true_mi_nats
    balanced = confusion(guess, classes, 10).diagonal().mean().item()
    assert pair.facts["probe_accuracy"] == pytest.approx(balanced)
    assert 0.9 < balanced < 1


@pytest.mark.parametrize("p", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("encode", [lambda rows: rows, torch.zeros_like, lambda rows: rows[:, 20:22]])
def test_neither_a_probe_nor_a_representation_exceeds_the_images(p, encode):
    task = tasks.get("digits", m=2, p=p)
    pair = task.represented(encode, encode, generator())
    assert pair.truth.value is not None
    assert 0 <= pair.facts["probe_nats"] <= pair.truth.value + 1e-12
    assert pair.truth.value <= task.true_mi_nats


def test_a_constant_has_no_information_and_no_accuracy_but_chances():
    pair = tasks.get("digits").represented(torch.ones_like, torch.ones_like, generator())
    assert pair.truth.value == pytest.approx(0, abs=1e-12)
    assert pair.facts["probe_nats"] == pytest.approx(0, abs=1e-12)
    assert pair.facts["probe_accuracy"] == pytest.approx(0.1)
    assert pair.facts["alignment"] == pytest.approx(0, abs=1e-9)
    assert pair.facts["uniformity"] == pytest.approx(0, abs=1e-9)
    x, y = pair.draw(5, generator())
    assert pair.log_ratio(x, y).abs().max().item() < 1e-12


# ---- Own images


def own(path, counts=(30, 12, 5), shape=(6, 5), **arrays):
    """Write images of classes 3, 4, 5, ... of unequal counts, and return the path."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([[3 + place] * count for place, count in enumerate(counts)])
    images = rng.random((len(labels), *shape)) * 200
    found = {"images": images, "labels": labels} | arrays
    np.savez(path, **{key: value for key, value in found.items() if value is not None})
    return str(path)


def test_own_images_of_unequal_counts(tmp_path):
    path = own(tmp_path / "own.npz")
    task = tasks.get("digits", data=path)
    assert (task.classes, task.shape, task.dim_x) == (3, (6, 5), 30)
    assert task.true_mi_nats == pytest.approx(brute_force(0.1, 3))
    x, y = task.pair().training.draw(6000, generator())
    found = load(path)
    assert found.train.counts.tolist() == [18, 7, 3]
    assert found.test.counts.tolist() == [12, 5, 2]
    shares = torch.bincount(found.classes_of(x)) / 6000  # evenly, whatever the counts
    assert (shares - 1 / 3).abs().max().item() < 0.03
    assert found.train.pixels.max().item() == 1
    assert task.log_density_ratio(x, y).diagonal().isfinite().all()


def spelled(path):
    """Return ways to write the path of a file in the working directory, and that of a copy elsewhere."""
    copy = path.parent / "copy"
    copy.mkdir()
    (copy / "another name, [1].npz").write_bytes(path.read_bytes())
    return [path.name, f"./{path.name}", str(path), f"copy/../{path.name}", f"{copy}/another name, [1].npz"]


def test_the_contents_of_a_file_are_its_identity_whatever_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path(own(tmp_path / "own.npz"))
    paths = spelled(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    grid = {"n": [4, 8], "seeds": 2, "device": "cpu"}
    plans = [mibench.plan("infonce", "digits", data=name, **grid) for name in paths]
    assert len({plan.specs for plan in plans}) == 1
    assert len(mibench.plan("infonce", "digits", data=paths, **grid).specs) == 4
    for plan, name in zip(plans, paths, strict=True):
        spec = plan.specs[0]
        assert spec.key == plans[0].specs[0].key
        assert spec.task.identity["options"] == {
            "data": None,
            "m": None,
            "mi": None,
            "p": None,
            "sha256": sha256,
        }
        assert spec.task.label == f"digits[sha256={sha256[:12]}]"
        made = tasks.registry.make(spec.task)
        assert Path(made.data) == Path(name)
        assert tasks.get(spec.task.label, data=made.data) == made
        assert encoder_of(replace(spec, encoder=encoders.registry.choose("random"))).task == spec.task
    feeds = [
        chunks(tasks.get("digits", data=name).pair(), plan.specs[0], "train", 4, 1, torch.float32)
        for plan, name in zip(plans, paths, strict=True)
    ]
    first = next(feeds[0])
    assert all(torch.equal(next(feed)[0], first[0]) for feed in feeds[1:])


def test_a_store_resumes_whatever_the_path_and_does_not_hold_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = spelled(Path(own(tmp_path / "own.npz")))
    grid = {
        "encoder": ["none", "random"],
        "n": 4,
        "steps": 2,
        "seeds": 1,
        "critic": "bilinear",
        "device": "cpu",
    }
    frames = [mibench.run("infonce", "digits", data=name, out="out", **grid) for name in paths]
    assert all(frame.equals(frames[0]) for frame in frames[1:])
    assert (frames[0]["status"] == "ok").all()
    written = b"".join(file.read_bytes() for file in Path("out").rglob("*") if file.is_file())
    assert b"own.npz" not in written
    assert b"another name" not in written


def test_another_protocol_and_an_encoder_find_the_file_too(tmp_path):
    path = own(tmp_path / "own.npz")
    stairs = {"protocol": "staircase", "mi": [0.5, 1], "steps": 8, "critic": "bilinear"}
    for options in (stairs, {"samples": 50, "steps": 4, "critic": "bilinear"}):
        frame = mibench.run("infonce", "digits[m=2]", data=path, n=4, seeds=1, device="cpu", **options)
        assert (frame["status"] == "ok").all()


def test_a_file_that_changes_is_another_task(tmp_path):
    path = own(tmp_path / "own.npz")
    choice = tasks.registry.choose("digits", data=path)
    made = tasks.registry.make(choice)
    before = made.sample(5, generator())
    assert made == tasks.get("digits", data=path)
    own(tmp_path / "own.npz", counts=(30, 12, 6))
    other = tasks.registry.choose("digits", data=path)
    assert other != choice
    assert other.label != choice.label
    assert dict(other.options)["sha256"] != dict(choice.options)["sha256"]
    with pytest.raises(mibench.UsageError, match="changed"):
        tasks.registry.make(choice)
    assert all(map(torch.equal, made.sample(5, generator()), before))  # what was made of it stays


def test_the_identity_of_the_images_of_scikit_learn_is_pinned():
    choice = tasks.registry.choose("digits")
    assert digest(choice.identity) == "f5d10fc1bd91d68478b3a2d7bd7683cdde02160d537d64fdc81de63d486d1154"
    assert choice.label == "digits"


def test_identical_images_count_once():
    rng = np.random.default_rng(0)
    images = rng.random((20, 4, 4))
    labels = np.arange(20) % 2
    found = parted(np.concatenate([images, images]), np.concatenate([labels, labels]))
    assert (found.train.counts + found.test.counts).tolist() == [10, 10]
    assert not rows_of(found.train.pixels) & rows_of(found.test.pixels)


def one_ulp_apart(images):
    return np.nextafter(images.astype(np.float32), np.float32(np.inf))


def test_images_one_ulp_apart_count_once_and_keep_their_class():
    rng = np.random.default_rng(0)
    images, labels = rng.random((20, 4, 4)), np.arange(20) % 2
    once = parted(images, labels)
    twice = parted(np.concatenate([images, one_ulp_apart(images)]), np.concatenate([labels, labels]))
    assert twice.train.pixels.equal(once.train.pixels)
    assert twice.test.pixels.equal(once.test.pixels)


def test_images_one_ulp_apart_of_two_classes_are_an_error():
    rng = np.random.default_rng(0)
    images, labels = rng.random((20, 4, 4)), np.arange(20) % 2
    images = np.concatenate([images, one_ulp_apart(images[3:4])])
    with pytest.raises(mibench.UsageError, match="Images 3 and 20 are identical, with labels 1 and 0"):
        parted(images, np.append(labels, 0))


def test_images_that_differ_in_one_faint_pixel_keep_their_class():
    """The pixel's largest value is a millionth of the others', and the images differ by a tenth of that."""
    rng = np.random.default_rng(0)
    images = np.repeat(rng.random((10, 4, 4)), 2, axis=0)
    images[:, 0, 0] = 1e-6 * np.tile([0.9, 1.0], 10)
    labels = np.arange(20) % 2
    found = parted(images, labels)
    for part in (found.train, found.test):
        assert found.classes_of(part.pixels.float()).equal(part.classes)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": None}, "no array 'images'"),
        ({"labels": None}, "no array 'labels'"),
        ({"labels": np.r_[np.arange(46) % 2.0, np.nan]}, "1 of 47 labels are missing"),
        ({"labels": np.r_[np.arange(45) % 2, -1, -1]}, "2 of 47 labels are missing"),
        ({"labels": np.r_[np.arange(46) % 2, 0.5]}, "1 of 47 labels are missing"),
        ({"labels": np.array(["a"] * 47)}, "labels are of type"),
        ({"labels": np.arange(46) % 2}, "47 images, and labels have shape"),
        ({"labels": np.zeros(47, dtype=int)}, "1 class"),
        ({"images": np.random.default_rng(0).random((47, 36))}, "shape"),
        ({"images": np.random.default_rng(0).random((47, 6, 3))}, "at least 4"),
        ({"images": np.full((47, 6, 6), np.nan)}, "finite"),
        ({"images": np.full((47, 6, 6), "a")}, "finite"),
        ({"images": np.ones((47, 6, 6))}, "identical, with labels 3 and 4"),
    ],
)
def test_bad_images(tmp_path, arrays, words):
    with pytest.raises(mibench.UsageError, match=words) as error:
        tasks.get("digits", data=own(tmp_path / "bad.npz", **arrays))
    assert error.value.how


def test_a_class_of_too_few_images_is_named(tmp_path):
    with pytest.raises(mibench.UsageError, match="Class 5 has 3 images"):
        tasks.get("digits", data=own(tmp_path / "few.npz", counts=(30, 12, 3)))


def test_files_that_are_none(tmp_path):
    with pytest.raises(mibench.UsageError, match="No such file"):
        tasks.get("digits", data=str(tmp_path / "missing.npz"))
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(mibench.UsageError, match="cannot be read"):
        tasks.get("digits", data=str(tmp_path / "text.npz"))
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(mibench.UsageError, match="a single array"):
        tasks.get("digits", data=str(tmp_path / "single.npy"))
    with pytest.raises(mibench.UsageError, match="cannot be read"):
        tasks.get("digits", data=str(tmp_path))
    np.savez(tmp_path / "objects.npz", images=np.zeros((5, 4, 4)), labels=np.array([None] * 5))
    with pytest.raises(mibench.UsageError, match="cannot be read"):
        tasks.get("digits", data=str(tmp_path / "objects.npz"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mi": 1.0, "p": 0.1}, "together"),
        ({"mi": 3.0, "m": 1}, "Give m=2"),
        ({"mi": 20.0, "m": 3}, "Give m=9"),
        ({"mi": -1.0}, "mi"),
        ({"mi": math.inf}, "mi"),
        ({"p": -0.1}, "p of"),
        ({"p": 0.95}, "p of"),
        ({"m": 0}, "m of"),
        ({"sha256": "0" * 64}, "not given"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(mibench.UsageError, match=words):
        tasks.get("digits", **options)


def test_a_digest_that_is_not_the_files(tmp_path):
    path = own(tmp_path / "own.npz")
    sha256 = tasks.get("digits", data=path).sha256
    assert tasks.get("digits", data=path, sha256=sha256[:12]).sha256 == sha256
    for other in (sha256[:11], "0" * 64, sha256[::-1]):
        with pytest.raises(mibench.UsageError, match="another one"):
            tasks.get("digits", data=path, sha256=other)


def test_batches_of_more_than_there_are_images():
    tasks.get("digits").check(719)
    with pytest.raises(mibench.UsageError, match="m=2"):
        tasks.get("digits").check(720)
    tasks.get("digits", m=2).check(8192)


def test_where_the_exact_critic_reads_infinity_the_estimate_stays():
    frame = mibench.run(
        "mine,nwj,infonce", "digits[p=0]", n=4, steps=20, seeds=2, critic="separable[hidden=16]", device="cpu"
    )
    assert (frame["status"] == "ok").all()
    assert frame["oracle_nats"][frame["estimator"] == "mine"].isna().any()
    assert frame["oracle_nats"][frame["estimator"] == "infonce"].notna().all()
