"""The pairs that critics see: a task's own, or what a trained encoder makes of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import torch

from mibench import __version__, encoders
from mibench.engine.encoding import Pair, TrainedEncoder, encoder_of, encoder_packs, represent, train_encoders
from mibench.engine.plan import task_itself
from mibench.registry import Choice
from mibench.spec import EncoderSpec, RunSpec
from mibench.store.encoders import EncoderStore
from mibench.tasks.base import Task


def missing_encoders(specs: Sequence[RunSpec], store: EncoderStore | None) -> list[list[EncoderSpec]]:
    """Return the encoders that runs need and the store does not have, in the packs in which they train."""
    packs = encoder_packs(specs)
    left = [[spec for spec in pack if not (store and store.has(spec.key))] for pack in packs]
    return [pack for pack in left if pack]


def encoder_steps(packs: Sequence[Sequence[EncoderSpec]]) -> int:
    """Return how many steps the training of packs of encoders takes."""
    return sum(encoders.registry.make(pack[0].encoder).steps for pack in packs)


class Pairs:
    """Where the tasks of runs come from; every encoder that the runs need is there once this is made.

    Encoders come from the store, or are trained and kept there; `report` is told of their steps.

    Attributes:
        failures: the runs whose encoder failed, and why; they have no pair.
    """

    def __init__(
        self,
        specs: Sequence[RunSpec],
        device: torch.device,
        store: EncoderStore | None = None,
        report: Callable[[int], None] = lambda steps: None,
    ) -> None:
        trained = _encoders(specs, device, store, report)
        self._pairs: dict[tuple[Choice, EncoderSpec], Pair] = {}
        self.failures: dict[RunSpec, str] = {}
        for spec in specs:
            encoder = encoder_of(spec)
            if encoder is None:
                continue
            name = (spec.task, encoder)
            if name not in self._pairs:
                self._pairs[name] = represent(task_itself(spec), trained[encoder])
            if self._pairs[name].message:
                self.failures[spec] = self._pairs[name].message

    def sound(self, specs: Sequence[RunSpec]) -> list[RunSpec]:
        """Return those of the runs whose encoder did not fail."""
        return [spec for spec in specs if spec not in self.failures]

    def __call__(self, spec: RunSpec) -> Task:
        """Return the pair that a run's critic sees."""
        pair = self._pair(spec)
        if pair is None:
            return task_itself(spec)
        assert pair.task is not None
        return pair.task

    def interval(self, spec: RunSpec) -> tuple[float | None, float | None]:
        """Return the interval that holds the truth of a run in nats; nothing where the encoder failed."""
        pair = self._pair(spec)
        if pair is None:
            return task_itself(spec).true_mi_interval_nats
        return (None, None) if pair.task is None else pair.task.true_mi_interval_nats

    def facts(self, spec: RunSpec) -> Mapping[str, float]:
        """Return what is known of a run's representation."""
        pair = self._pair(spec)
        return {} if pair is None else pair.facts

    def _pair(self, spec: RunSpec) -> Pair | None:
        encoder = encoder_of(spec)
        return None if encoder is None else self._pairs[spec.task, encoder]


def _encoders(
    specs: Sequence[RunSpec],
    device: torch.device,
    store: EncoderStore | None,
    report: Callable[[int], None],
) -> dict[EncoderSpec, TrainedEncoder]:
    """Return every encoder that runs need, from the store or trained now and kept there."""
    found: dict[EncoderSpec, TrainedEncoder] = {}
    for spec in itertools.chain(*encoder_packs(specs)):
        if store and store.has(spec.key):
            found[spec] = TrainedEncoder.from_arrays(spec, store.load(spec.key))
    for pack in missing_encoders(specs, store):
        for made in train_encoders(pack, device, report):
            found[made.spec] = made
            if store and not made.message:
                store.keep(made.spec.key, made.arrays(), _about(made))
    return found


def _about(made: TrainedEncoder) -> dict[str, object]:
    return {
        "version": __version__,
        "encoder": made.spec.encoder.label,
        "task": made.spec.task.label,
        "seed": made.spec.seed,
        "wall_s": made.wall_s,
    }
