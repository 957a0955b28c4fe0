"""Encoders in packs, their cache, and runs whose encoder failed."""

import json

import numpy as np
import pytest
import torch

import mibench
from mibench import encoders, tasks
from mibench.encoders.linear import Linear
from mibench.engine.encoding import encoder_of, encoder_packs, represent, train_encoders
from mibench.errors import StoreError
from mibench.seeding import stream
from mibench.spec import EncoderSpec

TINY = "linear[dim=2,batch=8,steps=4]"
GRID = {"encoder": TINY, "n": 4, "steps": 3, "device": "cpu"}


def specs(*seeds, recipe=TINY):
    chosen, source = encoders.registry.choose(recipe), tasks.registry.choose("linear-encoder")
    return [EncoderSpec(chosen, source, seed) for seed in seeds]


def test_a_pack_trains_each_as_it_would_alone():
    together = train_encoders(specs(0, 1, 2), torch.device("cpu"))
    for spec, found in zip(specs(0, 1, 2), together, strict=True):
        (alone,) = train_encoders([spec], torch.device("cpu"))
        for key, value in alone.parameters.items():
            assert torch.allclose(value, found.parameters[key], atol=1e-5)
    assert not torch.equal(together[0].parameters["a"], together[1].parameters["a"])


def test_fewer_steps_are_where_more_steps_once_were():
    (short,) = train_encoders(specs(0), torch.device("cpu"))
    steps = []
    original = Linear.loss

    def loss(self, parameters, state, batch):
        steps.append({key: value.detach().clone() for key, value in parameters.items()})
        return original(self, parameters, state, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Linear, "loss", loss)
        train_encoders(specs(0, recipe=TINY.replace("steps=4", "steps=9")), torch.device("cpu"))
    for key, value in short.parameters.items():
        assert torch.equal(value, steps[4][key][0])


def test_a_diverging_run_leaves_the_others_alone(monkeypatch):
    (alone,) = train_encoders(specs(1), torch.device("cpu"))
    original = Linear.loss

    def loss(self, parameters, state, batch):
        found = original(self, parameters, state, batch)
        return torch.cat([found[:1] * torch.nan, found[1:]]) if len(found) == 2 else found

    monkeypatch.setattr(Linear, "loss", loss)
    diverged, other = train_encoders(specs(0, 1), torch.device("cpu"))
    assert diverged.message == "the encoder diverged: its loss is not finite at step 1"
    assert other.message == ""
    assert all(torch.allclose(other.parameters[key], alone.parameters[key], atol=1e-6) for key in "ab")
    assert represent(tasks.registry.choose("linear-encoder"), diverged).pair is None


def test_an_error_in_a_pack_is_that_of_one(monkeypatch):
    original = Linear.initialise

    def initialise(self, source, generator):
        if generator.initial_seed() == bad:
            raise RuntimeError("no memory")
        return original(self, source, generator)

    (spec, other) = specs(0, 1)
    bad = stream("encoder weights", spec.task.identity, spec.seed).initial_seed()
    monkeypatch.setattr(Linear, "initialise", initialise)
    failed, fine = train_encoders([spec, other], torch.device("cpu"))
    assert failed.message == "the encoder failed: RuntimeError: no memory"
    assert fine.message == ""


def test_one_encoder_serves_every_estimator_n_and_horizon():
    planned = mibench.plan("infonce,nwj", "cpc", n=[4, 8], seeds=2, device="cpu")
    assert len(planned.specs) == 2 * 3 * 2 * 2
    (pack,) = encoder_packs(planned.specs)
    assert [spec.seed for spec in pack] == [0, 1]
    assert encoder_of(mibench.plan("infonce", "gaussian", device="cpu").specs[0]) is None


def test_an_encoder_is_trained_once_and_then_read_from_the_store(tmp_path, monkeypatch):
    first = mibench.run("infonce", "linear-encoder", seeds=2, out=tmp_path, **GRID)
    assert len(list((tmp_path / "encoders").iterdir())) == 2
    monkeypatch.setattr(Linear, "loss", lambda *_: pytest.fail("trained again"))
    again = mibench.run("nwj", "linear-encoder", seeds=2, out=tmp_path, **GRID)
    assert again["true_mi_low_nats"].tolist() == first["true_mi_low_nats"].tolist()
    assert (again["status"] == "ok").all()


