"""Parts of a plan that are run by commands that know nothing of each other, such as those of a job array."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mibench.api.plan import Plan
from mibench.engine.balance import deal, divided
from mibench.engine.device import CACHE_BUDGET_BYTES
from mibench.engine.encoding import encoder_of
from mibench.engine.jobs import EncoderJob, PackJob
from mibench.engine.plan import packs
from mibench.errors import UsageError
from mibench.spec import EncoderSpec, RunSpec


@dataclass(frozen=True)
class Part:
    """Runs that are done together, and what they weigh."""

    specs: tuple[RunSpec, ...]
    work: float


def part_of(planned: Plan, shard: str | None) -> Plan:
    """Return one of several parts of a plan: "3/16" is the third of sixteen, None the whole.

    The parts depend on the runs of the whole plan alone, not on the machine or on what is finished. They
    share no run, together have all, and take about equally long. Runs on one encoder are in one part.

    Raises:
        UsageError: a text that is not of this form, or a number beyond the last part.
    """
    if shard is None:
        return planned
    number, count = _read(shard)
    return replace(planned, specs=_shards(planned.specs, count)[number - 1], part=f"{number}/{count}")


def _read(shard: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", str(shard).strip())
    if match is None:
        raise UsageError(f"shard must be a part of several, not {shard!r}.", "Give it as 3/16.")
    number, count = map(int, match.groups())
    if not 1 <= number <= count:
        raise UsageError(
            f"shard {shard}: there is no part {number} of {count}.",
            f"The first is 1/{max(count, 1)}, the last {count}/{count}.",
        )
    return number, count


def _shards(specs: Sequence[RunSpec], count: int) -> list[tuple[RunSpec, ...]]:
    order = {spec: place for place, spec in enumerate(specs)}
    dealt = deal(_parts(specs, count), count)
    return [
        tuple(sorted((spec for part in parts for spec in part.specs), key=order.__getitem__))
        for parts in dealt
    ]


def _parts(specs: Sequence[RunSpec], count: int) -> list[Part]:
    """Return what is dealt: the packs of runs without encoder, and of others all runs on one encoder."""
    by_encoder: dict[EncoderSpec | None, list[RunSpec]] = {}
    for spec in specs:
        by_encoder.setdefault(encoder_of(spec), []).append(spec)
    free = _jobs(by_encoder.pop(None, []))
    parts = [Part(tuple(job.specs), job.work) for job in divided(free, count)]
    for encoder, own in by_encoder.items():
        assert encoder is not None
        parts.append(Part(tuple(own), EncoderJob((encoder,)).work + sum(job.work for job in _jobs(own))))
    return parts


def _jobs(specs: Sequence[RunSpec]) -> list[PackJob]:
    # The packs of a CPU, wherever this runs: those of a GPU depend on its free memory.
    return [PackJob.of(pack) for pack in packs(specs, CACHE_BUDGET_BYTES)]
