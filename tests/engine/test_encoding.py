"""Encoders in packs, their cache, and runs whose encoder failed."""

import json

import numpy as np
import pytest
import torch

import mibench
from mibench import encoders, tasks
from mibench.api import representing
from mibench.encoders.linear import Linear
from mibench.engine import encoding
from mibench.engine.encoding import encoder_of, encoder_packs, represent, train_encoders
from mibench.errors import StoreError
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

    def loss(self, trained, carried, batch):
        steps.append({key: value.detach().clone() for key, value in trained.items()})
        return original(self, trained, carried, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Linear, "loss", loss)
        train_encoders(specs(0, recipe=TINY.replace("steps=4", "steps=9")), torch.device("cpu"))
    for key, value in short.parameters.items():
        assert torch.equal(value, steps[4][key][0])


def test_a_diverging_run_leaves_its_mates_alone(monkeypatch):
    (alone,) = train_encoders(specs(1), torch.device("cpu"))
    original = Linear.loss

    def loss(self, trained, carried, batch):
        found = original(self, trained, carried, batch)
        return torch.cat([found[:1] * torch.nan, found[1:]]) if len(found) == 2 else found

    monkeypatch.setattr(Linear, "loss", loss)
    diverged, sound = train_encoders(specs(0, 1), torch.device("cpu"))
    assert diverged.message == "the encoder diverged: its loss is not finite at step 1"
    assert sound.message == ""
    assert all(torch.allclose(sound.parameters[key], alone.parameters[key], atol=1e-6) for key in "ab")
    assert represent(tasks.get("linear-encoder"), diverged).task is None


def test_an_error_in_a_pack_is_that_of_one(monkeypatch):
    original = Linear.initialise

    def initialise(self, task, generator):
        if generator.initial_seed() == bad:
            raise RuntimeError("no memory")
        return original(self, task, generator)

    (spec, other) = specs(0, 1)
    bad = encoding.stream("encoder weights", *encoding._name(spec)).initial_seed()
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
    monkeypatch.setattr(representing, "train_encoders", lambda *_: pytest.fail("trained again"))
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

    def loss(self, trained, carried, batch):
        return original(self, trained, carried, batch) * torch.nan

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
    pair = represent(tasks.get("linear-encoder"), made)
    assert pair.task is None
    assert "the truth of the representation cannot be enclosed" in pair.message
    (random,) = [_random_encoder()]
    random.parameters["encoder.weight"].zero_()
    random.parameters["encoder.bias"].fill_(1.0)
    pair = represent(tasks.get("digits"), random)
    assert pair.task is None
    assert pair.message.startswith("the encoder collapsed: all inputs have nearly one representation")


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
    pair = represent(tasks.get("digits"), made)
    assert pair.task is None
    assert pair.message.startswith("the encoder diverged: ")
    assert "\n" not in pair.message


def test_representations_meet_the_same_data_whatever_the_encoder():
    task = tasks.get("linear-encoder")
    (one,), (other,) = (
        train_encoders(specs(0, recipe=f"linear[dim={dim},steps=2]"), torch.device("cpu")) for dim in (2, 3)
    )
    x, _ = task.sample(5, torch.Generator().manual_seed(3))
    for made in (one, other):
        pair = represent(task, made).task
        z, _ = pair.sample(5, torch.Generator().manual_seed(3))
        assert torch.allclose(pair.x.back(z), x @ made.parameters["a"], atol=1e-5)


def test_coordinates_of_representations_are_scaled_and_the_ratio_stays(generator):
    (made,) = train_encoders(specs(0), torch.device("cpu"))
    made.parameters["a"].mul_(100.0)
    pair = represent(tasks.get("linear-encoder"), made).task
    z, other = pair.sample(2000, generator, torch.float64)
    for side in (z, other):
        assert torch.allclose(side.mean(0), torch.zeros(2, dtype=torch.float64), atol=0.15)
        assert torch.allclose(side.std(0), torch.ones(2, dtype=torch.float64), atol=0.15)
    unscaled = pair.task.log_density_ratio(pair.x.back(z), pair.y.back(other))
    assert torch.allclose(pair.log_density_ratio(z, other), unscaled)
    assert pair.knows_ratio
    assert pair.log_density_ratio(z, other).diagonal().mean().item() == pytest.approx(
        pair.true_mi_nats, abs=0.05
    )
    assert pair.training is pair
    images = represent(tasks.get("digits"), _random_encoder()).task
    assert images.training.task is images.task.training
    assert images.training.x is images.x


def _random_encoder():
    chosen, source = encoders.registry.choose("random"), tasks.registry.choose("digits")
    (made,) = train_encoders([EncoderSpec(chosen, source, 0)], torch.device("cpu"))
    return made