def test_a_cache_that_cannot_be_used_is_an_error_that_says_what_to_do(tmp_path):
    mibench.run("infonce", "linear-encoder", seeds=1, out=tmp_path, **GRID)
    (path,) = (tmp_path / "encoders").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with pytest.raises(StoreError, match="damaged") as found:
        mibench.run("nwj", "linear-encoder", seeds=1, out=tmp_path, **GRID)
    assert "Delete" in found.value.how
    path.write_bytes(whole)
    with np.load(path) as file:
        arrays = dict(file)
    about = json.loads(str(arrays.pop("about")))
    np.savez(path, about=np.array(json.dumps(about | {"schema": 99, "version": "9.9"})), **arrays)
    with pytest.raises(StoreError, match=r"another version of mibench \(9.9\)"):
        mibench.run("nwj", "linear-encoder", seeds=1, out=tmp_path, **GRID)


def test_runs_of_a_failed_encoder_are_failed_records_and_no_estimates(tmp_path, monkeypatch):
    original = Linear.loss

    def loss(self, parameters, state, batch):
        return original(self, parameters, state, batch) * torch.nan

    with monkeypatch.context() as patch:
        patch.setattr(Linear, "loss", loss)
        frame = mibench.run("infonce,nwj", "linear-encoder", seeds=1, out=tmp_path, **GRID)
    assert frame["status"].tolist() == ["failed", "failed"]
    assert frame["message"].str.contains("the encoder diverged").all()
    assert frame["estimate_nats"].isna().all()
    assert frame["true_mi_low_nats"].isna().all()
    assert not (tmp_path / "encoders").exists()  # what failed is tried again
    again = mibench.run("infonce,nwj", "linear-encoder", seeds=1, out=tmp_path, **GRID)
    assert again["status"].tolist() == ["ok", "ok"]


def test_a_collapsed_encoder_is_said_to_have_collapsed(monkeypatch):
    (made,) = train_encoders(specs(0), torch.device("cpu"))
    made.parameters["a"].zero_()
    found = represent(tasks.registry.choose("linear-encoder"), made)
    assert found.pair is None
    assert "the truth of the representation cannot be enclosed" in found.message
    (random,) = [_random_encoder()]
    random.parameters["encoder.weight"].zero_()
    random.parameters["encoder.bias"].fill_(1.0)
    found = represent(tasks.registry.choose("digits"), random)
    assert found.pair is None
    assert found.message.startswith("the encoder collapsed: all inputs have nearly one representation")


@pytest.mark.parametrize(
    ("eps", "precision", "status", "message"),
    [
        (1e-3, "float32", "ok", ""),
        (1e-6, "float32", "diverged", "beyond float32, which does not resolve their information"),
        (1e-6, "float64", "ok", ""),
        (0.0, "float64", "failed", "the truth of the representation cannot be enclosed: its coordinates are"),
    ],
)
def test_nearly_dependent_coordinates_are_read_where_they_are_resolved(
    eps, precision, status, message, tmp_path, monkeypatch
):
    original = Linear.initialise

    def initialise(self, source, generator):
        found = original(self, source, generator)
        for key in "ab":
            found[key][:, 1] = found[key][:, 0] + eps * found[key][:, 1]
        return found

    monkeypatch.setattr(Linear, "initialise", initialise)
    grid = GRID | {"encoder": "linear[dim=2,steps=0]", "precision": precision, "out": tmp_path}
    task = "linear-encoder[dim=2,rank=2]"
    (record,) = mibench.run("infonce", task, seeds=1, **grid).to_dict("records")
    assert record["status"] == status
    assert message in record["message"]


