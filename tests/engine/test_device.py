"""Devices: a missing device is an error; on CUDA the captured step equals the eager one."""

import itertools
import os
from types import SimpleNamespace

import psutil
import pytest
import torch
from grids import outcomes, pack_of, specs

import mibench
from mibench.engine import device
from mibench.engine import fit as fitting

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def cards(monkeypatch, *names):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: names[number])


def test_auto_is_the_first_cuda_device(monkeypatch):
    cards(monkeypatch, "One", "Two")
    assert device.resolve("auto") == (torch.device("cuda", 0), "device: cuda, One")
    assert device.resolve("cuda:1") == (torch.device("cuda", 1), "device: cuda:1, Two")
    assert device.resolve("cpu")[0] == torch.device("cpu")
    with pytest.raises(mibench.UsageError, match="sees 2 CUDA devices"):
        device.resolve("cuda:2")


def test_auto_is_the_cpu_where_there_is_no_other(monkeypatch):
    cards(monkeypatch)
    assert device.resolve("auto") == (torch.device("cpu"), f"device: cpu, {torch.get_num_threads()} threads")
    with pytest.raises(mibench.UsageError, match="sees no CUDA device"):
        device.resolve("cuda")


def test_memory_is_known_where_the_system_has_no_sysconf(monkeypatch):
    """As on Windows."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    monkeypatch.delattr(os, "sysconf", raising=False)
    found = device.memory_bytes(torch.device("cpu"))
    assert found == there or there is None
    assert mibench.plan("infonce", n=4, device="cpu").specs
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=2**20))
    with pytest.raises(mibench.UsageError, match="at n = 4 with"):
        mibench.plan("infonce", n=4, device="cpu")


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "cpu:1", "cuda:x", "", "cpu:", "cuda:²"])
def test_unavailable_device_is_an_error(name):
    with pytest.raises(mibench.UsageError):
        device.resolve(name)


def test_flops_are_those_of_the_products_that_were_done(monkeypatch):
    """By a clock that is a second later whenever it is read: two products of 1024 x 1024 in three seconds."""
    monkeypatch.setattr(device.time, "perf_counter", itertools.count().__next__)
    assert device.flops_per_second(torch.device("cpu"), seconds=2.5) == pytest.approx(2 * 2 * 1024**3 / 3)


@pytest.mark.parametrize("precision", ["float32", "float64", "tf32"])
def test_the_precision_of_products_is_put_back(precision):
    before = torch.get_float32_matmul_precision()
    within = []

    @device.matmul_precision(precision)
    def fail():
        within.append(torch.get_float32_matmul_precision())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert within == ["high" if precision == "tf32" else "highest"]
    assert torch.get_float32_matmul_precision() == before


@needs_cuda
@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore:.*capturable=True.*")  # the eager half is not captured on purpose
@pytest.mark.parametrize("name", ["infonce", "nce[k=3,normalizer=learned]", "mine", "nwj", "dv", "smile"])
@pytest.mark.parametrize("model", ["separable[hidden=16]", "bilinear", "joint[hidden=16]"])
def test_captured_step_is_the_eager_one(name, model, monkeypatch):
    pack = pack_of(specs(name, seeds=range(3), model=model))
    cuda = torch.device("cuda", 0)
    captured = fitting.fit(pack, cuda)
    monkeypatch.setattr(fitting, "captured", lambda step, *_: step)
    eager = fitting.fit(pack, cuda)
    for key, value in eager.parameters.items():
        assert torch.allclose(captured.parameters[key], value, atol=1e-9)


@needs_cuda
@pytest.mark.cuda
@pytest.mark.parametrize("name", ["infonce", "mine", "nwj", "nce"])
def test_cuda_and_cpu_agree(name):
    together = specs(name, seeds=range(4))
    estimates = [
        [one.readout.estimate for one in outcomes(together, 2**30, device=torch.device(kind)).values()]
        for kind in ("cpu", "cuda")
    ]
    assert estimates[0] == pytest.approx(estimates[1], abs=1e-4)
