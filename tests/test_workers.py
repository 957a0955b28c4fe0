"""`mibench run --workers 2` where workers, or the command itself, are killed."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

import mibench
from mibench.api.placement import Placement, most_workers
from mibench.api.shards import part_of
from mibench.engine.backends.local import Local
from mibench.engine.backends.processes import Processes, device_of
from mibench.errors import UsageError
from mibench.store.segments import Store

COMMAND = ["--dim", "2", "--mi", "1", "-n", "4,5,6,7", "--steps", "200", "--seeds", "4", "--device", "cpu"]
COMMAND += ["-e", "infonce,nce,js"]
RUNS = 48


def start(out, *more):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mibench.cli", "run", *COMMAND, "-q", "--out", str(out), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def ended(process):
    output, errors = process.communicate(timeout=240)
    return output, errors.decode()


def values(out):
    return {key: (record.status, record.estimate_nats) for key, record in Store(out).load().items()}


def workers_of(process):
    return [
        child for child in psutil.Process(process.pid).children() if "worker" in " ".join(child.cmdline())
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("calm")
    process = start(out)
    ended(process)
    assert process.returncode == 0
    return values(out)


@pytest.mark.slow
def test_workers_killed_at_ten_moments_lose_nothing(undisturbed, tmp_path):
    process, killed = start(tmp_path, "--workers", "2"), 0
    while process.poll() is None:
        time.sleep(0.7)
        there = workers_of(process) if process.poll() is None else []
        if there and killed < 10:
            there[killed % len(there)].kill()
            killed += 1
    _, errors = ended(process)
    assert killed >= 3, "the run ended before anything could be killed"
    lines = [line for path in tmp_path.glob("records/*.jsonl") for line in path.read_text().splitlines()]
    assert len(lines) == len({json.loads(line)["key"] for line in lines}) == RUNS
    # What lost two workers alone has failed, and is run by the next command.
    again = start(tmp_path, "--workers", "2")
    _, errors = ended(again)
    assert again.returncode == 0, errors
    assert values(tmp_path) == undisturbed


@pytest.mark.slow
def test_a_command_that_is_killed_takes_its_workers_along_and_goes_on_later(undisturbed, tmp_path):
    process = start(tmp_path, "--workers", "2")
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("records/*.jsonl")) or not workers_of(process):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers = workers_of(process)
    process.kill()
    ended(process)
    gone, alive = psutil.wait_procs(workers, timeout=60)
    assert len(gone) == 2
    assert not alive
    again = start(tmp_path, "--workers", "2")
    _, errors = ended(again)
    assert again.returncode == 0, errors
    assert values(tmp_path) == undisturbed


# ---- which backend a plan has


def plan_of(threads, monkeypatch, **settings):
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    planned = mibench.plan("infonce,nwj", **{"dim": 20, "device": "cpu", **settings})
    return planned.of(planned.specs)


def test_a_long_plan_has_a_worker_for_each_thread(monkeypatch):
    planned = plan_of(4, monkeypatch, mi=[2, 4, 6], seeds=8)
    assert planned.backend == Processes(4)
    assert planned.device_message == "device: cpu, 4 workers with 1 thread each"
    assert plan_of(1, monkeypatch, mi=[2, 4, 6], seeds=8).backend == Local()


def test_a_short_plan_and_one_training_stay_in_this_process(monkeypatch):
    assert plan_of(4, monkeypatch, mi=2, n=8, seeds=1, steps=5).backend == Local()
    one = mibench.plan("infonce", dim=20, mi=2, n=512, seeds=1, steps=20_000, device="cpu")
    assert len(one.packs()) == 1
    assert one.of(one.specs).backend == Local()


def test_workers_can_be_given(monkeypatch):
    assert plan_of(4, monkeypatch, mi=2, n=8, seeds=1, workers=2).backend == Processes(2)
    assert plan_of(4, monkeypatch, mi=[2, 4, 6], seeds=8, workers="1").backend == Local()
    assert plan_of(4, monkeypatch, mi=2, n=8, seeds=1, backend="processes[workers=3]").backend == Processes(3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 0}, "workers must be at least 1, not 0"),
        ({"workers": "many"}, "workers must be a number"),
        ({"workers": 2, "backend": "local"}, "--workers has no meaning for the backend 'local'"),
        (
            {"scheduler": "tcp://x:1", "backend": "local"},
            "--scheduler has no meaning for the backend 'local'",
        ),
        ({"backend": ""}, "backend"),
        ({"backend": "lokal"}, "Unknown backend 'lokal'"),
    ],
)
def test_settings_of_place_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        mibench.plan("infonce", dim=2, mi=1, n=4, seeds=1, device="cpu", **settings)


def test_more_workers_than_memory_allows_are_refused_beforehand(monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"total": 2**30})())
    planned = mibench.plan("infonce", dim=2, mi=1, n=4, seeds=1, device="cpu")
    assert most_workers(planned.packs()) == 2
    with pytest.raises(UsageError, match="16 workers need about 6 GiB; this machine has 1 GiB") as refused:
        mibench.plan("infonce", dim=2, mi=1, n=4, seeds=1, device="cpu", workers=16)
    assert refused.value.how == "Give --workers 2 or fewer."


def test_several_gpus_have_a_process_each(monkeypatch):
    import torch

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda number: "Card")
    packs = mibench.plan("infonce,nwj", dim=20, mi=[2, 4, 6], seeds=8, device="cpu").packs()
    cuda = torch.device("cuda", 0)
    assert Placement("auto").fastest(packs, [], cuda) == Processes(2)
    assert Placement("cuda").fastest(packs, [], cuda) == Processes(2)
    assert Placement("cuda:0").fastest(packs, [], cuda) == Local()
    device, message = Processes(4).resolve("cuda")
    assert [device_of(place, device).index for place in range(4)] == [0, 1, 0, 1]
    assert message == "device: cuda, 4 workers on 2 GPUs"
    numbered, _ = Processes(4).resolve("cuda:1")
    assert [device_of(place, numbered).index for place in range(2)] == [1, 1]
    assert Local().resolve("cuda")[0] == cuda
    monkeypatch.setattr("mibench.engine.device.budget_bytes", lambda device: 1000)
    assert Processes(4).budget_bytes(device) == 500
    assert Processes(4).budget_bytes(numbered) == 250


def test_what_is_left_of_a_plan_decides_where_it_runs(monkeypatch):
    planned = plan_of(4, monkeypatch, mi=[2, 4, 6], seeds=8)
    assert planned.backend == Processes(4)
    assert planned.of(planned.specs[:1]).backend == Local()
    assert part_of(planned, "1/100").of(planned.specs[:1]).backend == Local()
    with_encoders = mibench.plan(
        "infonce", "linear-encoder", encoder="linear[steps=9000]", n=4, seeds=4, steps=5, device="cpu"
    )
    assert with_encoders.of(with_encoders.specs).backend == Processes(4)
