"""The identity of a run: it contains every field, and its key is the same on every machine."""

import dataclasses
import subprocess
import sys

import pytest

from mibench import encoders, estimators, models, tasks
from mibench.engine.plan import training_key
from mibench.engine.protocols import registry as protocols
from mibench.spec import KEY_VERSION, Fit, RunSpec, grid

FIT = Fit(models.registry.choose("separable"), 1000, 2e-3, "one-cycle", "float32")


def spec(**changes):
    of_fit = {
        field.name: changes.pop(field.name) for field in dataclasses.fields(Fit) if field.name in changes
    }
    values = dict(  # noqa: C408 - the fields as they are written
        estimator=estimators.registry.choose("nce[k=5]"),
        task=tasks.registry.choose("gaussian", dim=20, mi=4.0),
        encoder=None,
        protocol=protocols.choose("stream"),
        n=64,
        seed=0,
        fit=dataclasses.replace(FIT, **of_fit),
    )
    return RunSpec(**values | changes)


def test_key_is_pinned():
    """Never change this key: raise KEY_VERSION and pin a new one."""
    assert KEY_VERSION == 2
    assert spec().key == "3c5ea481a59349c81c1b872dc487d9848b1419141be1743f09c4364d4ba30c3e"


PUBLISHED = {  # of seed 0 at I = 2, as results/ has them
    "infonce": "cbb4519938cdf2cf18d58fbbf1a6bed82be77a0afc74e483683d48c0ea36eeac",
    "nce": "60681277d397e8638e380ee78337370bdd4dd0474d5e6c04b66b65527f810660",
    "mine": "38b6c274043ef9976916c7f3c6798c276028adb5161a9c3762eefa3eb6120aa6",
    "nwj": "12f5053461c9a5b212fc1c5163349f8aca287de70cfdf8b57f94bf33d01dd065",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_keys_are_found_again(name):
    """Estimators that share their training with no other have one key for both."""
    task = tasks.registry.choose("gaussian", dim=20, mi=2.0)
    run = spec(estimator=estimators.registry.choose(name), task=task)
    assert run.key == training_key(run) == PUBLISHED[name]


CLIMBED = {  # of the published staircase at I = 2, seed 0
    "smile[tau=1]": "cd1b31e5c9d38fda6e6da17e42afbe71cbcdccdcce1d7f22fa3e630d171ba454",
    "smile": "665b4d1f3e098ef4ab0b7e8231da57936e8e4c066e36dd5a5600d184cf1aceb5",
    "smile[tau=none]": "2603f7096ed95983c4aaeb8e9f57156a1b1c4efa6b14bf4f1eb61245f393b66d",
    "js": None,
}


@pytest.mark.parametrize("name", CLIMBED)
def test_training_keys_are_pinned(name):
    """JS and every SMILE are read from one training, of all levels.

    Their records are older than the objective's version in the key: there it is 93fa54f3... The keys of the
    runs themselves are as they were.
    """
    for mi in (2.0, 4.0):
        run = spec(
            estimator=estimators.registry.choose(name),
            task=tasks.registry.choose("gaussian", dim=20, mi=mi),
            protocol=protocols.choose("staircase"),
            model=models.registry.choose("separable[layers=3]"),
            steps=20_000,
            lr=5e-4,
            schedule="constant",
        )
        assert training_key(run) == "619da178d534443600e65334e2bd8de09af9c18de5d107c921d40d4df2ee92db"
        if mi == 2.0 and CLIMBED[name]:
            assert run.key == CLIMBED[name]


def test_key_is_the_same_in_another_process():
    code = "import sys; sys.path.insert(0, 'tests'); from test_spec import spec; print(spec().key)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == spec().key


CHANGES = {
    "estimator": estimators.registry.choose("nce[k=6]"),
    "task": tasks.registry.choose("cubic", dim=20, mi=4.0),
    "encoder": encoders.registry.choose("linear"),
    "model": models.registry.choose("joint"),
    "protocol": protocols.choose("samples"),
    "n": 65,
    "steps": 1001,
    "lr": 1e-3,
    "train_n": 32,
    "anchors": 16,
    "schedule": "constant",
    "precision": "float64",
    "seed": 1,
}


def test_every_field_is_classified():
    """A new field must be added to the identity, and here."""
    fields = {field.name for kind in (RunSpec, Fit) for field in dataclasses.fields(kind)} - {"fit"}
    assert set(CHANGES) == fields
    known = fields - {"model", "train_n", "anchors"} | {
        "critic",
        "key_version",
    }  # a model's name in a key is that of the first kind
    assert set(spec(encoder=CHANGES["encoder"]).identity) == known
    # How many rows a batch of training has, and how many are anchors, is no part of it where it is not said.
    for name in ("train_n", "anchors"):
        assert set(spec(encoder=CHANGES["encoder"], **{name: 32}).identity) == known | {name}
    # Without an encoder there is none in the identity, so that keys are those of the time before encoders.
    assert set(spec().identity) == known - {"encoder"}
    # Where nothing is trained, how is no part of it.
    assert set(spec(fit=None).identity) == {"key_version", "estimator", "task", "protocol", "n", "seed"}


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_changes_the_key(field):
    assert spec(**{field: CHANGES[field]}).key != spec().key
    assert spec(fit=None).key != spec().key


def test_spelling_does_not_change_the_key():
    same = (
        tasks.registry.choose("gaussian", dim=20, mi=4),
        tasks.registry.choose("gaussian[mi=4.00]", dim="20"),
        tasks.registry.choose("gaussian[dim=20,mi=4e0]"),
    )
    assert {spec(task=task).key for task in same} == {spec().key}
    zero, minus_zero = (tasks.registry.choose("gaussian", dim=2, mi=mi) for mi in ("0", "-0.0"))
    assert spec(task=zero).key == spec(task=minus_zero).key


def test_defaults_are_resolved_in_the_key():
    explicit = estimators.registry.choose("nce[k=5,normalizer=fixed]")
    assert spec(estimator=explicit).key == spec().key
    assert spec().identity["estimator"]["options"] == {"k": 5, "normalizer": "fixed"}


def test_grid_has_every_combination_once():
    settings = [
        (estimators.registry.choose(name), tasks.registry.choose("gaussian", mi=mi), None, FIT)
        for name in ("infonce", "nwj", "infonce[temperature=1]")
        for mi in (1, 2)
    ]
    runs = grid(settings, protocols.choose("stream"), [8, 16], [0, 1])
    assert len(runs) == len({run.key for run in runs}) == 2 * 2 * 2 * 2
    assert [run.estimator.name for run in runs] == 8 * ["infonce"] + 8 * ["nwj"]
    assert [(run.n, run.seed) for run in runs[:4]] == [(8, 0), (8, 1), (16, 0), (16, 1)]
