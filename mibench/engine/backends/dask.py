"""The backend that runs jobs on the workers of a Dask cluster; it needs the extra `mibench[cluster]`."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mibench import __version__
from mibench.engine import device as devices
from mibench.engine.backends.base import Backend, Ended, JobReport, R, T, WorkerLostError
from mibench.engine.jobs import Job
from mibench.errors import UsageError
from mibench.options import option
from mibench.validation import check_whole

LOCAL = "local"

CONNECT_SECONDS = 10

WORKER_SECONDS = 300
"""How long the first worker is waited for: a queue may have to start it."""

GO_ON = "What is finished is kept: start them again, and the same command goes on from there."


class ClusterError(UsageError):
    """A cluster that cannot be used, or no longer."""


@dataclass(frozen=True)
class Dask(Backend):
    """The workers of a Dask scheduler, on any number of machines.

    Every worker needs the same version of mibench and the same plug-ins, and should have one thread
    (`dask worker ADDRESS --nthreads 1 --nworkers auto`). Dask repeats the job of a worker that is lost.
    """

    scheduler: str = option(LOCAL, "address of the scheduler, its file, or local: a cluster on this machine")
    workers: int = option(0, "processes of the local cluster; 0: one for each thread of PyTorch")

    name = "dask"

    def __post_init__(self) -> None:
        check_whole(self.name, workers=self.workers)
        if self.workers < 0 or (self.workers and self.scheduler != LOCAL):
            raise UsageError(
                f"workers of 'dask' is {self.workers}, and the scheduler is {self.scheduler!r}.",
                "Give workers for the scheduler 'local' alone: others have workers of their own.",
            )

    @property
    def slots(self) -> int:  # type: ignore[override]
        """How many jobs run at once: one for each thread of the workers."""
        threads: dict[str, int] = _client(self).nthreads()
        return max(1, sum(threads.values()))

    def ask(self, function: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401
        """Return what a function returns on a worker."""
        found: T = _client(self).submit(function, *arguments, pure=False).result()
        return found

    def resolve(self, name: str) -> tuple[torch.device, str]:
        """Return the device that a worker has under a name, and a sentence that says what was chosen."""
        client = _client(self)
        device, message = super().resolve(name)
        where = f"{len(client.nthreads())} Dask workers of {client.scheduler.address}"
        link = f", dashboard {client.dashboard_link}" if self.scheduler == LOCAL else ""
        return device, f"{message}; {where}{link}"

    def memory_bytes(self, device: torch.device) -> int:
        """Return the memory of the worker that has least of it."""
        there: dict[str, int] = _client(self).run(devices.memory_bytes, device)
        if device.type == "cuda":
            return min(there.values())
        workers = _client(self).scheduler_info(n_workers=-1)["workers"].values()
        limits = [int(worker["memory_limit"] // worker["nthreads"]) for worker in workers]
        return min([*there.values(), *(limit for limit in limits if limit)])

    def close(self) -> None:
        """End the connection to the scheduler, which may end before this process."""
        client = _CLIENTS.pop(self, None)
        if client is not None:
            client.close()

    def run(self, jobs: Sequence[Job[R]], device: torch.device, report: JobReport) -> Iterator[Ended[R]]:
        """Yield every job as soon as it has ended.

        Raises:
            ClusterError: the scheduler no longer answers, or a worker that has joined is of another version.
        """
        from distributed import as_completed

        client = _client(self)
        left = {client.submit(_run, job, device, about(), pure=False): job for job in jobs}
        try:
            for future in as_completed(list(left)):
                job = left.pop(future)
                yield job, self._ended(future, job)
        finally:
            client.cancel(list(left))

    def _ended(self, future: Any, job: Job[R]) -> list[R] | Exception:  # noqa: ANN401 - Dask has no types
        from distributed import KilledWorker

        if future.status == "finished":
            found: list[R] = future.result()
            return found
        error = future.exception() if future.status == "error" else None
        if isinstance(error, KilledWorker):
            return WorkerLostError(f"Dask lost one worker after another that ran {job.label}: {error}")
        if isinstance(error, Exception) and not isinstance(error, ClusterError):
            return error
        raise error or ClusterError(f"The scheduler {self.scheduler!r} no longer answers.", GO_ON)


def about() -> dict[str, str]:
    """Return what has to be the same on all workers: the version of mibench and the plug-ins."""
    plug_ins = {
        f"{installed.name} {installed.version}"
        for installed in importlib.metadata.distributions()
        if any(point.group.startswith("mibench.") for point in installed.entry_points)
    }
    return {"mibench": __version__, "plug-ins": ", ".join(sorted(plug_ins)) or "none"}


def _run(job: Job[R], device: torch.device, expected: dict[str, str]) -> list[R]:
    """Run a job on a worker, unless the worker differs from the process that gave the job."""
    _check({"a worker": about()}, expected)
    return job.run(device, lambda work: None)


def _check(workers: dict[str, dict[str, str]], expected: dict[str, str]) -> None:
    """Raise a ClusterError that names the first worker that differs, and in what."""
    for worker, found in workers.items():
        for name, value in expected.items():
            if found.get(name) != value:
                raise ClusterError(
                    f"The Dask worker {worker} differs in {name}: {found.get(name)}, and {value} here.",
                    "Install the same packages for all workers and start them again.",
                )


_CLIENTS: dict[Dask, Any] = {}


def _client(backend: Dask) -> Any:  # noqa: ANN401 - Dask has no types
    """Return a client that is connected to the scheduler of a backend, and whose workers can be used."""
    found = _CLIENTS.get(backend)
    if found is None or found.status != "running":
        found = _CLIENTS[backend] = _connected(backend)
    return found


def _connected(backend: Dask) -> Any:  # noqa: ANN401 - Dask has no types
    try:
        from distributed import Client
    except ImportError:
        raise ClusterError(
            "The backend 'dask' needs the packages dask and distributed.",
            "Install them: pip install 'mibench[cluster]'.",
        ) from None
    where = backend.scheduler
    if where == LOCAL:
        try:
            client = Client(_local_cluster(backend.workers or torch.get_num_threads()))
        except RuntimeError as error:
            raise ClusterError(
                f"A cluster on this machine cannot be started: {error}.",
                'In a script, put what is run under: if __name__ == "__main__".',
            ) from None
    else:
        if where.endswith(".json") and not Path(where).is_file():
            raise ClusterError(f"There is no file {where!r}.", "Give the file that dask scheduler wrote.")
        given = {"scheduler_file": where} if where.endswith(".json") else {"address": where}
        try:
            client = Client(**given, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, ValueError) as error:
            raise ClusterError(
                f"No Dask scheduler answers at {where!r}: {error}.",
                "Start one (dask scheduler) and give its address, such as tcp://host:8786, or its file.",
            ) from None
    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except TimeoutError:
        client.close()
        raise ClusterError(
            f"The scheduler {where!r} has no workers.", "Start some: dask worker ADDRESS --nthreads 1."
        ) from None
    try:
        _check(client.run(_probe()), about())
    except ClusterError:
        client.close()
        raise
    return client


@functools.cache
def _local_cluster(workers: int) -> Any:  # noqa: ANN401 - Dask has no types
    """Return a cluster on this machine, which ends with this process."""
    from distributed import LocalCluster

    return LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0")


def _probe() -> Any:  # noqa: ANN401 - a function that is sent whole to workers that may lack this module
    def probe() -> dict[str, str]:
        try:
            from mibench.engine.backends import dask
        except ImportError as error:
            return {"mibench": f"none that can be imported ({error})"}
        return dask.about()

    return probe
