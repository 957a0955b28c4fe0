"""The backend that runs jobs in several processes on this machine."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

import torch

from mibench.engine.backends.base import Backend, Ended, R, WorkerLostError
from mibench.engine.jobs import Job, Report
from mibench.options import option
from mibench.validation import check_sizes


@dataclass(frozen=True)
class Processes(Backend):
    """Several processes on this machine, each with its share of the threads, or on a GPU of its own.

    Packs are independent: processes of one thread each wait for nothing, where the threads of one process
    wait for each other after every product. A worker that is killed costs its job a repetition.
    """

    workers: int = option(2, "number of processes")
    gpus: int = option(1, "how many GPUs they share, where the device is CUDA")

    name = "processes"

    def __post_init__(self) -> None:
        check_sizes(self.name, workers=self.workers, gpus=self.gpus)

    @property
    def slots(self) -> int:  # type: ignore[override]
        """How many jobs run at once."""
        return self.workers

    @property
    def threads(self) -> int:
        """Threads of each worker."""
        return max(1, torch.get_num_threads() // self.workers)

    def resolve(self, name: str) -> tuple[torch.device, str]:
        """Return the device that a user names, and a sentence that says what was chosen."""
        device, message = super().resolve(name)
        if device.type == "cuda":
            return device, f"{message}; {self.workers} workers on {self.gpus} GPUs"
        each = f"{self.threads} thread{'s' * (self.threads > 1)} each"
        return device, f"device: cpu, {self.workers} workers with {each}"

    def flops_per_second(self, device: torch.device) -> float:
        """Return the rate of matrix products that one worker has, measured for a moment."""
        shared = min(self.workers, torch.get_num_threads()) if device.type == "cpu" else 1
        return super().flops_per_second(device) / shared

    def run(self, jobs: Sequence[Job[R]], device: torch.device, report: Report) -> Iterator[Ended[R]]:
        """Yield every job as soon as it has ended, started in their order."""
        waiting: SimpleQueue[Job[R]] = SimpleQueue()
        events: SimpleQueue[tuple[Job[R] | None, Any]] = SimpleQueue()
        for job in jobs:
            waiting.put(job)
        workers = [
            Worker(self.threads, device_of(place, device, self.gpus))
            for place in range(min(self.workers, len(jobs)))
        ]
        for worker in workers:
            Thread(target=_feed, args=(worker, waiting, events), daemon=True).start()
        try:
            left = len(jobs)
            while left:
                ended, content = events.get()
                if ended is None:
                    report(content)
                else:
                    left -= 1
                    yield ended, content
        finally:
            while not waiting.empty():
                waiting.get()
            for worker in workers:
                worker.stop()


def device_of(place: int, device: torch.device, gpus: int) -> torch.device:
    """Return the device of a worker: of several GPUs, each in turn."""
    return torch.device("cuda", place % gpus) if device.type == "cuda" and gpus > 1 else device


def _feed(worker: Worker, waiting: SimpleQueue[Job[R]], events: SimpleQueue[tuple[Any, Any]]) -> None:
    """Give jobs to a worker until none is waiting; work that was done in vain is reported as undone."""
    while True:
        try:
            job = waiting.get_nowait()
        except Empty:
            return
        done = 0.0

        def report(work: float) -> None:
            nonlocal done
            done += work
            events.put((None, work))

        ended = worker.run(job, report)
        if isinstance(ended, Exception):
            report(-done)
        events.put((job, ended))


class Worker:
    """A process that runs one job after the other; it is started when it is needed, and again if it dies."""

    def __init__(self, threads: int, device: torch.device) -> None:
        self._threads, self._device = threads, device
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped, self._changing = False, Lock()

    def run(self, job: Job[R], report: Report) -> list[R] | Exception:
        """Return the results of a job, or its error; a `WorkerLostError` where the process dies."""
        try:
            given = pickle.dumps((job, self._device))
        except Exception as error:  # of a plug-in whose options cannot be pickled
            return error
        process = self._started()
        if process is None:
            return WorkerLostError(f"a worker was stopped before it ran {job.label}")
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(given)
            process.stdin.flush()
            while True:
                kind, content = pickle.load(process.stdout)
                if kind == "ended":
                    ended: list[R] | Exception = content
                    return ended
                report(content)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            self._process = None
            return WorkerLostError(f"a worker {_how_it_ended(_end(process))} while it ran {job.label}")

    def stop(self) -> None:
        """End the process, whatever it does."""
        with self._changing:
            self._stopped, process = True, self._process
        if process is not None:
            _end(process)

    def _started(self) -> subprocess.Popen[bytes] | None:
        """Return the process, which is started where there is none; None once the worker is stopped."""
        with self._changing:
            if self._process is None and not self._stopped:
                self._process = self._start()
            return self._process

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(self._threads),
            "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "mibench.engine.backends.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is for this process, which ends its workers
        )


def _end(process: subprocess.Popen[bytes]) -> int:
    """End a process that may have ended, and return its status."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError, ValueError):  # what was not written yet is for nobody
            assert pipe is not None
            pipe.close()
    return process.wait()


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"was killed by signal {-status} ({signal.strsignal(-status)})"
