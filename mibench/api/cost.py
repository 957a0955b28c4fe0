"""What running a grid would take."""

from __future__ import annotations

from mibench.api.encode import missing_encoders
from mibench.api.placement import largest_bytes, needed_bytes
from mibench.api.plan import Plan
from mibench.engine.balance import makespan
from mibench.engine.encoding import seconds_to_train
from mibench.store.encoders import EncoderStore

START_SECONDS = 6.0
"""What a command takes beside its packs: imports, tables and figures."""


def cost(planned: Plan, finished: int, encoder_store: EncoderStore) -> dict[str, float]:
    """Return what the runs of a plan would take beside those that are finished, measuring for a moment."""
    encoders = missing_encoders(planned.specs, encoder_store)
    jobs, slots = planned.jobs(), planned.backend.slots
    packs = [job.pack for job in jobs]
    rate = planned.backend.flops_per_second(planned.device)
    largest = largest_bytes(packs)
    share = makespan(jobs, slots) / max(sum(job.work for job in jobs), 1e-9)
    training_s = share * sum(pack.seconds(rate) for pack in packs)
    encoding_s = sum(planned.backend.ask(seconds_to_train, pack, planned.device) for pack in encoders)
    encoding_s /= min(slots, max(1, sum(map(len, encoders))))
    return {
        "runs": len(planned.specs),
        "finished": finished,
        "encoders": sum(map(len, encoders)),
        "trainings": sum(len(pack.trainings) for pack in packs),
        "packs": len(packs),
        "largest_pack": max((len(pack.trainings) for pack in packs), default=0),
        "seconds": START_SECONDS + encoding_s + training_s,
        "pack_mib": largest / 2**20,
        "memory_mib": needed_bytes(packs, planned.backend) / 2**20,
    }
