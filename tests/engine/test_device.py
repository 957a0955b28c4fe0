"""Devices: a missing device is an error; on CUDA the captured step equals the eager one."""

import pytest
import torch
from grids import pack_of, specs

import mibench
from mibench.engine import device, train
from mibench.engine.execute import execute
from mibench.engine.plan import packs

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def test_auto_says_what_it_chose():
    chosen, message = device.resolve("auto")
    assert chosen.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert str(chosen.type) in message


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "cpu:1", "cuda:x", "", "cpu:", "cuda:²"])
def test_unavailable_device_is_an_error(name):
    with pytest.raises(mibench.UsageError):
        device.resolve(name)


def test_flops_are_measured():
    assert device.flops_per_second(torch.device("cpu"), seconds=0.01) > 1e8


@needs_cuda
@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore:.*capturable=True.*")  # the eager half is not captured on purpose
@pytest.mark.parametrize("name", ["infonce", "nce[k=3,normalizer=learned]", "mine", "nwj", "dv", "smile"])
@pytest.mark.parametrize("critic", ["separable[hidden=16]", "bilinear", "joint[hidden=16]"])
def test_captured_step_is_the_eager_one(name, critic, monkeypatch):
    pack = pack_of(specs(name, seeds=range(3), critic=critic))
    cuda = torch.device("cuda", 0)
    captured = train.train(pack, cuda)
    monkeypatch.setattr(train, "captured", lambda step, *_: step)
    eager = train.train(pack, cuda)
    for key, value in eager.critic.items():
        assert torch.allclose(captured.critic[key], value, atol=1e-9)
    for key, value in eager.learned.items():
        assert torch.allclose(captured.learned[key], value, atol=1e-9)


@needs_cuda
@pytest.mark.cuda
@pytest.mark.parametrize("name", ["infonce", "mine", "nwj", "nce"])
def test_cuda_and_cpu_agree(name):
    together = specs(name, seeds=range(4))
    estimates = []
    for kind in ("cpu", "cuda"):
        done = execute(packs(together, 2**30), torch.device(kind))
        estimates.append([outcome.readout.estimate for pack in done for outcome in pack])
    assert estimates[0] == pytest.approx(estimates[1], abs=1e-4)
