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

from mibench.engine.backends.base import Backend, Ended, JobReport, R, WorkerLostError
from mibench.engine.jobs import Job, Report
from mibench.errors import UsageError
from mibench.options import option
from mibench.validation import check_sizes

LAST_SECONDS = 5.0
"""How long a worker that no longer answers is given to end by itself, so that it is known what ended it."""


@dataclass(frozen=True)
class Processes(Backend):
    """Several processes on this machine, each with its share of the threads, or on a GPU of its own.

    Packs are independent: processes of one thread each wait for nothing, where the threads of one process
    wait for each other after every product. A worker that is killed costs its job a repetition.
    """

    workers: int = option(2, "number of processes")

    name = "processes"

    def __post_init__(self) -> None:
        check_sizes(self.name, workers=self.workers)

    @property
    def slots(self) -> int:  # type: ignore[override]
        """How many jobs run at once."""
        return self.workers

    @property
    def threads(self) -> int:
        """Threads of each worker."""
        return max(1, torch.get_num_threads() // self.workers)

    def resolve(self, name: str) -> tuple[torch.device, str]:
        """Return the device that a user names, and a sentence that says what was chosen.

        It has no number where workers use several GPUs.
        """
        device, message = super().resolve(name)
        if device.type == "cpu":
            each = f"{self.threads} thread{'s' * (self.threads > 1)} each"
            return device, f"device: cpu, {self.workers} workers with {each}"
        if ":" not in name and (gpus := torch.cuda.device_count()) > 1:
            return torch.device("cuda"), f"device: cuda, {self.workers} workers on {gpus} GPUs"
        return device, f"{message}; {self.workers} workers"

    def flops_per_second(self, device: torch.device) -> float:
        """Return the rate of matrix products that one worker has, measured for a moment."""
        shared = min(self.workers, torch.get_num_threads()) if device.type == "cpu" else 1
        return super().flops_per_second(device) / shared

    def budget_bytes(self, device: torch.device) -> int:
        """Return how much memory a pack may need: on a GPU, the share of one worker."""
        if device.type == "cpu":
            return super().budget_bytes(device)
        gpus = torch.cuda.device_count() if device.index is None else 1
        return super().budget_bytes(device) // -(-self.workers // gpus)

    def run(self, jobs: Sequence[Job[R]], device: torch.device, report: JobReport) -> Iterator[Ended[R]]:
        """Yield every job as soon as it has ended, started in their order.

        Raises:
            UsageError: no worker can be started.
        """
        waiting: SimpleQueue[Job[R]] = SimpleQueue()
        events: SimpleQueue[tuple[Job[R] | None, Any]] = SimpleQueue()
        for job in jobs:
            waiting.put(job)
        workers = [
            Worker(self.threads, device_of(place, device)) for place in range(min(self.workers, len(jobs)))
        ]
        try:
            for worker in workers:
                Thread(target=_feed, args=(worker, waiting, events), daemon=True).start()
            left, at_work, why = len(jobs), len(workers), None
            while left:
                job_or_none, content = events.get()
                if job_or_none is None:
                    at_work, why = at_work - 1, content or why
                    if not at_work:
                        raise UsageError(f"No worker can be started: {why}.", "Give fewer --workers.")
                elif isinstance(content, float):
                    report(job_or_none, content)
                else:
                    left -= 1
                    yield job_or_none, content
        finally:
            for worker in workers:
                worker.stop()


def device_of(place: int, device: torch.device) -> torch.device:
    """Return the device of a worker: of several GPUs, each in turn."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", place % torch.cuda.device_count())
    return device


def _feed(worker: Worker, waiting: SimpleQueue[Job[R]], events: SimpleQueue[tuple[Any, Any]]) -> None:
    """Give jobs to a worker while there are any, and tell of the work that is done and of each job's end.

    Where the worker cannot be started, others do the job, and that is the last event.
    """
    why: OSError | None = None
    while not worker.stopped:
        try:
            job = waiting.get_nowait()
        except Empty:
            break
        try:
            worker.start()
        except OSError as error:
            waiting.put(job)
            why = error
            break
        events.put((job, worker.run(job, _told(events, job))))
    events.put((None, why))


def _told(events: SimpleQueue[tuple[Any, Any]], job: Job[R]) -> Report:
    return lambda work: events.put((job, float(work)))


class Worker:
    """A process that runs one job after the other; it can be started again where it has died."""

    def __init__(self, threads: int, device: torch.device) -> None:
        self._threads, self._device = threads, device
        self._process: subprocess.Popen[bytes] | None = None
        self._changing = Lock()
        self.stopped = False

    def start(self) -> None:
        """Start the process where there is none, unless the worker was stopped.

        Raises:
            OSError: the system has no more of something.
        """
        with self._changing:
            if self._process is None and not self.stopped:
                self._process = self._started()

    def run(self, job: Job[R], report: Report) -> list[R] | Exception:
        """Return the results of a job, or its error; a `WorkerLostError` where the process dies."""
        process = self._process
        if process is None or self.stopped:
            return WorkerLostError(f"a worker was stopped before it ran {job.label}")
        try:
            given = pickle.dumps((job, self._device))
        except Exception as error:  # of a plug-in whose options cannot be pickled
            return error
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
        except Exception as error:  # nothing more can be read, or what cannot be understood here
            self._process = None
            return WorkerLostError(f"a worker {_end(process, error)} while it ran {job.label}")

    def stop(self) -> None:
        """End the process, whatever it does, and start none again."""
        with self._changing:
            self.stopped, process = True, self._process
        if process is not None:
            _kill(process)

    def _started(self) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(self._threads),
            "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path),
        }
        return subprocess.Popen(
            # -P: what lies in the current folder is no module of ours.
            [sys.executable, "-P", "-m", "mibench.engine.backends.worker", str(self._threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is for this process, which ends its workers
        )


def _end(process: subprocess.Popen[bytes], error: Exception) -> str:
    """End a process that no longer answers, and return in words how it ended."""
    try:
        status = process.wait(LAST_SECONDS)
    except subprocess.TimeoutExpired:
        return f"gave an answer that cannot be read ({type(error).__name__}: {error})"
    finally:
        _kill(process)
    if status >= 0:
        return f"ended with status {status}"
    return f"was killed by signal {-status} ({signal.strsignal(-status)})"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that may have ended, with all that it has started."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)  # its session is its own
        else:
            process.kill()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError, ValueError):  # what was not written yet is for nobody
            assert pipe is not None
            pipe.close()
    process.wait()
