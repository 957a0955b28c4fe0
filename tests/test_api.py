"""`mibench.run` and the rest of the contract in Python."""

import ast
import math
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import mibench
from mibench.store.record import FIELDS

GRID = {"dim": 2, "mi": [0.5, 1], "n": [4], "steps": 3, "seeds": 3, "device": "cpu"}
SMALL = {"dim": 2, "steps": 3, "device": "cpu"}


def test_run_returns_a_row_a_run():
    frame = mibench.run(estimator="infonce", task="gaussian", **GRID)
    assert tuple(frame.columns) == FIELDS
    assert len(frame) == 6
    assert (frame["status"] == "ok").all()
    assert sorted(frame["true_mi_nats"].unique()) == [0.5, 1.0]
    assert sorted(frame["seed"].unique()) == [0, 1, 2]
    assert frame["estimate_nats"].notna().all()
    assert len(mibench.summarise(frame)) == 2


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mibench.run(**GRID)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_a_store(tmp_path):
    first = mibench.run(out=tmp_path, **GRID)
    again = mibench.run(out=tmp_path, **GRID)
    assert first.equals(again)
    repeated = mibench.run(out=tmp_path, rerun="all", **GRID)
    assert repeated["estimate_nats"].equals(first["estimate_nats"])


@pytest.mark.parametrize(
    ("given", "seeds"),
    [
        (2, [0, 1]),
        (np.int64(2), [0, 1]),
        (2.0, [0, 1]),
        ("2", [0, 1]),
        ([5], [5]),
        ([3, 1], [3, 1]),
        ("2:4", [2, 3]),
        (":2", [0, 1]),
        ("7,9", [7, 9]),
    ],
)
def test_seeds(given, seeds):
    planned = mibench.plan(**GRID | {"seeds": given, "mi": 1})
    assert [spec.seed for spec in planned.specs] == seeds


def test_lists_and_texts_and_single_values_mean_the_same():
    grids = [
        mibench.plan("infonce,nwj", dim=2, mi="1,2", n="4,8"),
        mibench.plan(["infonce", "nwj"], dim="2", mi=[1, 2.0], n=(4, 8)),
        mibench.plan(["infonce,nwj"], dim=[2], mi=["1", "2"], n=["4,8"]),
    ]
    assert grids[0].specs == grids[1].specs == grids[2].specs
    assert len(grids[0].specs) == 2 * 2 * 2 * 5


def test_rho_stands_for_its_information():
    planned = mibench.plan(dim=2, rho=[0.5, -0.5], seeds=1, n=4)
    assert [spec.task.label for spec in planned.specs] == ["gaussian[rho=0.5]", "gaussian[rho=-0.5]"]
    written_with_the_name = mibench.plan(task="gaussian[rho=0.5]", dim=2, seeds=1, n=4)
    assert written_with_the_name.specs == planned.specs[:1]


@pytest.mark.parametrize(
    ("grid", "word"),
    [
        ({"estimator": []}, "No estimator"),
        ({"n": []}, "No n"),
        ({"mi": []}, "No mi"),
        ({"dim": []}, "No dim"),
        ({"seeds": []}, "No seed"),
        ({"n": True}, "number"),
        ({"rerun": "sometimes"}, "rerun"),
        ({"precision": "tf32", "device": "cpu"}, "tf32"),
    ],
)
def test_mistakes_raise(grid, word):
    with pytest.raises(mibench.UsageError, match=word):
        mibench.run(**GRID | grid)


def test_unknown_names_of_the_package():
    with pytest.raises(AttributeError, match="no attribute 'mine'"):
        mibench.mine  # noqa: B018


def test_every_name_of_the_package_is_there_and_says_what_it_is():
    for name in mibench.__all__:
        assert getattr(mibench, name).__doc__, name
    for name in ("check", "compare", "estimate", "plan", "report", "run", "summarise"):
        assert callable(getattr(mibench, name))
        assert getattr(mibench, name).__name__ == name
    for name in ("critics", "encoders", "estimators", "tasks"):
        part = getattr(mibench, name)
        assert part.get(next(iter(part.registry.entries))).name in part.registry.entries
    assert {*mibench.__all__, "__version__"} == set(dir(mibench))


def test_type_checkers_see_the_names_that_there_are():
    (seen,) = (
        node
        for node in ast.parse(Path(mibench.__file__).read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    assert {alias.name for node in seen.body for alias in node.names} == set(mibench.__all__)


def test_the_package_says_that_it_is_typed():
    assert files("mibench").joinpath("py.typed").is_file()


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: mibench.run(mibench.estimators.get("nwj")), "estimator must be a text, not NWJ("),
        (lambda: mibench.run(3), "estimator must be a text, not 3"),
        (lambda: mibench.run([3]), "estimator must be a text, not 3"),
        (lambda: mibench.run("nwj", critic=mibench.models.get("joint")), "critic must be a text"),
        (lambda: mibench.run("nwj", "digits", data=3), "data must be a path, not 3"),
        (lambda: mibench.run("nwj", schedule=3), "Unknown schedule '3'"),
        (lambda: mibench.run("nwj", precision=["float32"]), "Unknown precision"),
        (lambda: mibench.run("nwj", rerun=["all"], **SMALL), "Unknown rerun"),
        (lambda: mibench.run("nwj", out=3, **SMALL), "out must be a path, not 3"),
        (lambda: mibench.run("nwj", mi=torch.tensor([[1.0, math.nan]])), "mi must be a number, not nan"),
        (lambda: mibench.run("nwj", steps=torch.tensor([1, 2])), "steps must be a number"),
        (lambda: mibench.run("nwj", seeds=2**53), "seeds must be a whole number between -2^53 and 2^53"),
        (lambda: mibench.run("nwj", seeds=[2**63]), "seed must be a whole number between -2^53 and 2^53"),
        (lambda: mibench.run("nwj", n=10**400), "n must be a number"),
        (lambda: mibench.report(), "No results store is given"),
        (lambda: mibench.report(["results"]), "A results store must be a path, not ['results']"),
        (lambda: mibench.report("results", out=3), "out must be a path, not 3"),
        (lambda: mibench.report("results", format=3), "Unknown format '3'"),
        (lambda: mibench.estimators.get(3), "The name of the estimator must be a text, not 3"),
        (lambda: mibench.tasks.get(None), "The name of the task must be a text, not None"),
        (lambda: mibench.validate(3), "Each name must be a text, not 3"),
    ],
)
def test_values_of_the_wrong_type_are_a_users_mistake(call, what):
    with pytest.raises(mibench.UsageError) as caught:
        call()
    assert what in caught.value.what
    assert caught.value.how


@pytest.mark.parametrize(
    ("settings", "same"),
    [
        ({"seeds": torch.tensor(2)}, {"seeds": 2}),
        ({"seeds": np.int64(2)}, {"seeds": 2}),
        ({"seeds": torch.tensor([2])}, {"seeds": [2]}),
        ({"mi": torch.tensor([1.0, 2.0])}, {"mi": [1, 2]}),
        ({"mi": [torch.tensor(1.0), np.float64(2.0)]}, {"mi": [1, 2]}),
        ({"n": pd.Series([4, 8])}, {"n": [4, 8]}),
        ({"estimator": np.array(["nwj", "infonce"])}, {"estimator": "nwj,infonce"}),
    ],
)
def test_arrays_of_numbers_and_names_are_lists_of_them(settings, same):
    assert keys(**settings) == keys(**same)


def keys(**settings):
    return [spec.key for spec in mibench.plan(**SMALL | settings).specs]
