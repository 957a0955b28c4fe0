"""The identity of a run: it contains every field, and its key is the same on every machine."""

import dataclasses
import subprocess
import sys

import pytest

from mibench import encoders, estimators, protocols, tasks
from mibench.models import critics
from mibench.spec import KEY_VERSION, RunSpec, grid


def spec(**changes):
    values = dict(  # noqa: C408 - the fields as they are written
        estimator=estimators.registry.choose("nce[k=5]"),
        task=tasks.registry.choose("gaussian", dim=20, mi=4.0),
        encoder=encoders.registry.choose("none"),
        critic=critics.registry.choose("separable"),
        protocol=protocols.registry.choose("stream"),
        n=64,
        steps=1000,
        lr=2e-3,
        schedule="one-cycle",
        precision="float32",
        seed=0,
    )
    return RunSpec(**values | changes)


def test_key_is_pinned():
    """Never change this key: raise KEY_VERSION and pin a new one."""
    assert KEY_VERSION == 2
    assert spec().key == "3c5ea481a59349c81c1b872dc487d9848b1419141be1743f09c4364d4ba30c3e"


def test_key_is_the_same_in_another_process():
    code = "import sys; sys.path.insert(0, 'tests'); from test_spec import spec; print(spec().key)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == spec().key


CHANGES = {
    "estimator": estimators.registry.choose("nce[k=6]"),
    "task": tasks.registry.choose("cubic", dim=20, mi=4.0),
    "encoder": encoders.registry.choose("linear"),
    "critic": critics.registry.choose("joint"),
    "protocol": protocols.registry.choose("samples"),
    "n": 65,
    "steps": 1001,
    "lr": 1e-3,
    "schedule": "constant",
    "precision": "float64",
    "seed": 1,
}


def test_every_field_is_classified():
    """A new field must be added to the identity, and here."""
    assert set(CHANGES) == {field.name for field in dataclasses.fields(RunSpec)}
    assert set(spec(encoder=CHANGES["encoder"]).identity) == {*CHANGES, "key_version"}
    # Without an encoder there is none in the identity, so that keys are those of the time before encoders.
    assert set(spec().identity) == {*CHANGES, "key_version"} - {"encoder"}


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_changes_the_key(field):
    assert spec(**{field: CHANGES[field]}).key != spec().key


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
    runs = grid(
        estimators=[
            estimators.registry.choose(name) for name in ("infonce", "nwj", "infonce[temperature=1]")
        ],
        sources=[
            (
                tasks.registry.choose("gaussian", mi=mi),
                encoders.registry.choose("none"),
                critics.registry.choose("separable"),
            )
            for mi in (1, 2)
        ],
        protocols=[protocols.registry.choose("stream")],
        ns=[8, 16],
        seeds=[0, 1],
        steps=1,
        lr=None,
        schedule="constant",
        precision="float32",
    )
    assert len(runs) == len({run.key for run in runs}) == 2 * 2 * 2 * 2
    assert {run.lr for run in runs} == {5e-4}
