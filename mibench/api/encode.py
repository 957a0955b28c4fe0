"""The encoders that runs need: taken from a store, or trained now and kept there."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from mibench import __version__
from mibench.api.observer import SILENT, Observer
from mibench.api.plan import Plan
from mibench.engine.backends.base import execute
from mibench.engine.balance import divided
from mibench.engine.encoding import TrainedEncoder, encoder_packs
from mibench.engine.jobs import EncoderJob
from mibench.engine.sources import TaskPairs
from mibench.spec import EncoderSpec, RunSpec
from mibench.store.encoders import EncoderStore


def missing_encoders(specs: Sequence[RunSpec], store: EncoderStore | None) -> list[list[EncoderSpec]]:
    """Return the encoders that runs need and the store does not have, in the packs in which they train."""
    packs = encoder_packs(specs)
    left = [[spec for spec in pack if not (store and store.has(spec.key))] for pack in packs]
    return [pack for pack in left if pack]


def encode(
    specs: Sequence[RunSpec],
    planned: Plan,
    store: EncoderStore | None = None,
    observer: Observer = SILENT,
) -> TaskPairs:
    """Return the source of the pairs of a plan's runs, whose encoders are in the store or trained now."""
    found: dict[EncoderSpec, TrainedEncoder] = {}
    for spec in itertools.chain(*encoder_packs(specs)):
        if store and store.has(spec.key):
            found[spec] = TrainedEncoder.from_arrays(spec, store.load(spec.key))
    missing = missing_encoders(specs, store)
    jobs = divided([EncoderJob(tuple(pack)) for pack in missing], planned.backend.slots)
    with observer.progress(
        f"Training {sum(map(len, missing))} encoders", sum(job.work for job in jobs)
    ) as report:
        ended = execute(jobs, planned.backend, planned.device, report)
        for made in itertools.chain.from_iterable(ended):
            found[made.spec] = made
            if store and not made.message:
                store.keep(made.spec.key, made.arrays(), _about(made))
    return TaskPairs(found)


def encoder_failures(specs: Sequence[RunSpec], pairs: TaskPairs) -> dict[RunSpec, str]:
    """Return the runs whose encoder failed, and why; they have no pair."""
    found = {}
    for spec in specs:
        representation = pairs.representation(spec)
        if representation is not None and representation.message:
            found[spec] = representation.message
    return found


def _about(made: TrainedEncoder) -> dict[str, object]:
    return {
        "version": __version__,
        "encoder": made.spec.encoder.label,
        "task": made.spec.task.label,
        "seed": made.spec.seed,
        "wall_s": made.wall_s,
    }
