"""The process as a whole: how threads wait, and that a library call leaves its settings as they were."""

import os
import pickle
import random
import subprocess
import sys
import warnings

import numpy as np
import psutil
import pytest
import sklearn.datasets  # noqa: F401 - importing it draws from the stream of `random`
import torch

import mibench
from mibench import process
from mibench.api import cost as costs
from mibench.errors import SlowWarning, StoreError
from mibench.process import SPIN_COUNT, WAITING, warn_of_waiting
from mibench.store.encoders import EncoderStore

GRID = {"dim": 2, "mi": 1, "n": 4, "steps": 3, "seeds": 2, "device": "cpu"}
SHORT = f"GOMP_SPINCOUNT={SPIN_COUNT}"


def in_a_process(code, **variables):
    """Run code where no variable says how threads wait but those given, and return what it wrote."""
    kept = {name: value for name, value in os.environ.items() if name not in WAITING}
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept | variables, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


WROTE = "import os; print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("code", "variables", "spin"),
    [
        ("import mibench", {}, str(SPIN_COUNT)),
        ("import mibench.cli", {}, str(SPIN_COUNT)),
        ("from mibench.process import SPIN_COUNT", {}, str(SPIN_COUNT)),
        ("import mibench", {"GOMP_SPINCOUNT": "7"}, "7"),
        ("import mibench", {"OMP_WAIT_POLICY": "active"}, "None"),
        ("import mibench", {"KMP_BLOCKTIME": "0"}, "None"),
        ("import sys; sys.modules['torch'] = sys; import mibench", {}, "None"),
    ],
)
def test_the_spin_is_short_unless_torch_is_loaded_or_the_user_chose(code, variables, spin):
    assert in_a_process(f"{code}; {WROTE}", **variables) == spin


def test_importing_the_package_loads_no_torch():
    assert (
        in_a_process("import sys, mibench, mibench.pytest_plugin; print('torch' in sys.modules)") == "False"
    )


def test_what_is_in_force_is_said(monkeypatch):
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    assert "torch was loaded before" in process.how_threads_wait()
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setenv("GOMP_SPINCOUNT", "3")
    assert process.how_threads_wait() == "GOMP_SPINCOUNT=3, OMP_WAIT_POLICY=passive"


@pytest.fixture
def late(monkeypatch):
    """Nothing says how threads wait; returns a function that sets how busy each of two cores is."""
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(process, "_warned", False)
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [0, 1], raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    return lambda *shares: monkeypatch.setattr(psutil, "cpu_percent", lambda *_, **__: list(shares))


def test_a_busy_machine_is_warned_of_once_where_the_spin_is_long(late):
    late(100.0, 3.0)
    with pytest.warns(SlowWarning, match=rf"1\.0 of 2 cores.* GOMP_SPINCOUNT={SPIN_COUNT}") as caught:
        mibench.run("infonce", **GRID)
    assert [warning.filename for warning in caught] == [__file__]
    mibench.run("infonce", **GRID)  # warnings are errors here


@pytest.mark.parametrize(
    ("shares", "threads", "variables"),
    [
        ((4.0, 9.0), 2, {}),
        ((100.0, 100.0), 1, {}),
        ((100.0, 100.0), 2, {"GOMP_SPINCOUNT": "1000"}),
        ((100.0, 100.0), 2, {"OMP_WAIT_POLICY": "passive"}),
        ((0.0, 0.0, 100.0, 100.0), 2, {}),  # cores that are not ours
    ],
)
def test_where_nothing_is_slow_nothing_is_said(late, monkeypatch, shares, threads, variables):
    late(*shares)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    warn_of_waiting(threads)


def cost(planned):
    return costs.cost(planned, planned.specs, EncoderStore("nowhere"))


def settings():
    """Return what a library call must leave as it is."""
    return (
        torch.get_float32_matmul_precision(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.random.get_rng_state().tolist(),
        random.getstate(),
        [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],  # noqa: NPY002
        dict(os.environ),
        warnings.filters[:],
    )


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
@pytest.mark.parametrize(
    "call",
    [
        lambda folder: mibench.run("infonce,mine", **GRID),
        lambda folder: mibench.run(
            "infonce", "digits", n=4, steps=3, encoder="random,simclr[steps=2]", seeds=1
        ),
        lambda folder: mibench.run("infonce", protocol="samples", samples=100, out=folder, **GRID),
        lambda folder: mibench.compare(["infonce", "nwj"], **GRID | {"seeds": 3}),
        lambda folder: mibench.estimate(np.eye(60)[:, :2] + 1, np.eye(60)[:, :2], steps=3, n=4),
        lambda folder: mibench.plan("infonce", **GRID),
        lambda folder: cost(mibench.plan("infonce", **GRID)),
    ],
)
def test_a_library_call_leaves_the_process_as_it_was(call, precision, tmp_path):
    before_all = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        before = settings()
        call(tmp_path)
        assert settings() == before
    finally:
        torch.set_float32_matmul_precision(before_all)


def test_errors_of_users_come_back_from_another_process():
    error = pickle.loads(pickle.dumps(StoreError("It is full.", "Free some space.")))
    assert (type(error), error.what, error.how) == (StoreError, "It is full.", "Free some space.")
