"""The backend of a Dask cluster: one on this machine stands for any other."""

import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from grids import CPU, jobs, specs
from test_backends import Numbers, results, values

import mibench
from mibench.engine.backends import dask
from mibench.engine.backends.base import execute
from mibench.engine.backends.dask import ClusterError, Dask
from mibench.engine.backends.local import Local
from mibench.errors import UsageError

distributed = pytest.importorskip("distributed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # those of Dask, which are none of ours
    pytest.mark.xdist_group("dask"),
]


@pytest.fixture(scope="module")
def backend():
    local = Dask(workers=2)
    yield local
    local.close()
    dask._local_cluster(2).close()
    dask._local_cluster.cache_clear()


def test_a_cluster_gives_the_numbers_of_one_process(backend):
    chosen = jobs(specs("infonce smile", seeds=range(2), steps=5), 1)
    assert values(results(chosen, backend)) == values(results(chosen, Local()))
    assert backend.slots == 2
    device, message = backend.resolve("cpu")
    assert device == CPU
    assert "2 Dask workers of tcp://127.0.0.1:" in message
    assert backend.budget_bytes(CPU) == Local().budget_bytes(CPU)
    assert 0 < backend.memory_bytes(CPU) <= Local().memory_bytes(CPU)


def test_a_worker_that_is_killed_loses_nothing(backend, tmp_path):
    chosen = [Numbers((n,), tmp_path, deadly=(3,)) for n in range(1, 6)]
    assert sorted(results(chosen, backend)) == [1, 2, 3, 4, 5]
    assert len(list(tmp_path.iterdir())) == 1


def test_an_error_of_a_job_is_one_of_the_job(backend, tmp_path, caplog):
    assert sorted(results([Numbers((1, 2), tmp_path, failing=(2,))], backend)) == [-2, 1]


def test_a_worker_of_another_version_is_named(backend, monkeypatch, tmp_path):
    backend.resolve("cpu")  # a worker that joins later is asked when it is given a job
    monkeypatch.setattr(dask, "about", lambda: {"mibench": "9.9", "plug-ins": "none"})
    for _ in ("when it is given a job", "when it is connected"):
        with pytest.raises(ClusterError, match=r"The Dask worker .* differs in mibench: .*, and 9\.9 here"):
            results([Numbers((1,), tmp_path)], backend)


def test_a_scheduler_that_is_gone_ends_the_run_and_is_named(tmp_path):
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        remote = Dask(scheduler=cluster.scheduler_address)
        done = execute([Numbers((n,), tmp_path, seconds=20.0 * (n > 1)) for n in (1, 2)], remote, CPU)
        assert next(done) == [1]
        cluster.close(timeout=5)
        with pytest.raises(ClusterError, match="no longer answers"):
            list(done)


def test_a_scheduler_that_is_not_there_is_named():
    started = time.monotonic()
    with pytest.raises(ClusterError, match=r"No Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        Dask(scheduler="tcp://127.0.0.1:9").resolve("cpu")
    with pytest.raises(ClusterError, match="No Dask scheduler answers at 'nonsense://x'"):
        Dask(scheduler="nonsense://x").resolve("cpu")
    assert time.monotonic() - started < 60


def test_a_file_that_is_not_there_is_not_waited_for(tmp_path):
    with pytest.raises(ClusterError, match="There is no file"):
        Dask(scheduler=str(tmp_path / "scheduler.json")).resolve("cpu")


def test_without_the_packages_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterError) as refused:
        Dask(scheduler="tcp://nowhere:1").resolve("cpu")
    assert "mibench[cluster]" in refused.value.how


def test_the_commands_of_the_documentation_run_on_a_cluster(tmp_path, monkeypatch):
    page = Path(mibench.__file__).parents[1].joinpath("docs/cluster.md").read_text("utf-8")
    typed = re.findall(r"^\$ ((?:dask|mibench run .*--scheduler).*?)(?: &)?$", page, re.MULTILINE)
    *servers, command = [[sys.executable, "-m", *shlex.split(words)] for words in typed]
    assert [server[2:4] for server in servers] == [["dask", "scheduler"], ["dask", "worker"]]
    command[2] = "mibench.cli"
    small = ["--steps", "5", "--dim", "2", "-q", "--json"]
    started = []
    try:
        for server in servers:
            started.append(
                subprocess.Popen([*server, "--no-dashboard"], cwd=tmp_path, stderr=subprocess.DEVNULL)
            )
            while not (tmp_path / "scheduler.json").exists():
                time.sleep(0.1)
        done = subprocess.run([*command, *small], cwd=tmp_path, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert b"Dask workers" in done.stderr
        assert {run["status"] for run in json.loads(done.stdout)["records"]} == {"ok"}
        started[0].kill()
        gone = subprocess.run([*command, *small], cwd=tmp_path, capture_output=True, timeout=120, check=False)
        assert gone.returncode == 2
        assert b"No Dask scheduler answers" in gone.stderr
    finally:
        for server in reversed(started):
            server.terminate()
            server.wait()


@pytest.mark.parametrize("options", [{"workers": -1}, {"scheduler": "tcp://x:1", "workers": 2}])
def test_workers_are_those_of_a_cluster_here(options):
    with pytest.raises(UsageError, match="workers of 'dask'"):
        Dask(**options)
