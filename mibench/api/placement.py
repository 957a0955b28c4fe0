"""Where the jobs of a plan run: the device, and the backend that the settings ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import psutil
import torch

from mibench.engine.backends import registry as backends
from mibench.engine.backends.base import Backend
from mibench.engine.backends.local import Local
from mibench.engine.backends.processes import Processes
from mibench.engine.balance import divided, makespan
from mibench.engine.jobs import PackJob
from mibench.engine.plan import Pack
from mibench.errors import UsageError
from mibench.grid import AUTO, PLACES, Grid, read

WORTH_SECONDS = 20.0
"""What takes less than this is run in this process: workers take some seconds to start."""

THREADS_GAIN = 1.5
"""The threads of one process make it this many times faster, about, on an idle machine."""

PROCESS_BYTES = 500 * 2**20
"""Memory of a process that trains and draws, beside its packs."""

WORKER_BYTES = 400 * 2**20
"""Memory of a process that trains, beside its packs."""


@dataclass(frozen=True)
class Placement:
    """Where a user wants jobs to run: settings of a grid, none of which enters a key."""

    device: str = AUTO
    workers: str = AUTO
    scheduler: str | None = None
    backend: str | None = None

    @classmethod
    def of(cls, grid: Grid) -> Self:
        """Return the placement that a grid asks for."""
        return cls(**{name: getattr(grid, name) for name in PLACES})

    @classmethod
    def given(cls, verb: str, settings: Mapping[str, Any]) -> Self:
        """Return the placement that a user of a verb asks for, among other settings.

        Raises:
            UsageError: a value that is not allowed.
        """
        return cls.of(read(verb, {name: settings[name] for name in PLACES if name in settings}))

    @property
    def is_open(self) -> bool:
        """Whether it is left to us how many processes there are."""
        return self.workers == AUTO and self.scheduler is None and self.backend is None

    def named(self) -> Backend:
        """Return the backend that is asked for; where that is left open, this process.

        Raises:
            UsageError: an unknown backend, or settings that it does not have.
        """
        options: dict[str, Any] = {} if self.scheduler is None else {"scheduler": self.scheduler}
        if self.workers != AUTO:
            options["workers"] = int(self.workers)
        if self.backend is not None or self.scheduler is not None:
            return backends.get(self.backend or "dask", **options)
        return Local() if self.workers in (AUTO, "1") else self._processes(int(self.workers))

    def fastest(self, packs: Sequence[Pack], device: torch.device) -> Backend:
        """Return the backend that is done with the packs first: this process, or several."""
        slots = self._gpus() if device.type == "cuda" else torch.get_num_threads()
        fitting = slots if device.type == "cuda" else most_workers(packs)
        workers = min(slots, fitting, sum(len(pack.trainings) for pack in packs))
        jobs = [PackJob.of(pack) for pack in packs]
        alone = sum(job.work for job in jobs)
        if workers < 2 or alone < WORTH_SECONDS:
            return Local()
        faster = makespan(divided(jobs, workers), workers) * THREADS_GAIN < alone
        return self._processes(workers) if faster else Local()

    def _processes(self, workers: int) -> Processes:
        return Processes(workers, gpus=max(1, self._gpus()))

    def _gpus(self) -> int:
        """Return how many GPUs there are, where the device is not one of them by its number."""
        return torch.cuda.device_count() if self.device in (AUTO, "cuda") else 1


def needed_bytes(packs: Sequence[Pack], backend: Backend) -> int:
    """Return the memory that this machine needs, its processes included, at the peak."""
    largest = max((pack.bytes for pack in packs), default=0)
    if isinstance(backend, Processes):
        return PROCESS_BYTES + backend.workers * (WORKER_BYTES + largest)
    return PROCESS_BYTES + (largest if isinstance(backend, Local) else 0)


def most_workers(packs: Sequence[Pack]) -> int:
    """Return how many processes fit into the memory of this machine, each with the largest pack."""
    largest = max((pack.bytes for pack in packs), default=0)
    return max(1, int(psutil.virtual_memory().total // (WORKER_BYTES + largest)))


def check_memory(packs: Sequence[Pack], backend: Backend, device: torch.device) -> None:
    """Refuse packs in which a single run needs more memory than there is, and workers that do not fit.

    Raises:
        UsageError: it names what is needed and what there is.
    """
    if isinstance(backend, Processes) and device.type == "cpu" and backend.workers > most_workers(packs):
        largest, there = max((pack.bytes for pack in packs), default=0), psutil.virtual_memory().total
        raise UsageError(
            f"{backend.workers} workers need about {backend.workers * (WORKER_BYTES + largest) / 2**30:.0f} "
            f"GiB; this machine has {there / 2**30:.0f} GiB.",
            f"Give --workers {most_workers(packs)} or fewer.",
        )
    there = backend.memory_bytes(device)
    for pack in packs:
        by_n = Pack(pack.trainings[:1], pack.source).bytes_by_n
        n, needed = max(by_n.items(), key=lambda item: item[1])
        if needed > there:
            model = "" if pack.first.fit is None else f" with {pack.fit.model.label!r}"
            raise UsageError(
                f"One run of {pack.first.estimator.label} at n = {n}{model} needs about "
                f"{needed / 2**30:.0f} GiB; {device} has {there / 2**30:.0f} GiB.",
                "Give a smaller n, dim or critic, or fewer samples.",
            )
