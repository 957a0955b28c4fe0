"""Where the jobs of a plan run: the device, and the backend that the settings ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch

from mibench.engine import device as devices
from mibench.engine.backends import registry as backends
from mibench.engine.backends.base import Backend
from mibench.engine.backends.local import Local
from mibench.engine.backends.processes import Processes
from mibench.engine.balance import divided, makespan
from mibench.engine.jobs import EncoderJob, PackJob
from mibench.engine.plan import Pack
from mibench.errors import UsageError
from mibench.grid import AUTO, PLACES, Grid, read
from mibench.notation import parse
from mibench.options import options_of

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
    """Where a user wants jobs to run: settings of a grid, none of which enters a key.

    Where `workers` is None, it is this process unless another backend is named.
    """

    device: str = AUTO
    workers: str | None = AUTO
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
        if self.workers not in (None, AUTO):
            options["workers"] = int(self.workers)
        if self.backend is None and self.scheduler is None:
            return Processes(options["workers"]) if options.get("workers", 1) > 1 else Local()
        name = "dask" if self.backend is None else self.backend
        known = options_of(backends.load(parse(name, "backend")[0]))
        for option in options.keys() - known.keys():
            raise UsageError(f"--{option} has no meaning for the backend {name!r}.", "Give one of the two.")
        return backends.get(name, **options)

    def fastest(self, packs: Sequence[Pack], encoders: Sequence[EncoderJob], device: torch.device) -> Backend:
        """Return the backend that is done first with encoders and packs: this process, or several."""
        if device.type == "cuda":
            slots = 1 if ":" in self.device else torch.cuda.device_count()
        else:
            slots = min(torch.get_num_threads(), most_workers(packs))
        if slots < 2:
            return Local()
        jobs = [PackJob.of(pack) for pack in packs]
        alone = sum(job.work for job in encoders) + sum(job.work for job in jobs)
        together = makespan(divided(encoders, slots), slots) + makespan(divided(jobs, slots), slots)
        gain = 1.0 if device.type == "cuda" else THREADS_GAIN
        return Processes(slots) if alone >= WORTH_SECONDS and together * gain < alone else Local()


def largest_bytes(packs: Sequence[Pack]) -> int:
    """Return the memory of the largest pack, 0 where there is none."""
    return max((pack.bytes for pack in packs), default=0)


def needed_bytes(packs: Sequence[Pack], backend: Backend) -> int:
    """Return the memory that this machine needs, its processes included, at the peak."""
    largest = largest_bytes(packs)
    if isinstance(backend, Processes):
        return PROCESS_BYTES + backend.workers * (WORKER_BYTES + largest)
    return PROCESS_BYTES + (largest if isinstance(backend, Local) else 0)


def most_workers(packs: Sequence[Pack]) -> int:
    """Return how many processes fit into the memory of this machine, each with the largest pack."""
    largest = largest_bytes(packs)
    return max(1, _memory() // (WORKER_BYTES + largest))


def _memory() -> int:
    return devices.memory_bytes(torch.device("cpu"))


def check_memory(packs: Sequence[Pack], backend: Backend, device: torch.device) -> None:
    """Refuse packs in which a single run needs more memory than there is, and workers that do not fit.

    Raises:
        UsageError: it names what is needed and what there is.
    """
    if isinstance(backend, Processes) and device.type == "cpu" and backend.workers > most_workers(packs):
        largest, there = largest_bytes(packs), _memory()
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
