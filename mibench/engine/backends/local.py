"""The backend that runs jobs here."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from mibench.engine.backends.base import Backend, Ended, JobReport, R
from mibench.engine.jobs import Job


@dataclass(frozen=True)
class Local(Backend):
    """This process, one job after the other."""

    name = "local"

    def run(self, jobs: Sequence[Job[R]], device: torch.device, report: JobReport) -> Iterator[Ended[R]]:
        """Yield every job as soon as it is finished, in their order."""
        for job in jobs:
            try:
                yield job, job.run(device, functools.partial(report, job))
            except Exception as error:
                yield job, error
