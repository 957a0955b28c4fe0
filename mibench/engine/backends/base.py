"""What a backend is, and how the jobs that fail on one are repeated in parts."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, ClassVar, TypeVar

import torch

from mibench.engine import device as devices
from mibench.engine.jobs import Job, Report

logger = logging.getLogger(__name__)

R = TypeVar("R")
T = TypeVar("T")

JobReport = Callable[[Job[Any], float], None]
"""Called with a job and the work done of it since the last call."""

Ended = tuple[Job[R], "list[R] | Exception"]
"""A job with its results, or with the error that it raised."""


class WorkerLostError(RuntimeError):
    """A worker ended before its job: it was killed, by the system where memory did not suffice."""


class Backend(ABC):
    """Where jobs run: the training of encoders, and the training and reading of models.

    A subclass is a frozen dataclass: its fields are its options, checked in `__post_init__`. Jobs are made of
    values alone, so they can be pickled, and give the same results wherever they run on one kind of device.

    Attributes:
        name: what users type.
        version: as every registered class has; it enters no key.
        slots: how many jobs run at once.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    slots: int = 1

    @abstractmethod
    def run(self, jobs: Sequence[Job[R]], device: torch.device, report: JobReport) -> Iterator[Ended[R]]:
        """Yield every job as soon as it has ended, in any order.

        A job whose worker is lost ends with a `WorkerLostError`. `report` is called here, with a job and the
        work that was done of it; what is not reported is added when the job has ended.
        """

    def close(self) -> None:  # noqa: B027 - most have nothing to give back
        """Give back what the backend holds between jobs; it can be used again."""

    def ask(self, function: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401 - what the function takes
        """Return what a function returns where jobs run."""
        return function(*arguments)

    def resolve(self, name: str) -> tuple[torch.device, str]:
        """Return the device that a user names, and a sentence that says what was chosen.

        Raises:
            UsageError: there is no such device.
        """
        return self.ask(devices.resolve, name)

    def budget_bytes(self, device: torch.device) -> int:
        """Return how much memory a pack may need where jobs run."""
        return self.ask(devices.budget_bytes, device)

    def flops_per_second(self, device: torch.device) -> float:
        """Return the rate of matrix products that one job has, measured for a moment."""
        return self.ask(devices.flops_per_second, device)

    def memory_bytes(self, device: torch.device) -> int:
        """Return the memory that there is for one job."""
        return devices.memory_bytes(device) // (self.slots if device.type == "cpu" else 1)


def execute(
    jobs: Sequence[Job[R]], backend: Backend, device: torch.device, report: Report = lambda work: None
) -> Iterator[list[R]]:
    """Run jobs, and yield the results of each as soon as it is finished.

    A job whose worker was lost is repeated once. One that has lost two, or for which memory does not suffice,
    is halved. After another error its parts are tried alone once; those that raise again have failed, with
    the traceback in the log, and the others go on.
    """
    if not jobs:
        return
    with closing(backend):
        yield from _executed(jobs, backend, device, report)


def _executed(
    jobs: Sequence[Job[R]], backend: Backend, device: torch.device, report: Report
) -> Iterator[list[R]]:
    waiting, lost_once = list(jobs), set[int]()
    done: dict[int, float] = defaultdict(float)

    def count(job: Job[Any], work: float) -> None:
        done[id(job)] += work
        report(work)

    while waiting:
        again: list[Job[R]] = []
        for job, found in backend.run(waiting, device, count):
            repeated = [] if isinstance(found, list) else _repeated(job, found, id(job) in lost_once)
            again += repeated
            report((0.0 if repeated else job.work) - done.pop(id(job), 0.0))
            if isinstance(found, list):
                yield found
            elif not repeated:
                logger.error("%s failed.", job.label, exc_info=found)
                yield job.failed(found)
        lost_once = set(map(id, waiting)) & set(map(id, again))
        waiting = again


def _repeated(job: Job[R], error: Exception, lost_before: bool) -> list[Job[R]]:
    """Return what is tried after an error: the job once more, its halves, its parts, or nothing."""
    lost = isinstance(error, WorkerLostError)
    if lost and not lost_before:
        return [job]
    halves = job.halves() if lost or isinstance(error, torch.OutOfMemoryError) else [job]
    parts = halves if len(halves) > 1 else job.singles()
    return list(parts) if len(parts) > 1 else []
