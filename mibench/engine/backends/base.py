"""What a backend is, and how the jobs that fail on one are repeated in parts."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar

import torch

from mibench.engine.jobs import Outcome, PackJob, Report

logger = logging.getLogger(__name__)

Ended = tuple[PackJob, list[Outcome] | Exception]
"""A job with the outcomes of its runs, or with the error that it raised."""


class Backend(ABC):
    """Where jobs run: the training and reading of models. Encoders are always trained in this process.

    A subclass is a frozen dataclass: its fields are its options, checked in `__post_init__`. Jobs are made of
    values alone, so they can be pickled, and give the same outcomes wherever they run on one kind of device.

    Attributes:
        name: what users type.
        version: as every registered class has; it enters no key.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1

    @abstractmethod
    def run(self, jobs: Iterable[PackJob], device: torch.device, report: Report) -> Iterator[Ended]:
        """Yield every job as soon as it has ended, in any order.

        `report` belongs to this process; work that is done elsewhere need not be reported.
        """


def execute(
    jobs: Iterable[PackJob], backend: Backend, device: torch.device, report: Report = lambda work: None
) -> Iterator[list[Outcome]]:
    """Run jobs, and yield the outcomes of each as soon as it is finished.

    A job for which memory does not suffice is halved. After another error its trainings are tried alone once,
    then the estimators of a training; those that raise again are `failed`, with the traceback in the log, and
    the others go on.
    """
    waiting = list(jobs)
    while waiting:
        again: list[PackJob] = []
        for job, found in backend.run(waiting, device, report):
            if isinstance(found, list):
                yield found
                continue
            out_of_memory = isinstance(found, torch.OutOfMemoryError)
            parts = job.halves() if out_of_memory and len(job.trainings) > 1 else job.singles()
            if len(parts) > 1:
                again += parts
                continue
            spec = job.specs[0]
            logger.error("%s on %s failed.", spec.estimator.label, spec.task.label, exc_info=found)
            yield job.failed(found)
        waiting = again
