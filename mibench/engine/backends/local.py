"""The backend that runs jobs here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from mibench.engine.backends.base import Backend, Ended
from mibench.engine.jobs import PackJob, Report


@dataclass(frozen=True)
class Local(Backend):
    """This process, one job after the other."""

    name = "local"

    def run(self, jobs: Iterable[PackJob], device: torch.device, report: Report) -> Iterator[Ended]:
        """Yield every job as soon as it is finished, in their order."""
        for job in jobs:
            try:
                yield job, job.run(device, report)
            except Exception as error:
                yield job, error