@pytest.mark.parametrize("recipe", ["linear[objective=nwj,lr=5,steps=1]", "linear[lr=1e30,steps=1]"])
def test_an_encoder_that_the_last_step_broke_is_a_failed_record_and_is_not_kept(recipe, tmp_path):
    grid = GRID | {"encoder": [recipe, TINY]}
    frame = mibench.run("infonce", "linear-encoder", seeds=2, out=tmp_path, **grid)
    broken = frame[frame["encoder"].str.contains("steps=1]", regex=False)]
    assert (broken["status"] == "failed").all()
    assert broken["message"].str.startswith("the encoder diverged").all()
    assert (frame.drop(broken.index)["status"] == "ok").all()


def test_an_image_encoder_that_diverges_says_so_in_one_line():
    (made,) = train_encoders(
        [
            EncoderSpec(
                encoders.registry.choose("simclr[steps=1,lr=1e30,batch=16]"),
                tasks.registry.choose("digits"),
                0,
            )
        ],
        torch.device("cpu"),
    )
    found = represent(tasks.registry.choose("digits"), made)
    assert found.pair is None
    assert found.message.startswith("the encoder diverged: ")
    assert "\n" not in found.message


def encoder_of_one(made):
    """Return the two sides of a trained encoder as functions of rows."""
    recipe = encoders.registry.make(made.spec.encoder)

    def side(encode):
        return lambda rows: encode(
            {key: value[None].to(rows) for key, value in made.parameters.items()}, rows[None]
        )[0]

    return side(recipe.encode_x), side(recipe.encode_y)


def scale_between(raw, scaled):
    """Return the offset and the slope of each coordinate, where one is a linear function of the other."""
    slope = scaled.std(0) / raw.std(0)
    offset = scaled.mean(0) - slope * raw.mean(0)
    assert torch.allclose(scaled, offset + slope * raw, atol=1e-6)
    return offset, slope


def test_representations_are_of_the_same_data_whatever_the_encoder():
    task = tasks.get("linear-encoder")
    x, _ = task.sample(50, torch.Generator().manual_seed(3), torch.float64)
    for dim in (2, 3):
        (made,) = train_encoders(specs(0, recipe=f"linear[dim={dim},steps=2]"), torch.device("cpu"))
        z, _ = represent(made.spec.task, made).pair.draw(50, torch.Generator().manual_seed(3), torch.float64)
        assert z.shape == (50, dim)
        scale_between(x @ made.parameters["a"].double(), z)


def test_coordinates_of_representations_are_scaled_and_the_ratio_stays(generator):
    task = tasks.get("linear-encoder")
    (made,) = train_encoders(specs(0), torch.device("cpu"))
    made.parameters["a"].mul_(100.0)
    pair = represent(made.spec.task, made).pair
    z, other = pair.draw(2000, torch.Generator().manual_seed(1), torch.float64)
    for side in (z, other):
        assert torch.allclose(side.mean(0), torch.zeros(2, dtype=torch.float64), atol=0.15)
        assert torch.allclose(side.std(0), torch.ones(2, dtype=torch.float64), atol=0.15)
    unscaled = task.represented(*encoder_of_one(made), generator)
    raw, raw_other = unscaled.draw(2000, torch.Generator().manual_seed(1), torch.float64)
    _, slope = scale_between(raw, z)
    assert slope.max() < 0.1
    ratio = pair.log_ratio(z, other)
    assert torch.allclose(ratio, unscaled.log_ratio(raw, raw_other))
    assert ratio.diagonal().mean().item() == pytest.approx(pair.truth.value, abs=0.05)
    assert pair.training is None  # which is drawn afresh, so that training needs no other


def test_training_and_test_images_are_scaled_alike(generator):
    task, made = tasks.get("digits"), _random_encoder()
    unscaled, pair = task.represented(*encoder_of_one(made), generator), represent(made.spec.task, made).pair
    scales = []
    for raw, scaled in ((unscaled, pair), (unscaled.training, pair.training)):
        sides = (one.draw(500, torch.Generator().manual_seed(2), torch.float64)[0] for one in (raw, scaled))
        scales.append(scale_between(*sides))
    for test, train in zip(*scales, strict=True):
        assert torch.allclose(test, train, atol=1e-6)


def _random_encoder():
    chosen, source = encoders.registry.choose("random"), tasks.registry.choose("digits")
    (made,) = train_encoders([EncoderSpec(chosen, source, 0)], torch.device("cpu"))
    return made
