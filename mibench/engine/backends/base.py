"""Where jobs run. Today: in this process, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from mibench.engine.jobs import Outcome, PackJob, Report

logger = logging.getLogger(__name__)


class Backend(Protocol):
    """Runs jobs in any order and place, and returns each with its outcomes, or with the error it raised."""

    def run(
        self, jobs: Iterable[PackJob], report: Report
    ) -> Iterator[tuple[PackJob, list[Outcome] | Exception]]:
        """Yield every job as soon as it is finished."""


@dataclass(frozen=True)
class Local:
    """This process and one device."""

    device: torch.device

    def run(
        self, jobs: Iterable[PackJob], report: Report
    ) -> Iterator[tuple[PackJob, list[Outcome] | Exception]]:
        """Yield every job as soon as it is finished, in their order."""
        for job in jobs:
            try:
                yield job, job.run(self.device, report)
            except Exception as error:
                yield job, error


def execute(
    jobs: Iterable[PackJob], backend: Backend, report: Report = lambda work: None
) -> Iterator[list[Outcome]]:
    """Run jobs, and yield the outcomes of each as soon as it is finished.

    A job for which memory does not suffice is halved. After another error its trainings are tried alone once,
    then the estimators of a training; those that raise again are `failed`, with the traceback in the log, and
    the others go on.
    """
    waiting = list(jobs)
    while waiting:
        again: list[PackJob] = []
        for job, found in backend.run(waiting, report):
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
