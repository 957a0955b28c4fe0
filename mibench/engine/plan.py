"""From runs to packs: which runs share a training, which train together, and what a pack costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch

from mibench import estimators, models, tasks
from mibench.batch import Dims
from mibench.engine.cost import Cost, cost_of
from mibench.engine.protocols import registry as protocols
from mibench.engine.protocols.base import Protocol
from mibench.engine.sources import Source, TaskPairs
from mibench.engine.tiling import (
    ANCHORS,
    FEATURE_ROWS,
    Tiling,
    anchors_at,
    forms_pairs,
    tiled_model,
    tiled_pair,
)
from mibench.errors import UsageError
from mibench.estimators.base import Estimator
from mibench.models.base import Model
from mibench.objectives import Objective
from mibench.registry import Choice
from mibench.spec import Fit, RunSpec, digest
from mibench.tasks.pair import Pair
from mibench.tiles import LARGEST_MATRIX, TILE_PAIRS

CHUNK_NUMBERS = 2**16
"""Training data are drawn for several steps at once: about this many numbers per run."""

EVALUATED_NUMBERS = 2**16
"""Evaluation data are drawn for several batches at once: about this many numbers per run."""

READ_NUMBERS = 2**19
"""Score matrices are read for several runs at once, in float64: about this many numbers."""

EFFICIENCY = 0.5
"""The share of a large matrix product's rate that a step of a pack reaches (see benchmarks/)."""

SECONDS_A_STEP = 5e-4
"""What a step, or reading a batch, costs in calls alone, however small its tensors."""

NOMINAL_FLOPS_PER_SECOND = 1.5e11

TRAINED_NUMBER, READ_NUMBER, EXACT_NUMBER, READ_COORDINATE = 490.0, 270.0, 800.0, 55.0
"""What elementwise work takes, in operations of a matrix product that take as long: a step's for each number
that a model puts out, what an estimator reads of it, and the exact value beside it; where nothing is trained,
what each coordinate of a pair of rows takes."""

READ_IN_TRAINING = 0.25
"""Protocols that read what they train on take this share of their training for it."""

MOST_ROWS = 2**16
"""An evaluation stops at this many pairs per run, even where the variance asks for more."""

MOST_PAIRS = 2**31
"""And at this many scores, which only batches of n above 32,768 have."""

MOST_READING_BYTES = 2**31
"""What the trainings of a pack may need together where large batches are read, on any device."""

PILOT_BATCHES, FEW_BATCHES = 48, 8
"""The batches of a pilot, and of one whose batches are read by the usual number of anchors or more."""

FEATURES_A_ROW = 64
"""About how many numbers a critic's features of a row have."""

Training = tuple[RunSpec, ...]
"""Runs that are read from one training; the first represents the group during training."""


@dataclass(frozen=True)
class Pack:
    """Trainings of equal shapes, done as one tensor program with a leading run axis.

    Where nothing is trained, a training is the runs of several estimators on the same data.

    Attributes:
        trainings: for each place on the run axis, the runs that are read there.
        source: where the pairs of runs come from.
        is_read: runs are seen as they are read: `n` is that of a batch which is read, and not of training.
    """

    trainings: tuple[Training, ...]
    source: Source = field(default_factory=TaskPairs)
    is_read: bool = False

    @cached_property
    def specs(self) -> tuple[RunSpec, ...]:
        """Every run."""
        return tuple(spec for training in self.trainings for spec in training)

    @cached_property
    def leaders(self) -> tuple[RunSpec, ...]:
        """The run that represents each training, with the n of its batches."""
        runs = (training[0] for training in self.trainings)
        return tuple(run if self.is_read else run.in_training for run in runs)

    def readings(self) -> list[tuple[list[int], Pack]]:
        """Return the places that are read alike, with the same n and anchors, and their runs as a pack."""
        alike: dict[tuple[int, int | None], dict[int, list[RunSpec]]] = {}
        for place, training in enumerate(self.trainings):
            for spec in training:
                rows = spec.n, None if spec.fit is None else spec.fit.anchors
                alike.setdefault(rows, {}).setdefault(place, []).append(spec)
        return [
            (list(found), Pack(tuple(map(tuple, found.values())), self.source, is_read=True))
            for found in alike.values()
        ]

    @property
    def first(self) -> RunSpec:
        """A run that represents what all share: objective, model, protocol, n, steps, schedule."""
        return self.leaders[0]

    @property
    def fit(self) -> Fit:
        """How every run is trained."""
        assert self.first.fit is not None
        return self.first.fit

    @cached_property
    def objective(self) -> Objective | None:
        """What every run trains, None for nothing."""
        return estimators.objective_of(self.first.estimator)

    @cached_property
    def estimators(self) -> dict[Choice, Estimator]:
        """Every estimator that is read."""
        return {spec.estimator: estimators.registry.make(spec.estimator) for spec in self.specs}

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol of every run."""
        return protocols.make(self.first.protocol)

    @cached_property
    def model(self) -> Model | None:
        """The model of every run, None where nothing is trained."""
        return None if self.first.fit is None else models.registry.make(self.fit.model)

    @property
    def _forms_pairs(self) -> bool:
        return self.model is not None and forms_pairs(type(self.model))

    @property
    def anchors(self) -> int:
        """How many rows of a batch are read."""
        if not self.is_read or not self._forms_pairs:
            return self.first.n
        return self.fit.anchors or anchors_at(self.first.n)

    @property
    def in_tiles(self) -> bool:
        """Whether scores are tiles: of large matrices or larger ones than in training, or of some rows."""
        if not self._forms_pairs:
            return False
        trained = self.fit.train_n if self.is_read else None
        return self.first.n > min(LARGEST_MATRIX, trained or LARGEST_MATRIX) or self.anchors < self.first.n

    @property
    def pilot_batches(self) -> int:
        """How many batches are read before it is known how many are needed."""
        if self.anchors == self.first.n <= LARGEST_MATRIX:
            return PILOT_BATCHES
        return min(PILOT_BATCHES, max(FEW_BATCHES, FEW_BATCHES * ANCHORS // self.anchors))

    @property
    def most_batches(self) -> int:
        """At how many batches an evaluation stops."""
        pairs = self.anchors * self.first.n
        return max(self.pilot_batches, min(MOST_ROWS // self.anchors, MOST_PAIRS // pairs))

    @cached_property
    def applied_model(self) -> Any:  # noqa: ANN401 - a model of any kind, or one that returns tiles
        """The model as it is applied to batches: where matrices would be too large, it returns tiles."""
        if not self.in_tiles:
            return self.model
        numbers_a_pair = max(1.0, self.cost.activations / self.first.n**2)
        most_pairs = max(1, int(TILE_PAIRS / numbers_a_pair))
        return tiled_model(
            self.model, Tiling(self.anchors, torch.float64 if self.is_read else None, most_pairs)
        )

    def reading_pair(self, place: int) -> Pair:
        """Return the pair of a training as it is read."""
        pair = self.pairs[place]
        return tiled_pair(pair, Tiling(self.anchors)) if self.in_tiles else pair

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """The pair of each training; they differ in their true MI and agree in their dimensions."""
        return tuple(map(self.source.pair, self.leaders))

    def at(self, level: float) -> Pack:
        """Return the pack with every task at another true MI in nats: a stair of the staircase."""
        leaders = (replace(leader, task=at_level(leader.task, level)) for leader in self.leaders)
        return Pack(tuple((leader,) for leader in leaders), self.source)

    @property
    def training_tasks(self) -> list[Choice]:
        """The task of each training, at no particular true MI where it climbs through all levels."""
        return [training_task(leader) for leader in self.leaders]

    @cached_property
    def dims(self) -> Dims:
        """The dimensions of every pair."""
        return self.source.dims(self.first)

    @property
    def dtype(self) -> torch.dtype:
        """The type in which models are trained, and in which data are read that train none."""
        single = self.first.fit is not None and self.fit.precision != "float64"
        return torch.float32 if single else torch.float64

    @property
    def steps(self) -> int:
        """Training steps."""
        return 0 if self.first.fit is None else self.fit.steps

    @property
    def numbers_a_batch(self) -> int:
        """How many numbers the data of one run's batch are."""
        return self.first.n * (self.dims.x + self.dims.y)

    @property
    def steps_at_once(self) -> int:
        """How many steps' data a run draws at once."""
        return max(1, CHUNK_NUMBERS // self.numbers_a_batch)

    @property
    def batches_at_once(self) -> int:
        """How many evaluation batches a run draws at once."""
        return max(1, EVALUATED_NUMBERS // max(self.first.n**2, self.numbers_a_batch))

    @property
    def runs_read_at_once(self) -> int:
        """How many runs' outputs are read at once."""
        return max(1, READ_NUMBERS // self.first.n**2)

    @cached_property
    def cost(self) -> Cost:
        """What a training batch of one run costs, or of a pack that is read, a batch that is."""
        if self.objective is None or self.model is None:
            n = self.first.n
            return Cost(0, 0, min(n * n, READ_NUMBERS), n * self.numbers_a_batch)
        try:
            return cost_of(self.objective, self.model, self.dims, self.first.n)
        except UsageError:
            raise
        except Exception:  # an author's error: these runs fail when they train, and the others go on
            return Cost(0, 0, self.first.n**2, 0)

    def seconds(self, flops_per_second: float) -> float:
        """Return about how long training and evaluation take where matrix products run at that rate."""
        return self.training_seconds(flops_per_second) + self._reading_seconds(flops_per_second)

    def training_seconds(self, flops_per_second: float) -> float:
        """Return about how long training takes."""
        cost = self.cost
        operations = 3.0 * cost.flops + TRAINED_NUMBER * cost.outputs  # backward: twice the forward pass
        if self.in_tiles:  # computed again there
            operations += cost.flops_a_pair * self.first.n**2
        return self._lasting(self.steps, operations, flops_per_second)

    def _reading_seconds(self, flops_per_second: float) -> float:
        if self.objective is not None and not self.protocol.reads_other_n:
            return READ_IN_TRAINING * self.training_seconds(flops_per_second)
        return sum(
            pack._lasting(pack._batches_read, pack._operations_read, flops_per_second)
            for _, pack in self.readings()
        )

    def _lasting(self, batches: float, operations: float, flops_per_second: float) -> float:
        """Return how long batches take that cost each run some operations."""
        arithmetic = operations * len(self.trainings) / (EFFICIENCY * flops_per_second)
        return batches * (SECONDS_A_STEP + arithmetic)

    @property
    def _batches_read(self) -> float:
        """About how many batches are read: those of a pilot, and between as many again and the most."""
        if not self.protocol.reads_other_n:
            return 1
        return self.pilot_batches + math.sqrt(self.pilot_batches * self.most_batches)

    @property
    def _operations_read(self) -> float:
        """What reading a batch of one run costs."""
        cost, n, estimators = self.cost, self.first.n, len(self.estimators)
        if self.objective is None:
            return READ_COORDINATE * cost.flops * estimators
        forward = cost.flops - cost.flops_a_pair * n * (n - self.anchors)
        return forward + (READ_NUMBER * estimators + EXACT_NUMBER) * cost.outputs * self.anchors / n

    @property
    def work(self) -> float:
        """What the pack weighs beside others in a progress bar: its seconds on some machine."""
        return self.seconds(NOMINAL_FLOPS_PER_SECOND)

    @property
    def work_a_step(self) -> float:
        """What a training step weighs."""
        return self.training_seconds(NOMINAL_FLOPS_PER_SECOND) / max(self.steps, 1)

    @property
    def bytes(self) -> int:
        """Memory that training and evaluation need at their peak, beside the process itself."""
        return max(self.bytes_by_n.values())

    @property
    def bytes_by_n(self) -> dict[int, int]:
        """The same for training, and for each n at which models are read, by n."""
        found = {self.first.n: self.fixed_bytes + len(self.trainings) * self.bytes_a_run}
        if self.objective is not None and self.protocol.reads_other_n:
            for _, pack in self.readings():
                found[pack.first.n] = max(found.get(pack.first.n, 0), pack._reading_bytes)
        return found

    @property
    def _reading_bytes(self) -> int:
        """Memory that reading needs: parameters, data in float64, and features or scores."""
        held = self.cost.outputs
        if self.in_tiles:
            held = 2 * self.first.n * FEATURES_A_ROW + self._activations_alone * FEATURE_ROWS // self.first.n
        a_run = (self.cost.parameters + held) * torch.finfo(self.dtype).bits // 8
        a_run += 6 * 8 * self.numbers_a_batch
        return self.fixed_bytes + len(self.trainings) * a_run

    @property
    def bytes_a_run(self) -> int:
        """Memory of one more run: parameters with gradient and Adam's two moments, activations, data.

        The backward pass holds about as many numbers again as the forward pass has kept, and the objective
        a handful of copies of its outputs.
        """
        cost = self.cost
        kept = self._activations_alone if self.in_tiles else cost.activations + 2 * cost.outputs
        numbers = 4 * cost.parameters + 2 * kept
        numbers += 2 * min(self.steps_at_once, max(self.steps, 1)) * self.numbers_a_batch
        held = 2 * 8 * (self.dims.x + self.dims.y) * self.protocol.rows_held
        return numbers * torch.finfo(self.dtype).bits // 8 + held

    @property
    def _activations_alone(self) -> int:
        """Those activations that a forward pass has of rows, without those of pairs."""
        return self.cost.activations - round(self.cost.activations_a_pair * self.first.n**2)

    @property
    def fixed_bytes(self) -> int:
        """Memory that does not grow with the number of runs: the float64 copies that an evaluation makes."""
        if self.in_tiles:
            return 8 * 8 * TILE_PAIRS
        matrices = min(self.runs_read_at_once, len(self.trainings))
        return 5 * 8 * max(EVALUATED_NUMBERS, matrices * self.cost.outputs)


def packs(specs: Sequence[RunSpec], budget_bytes: int, source: Source | None = None) -> list[Pack]:
    """Gather runs that share a training, group trainings of equal shapes, and split groups by the budget.

    The budget is for what grows with the runs (`Pack.bytes_a_run`). A pack has at least one training,
    even where that exceeds the budget. Packs of one group differ in size by one training at most.
    """
    seen = TaskPairs() if source is None else source
    trainings: dict[tuple[object, ...], list[RunSpec]] = {}
    for spec in specs:
        own = (
            objective_of(spec),
            training_task(spec),
            spec.encoder,
            spec.protocol,
            spec.in_training.n,
            spec.seed,
            spec.in_training.fit,
        )
        trainings.setdefault(own, []).append(spec)
    groups: dict[tuple[object, ...], list[Training]] = {}
    for training in trainings.values():
        groups.setdefault(_shape(training[0], seen), []).append(tuple(training))
    return [pack for group in groups.values() for pack in _split(group, budget_bytes, seen)]


def objective_of(spec: RunSpec) -> Objective | None:
    """Return what a run trains, None for nothing."""
    return estimators.objective_of(spec.estimator)


def training_key(spec: RunSpec) -> str:
    """Return what names the training of a run: runs with the same key are read from one trained model.

    It is the run's identity, with the objective in place of the estimator.
    """
    objective = objective_of(spec)
    assert objective is not None
    values: dict[str, Any] = spec.in_training.identity
    return digest(values | {"estimator": objective.identity, "task": training_task(spec).identity})


def training_task(spec: RunSpec) -> Choice:
    """Return the task of a run, at no particular true MI where one training climbs through all levels."""
    return at_level(spec.task, 0.0) if protocols.make(spec.protocol).stairs else spec.task


def at_level(task: Choice, level: float) -> Choice:
    """Return a task at another true MI, which it must have as an option."""
    there = tasks.registry.make(task).at(level)
    assert there is not None
    return tasks.registry.describe(there, task.name)


def _shape(spec: RunSpec, source: Source) -> tuple[object, ...]:
    trained = spec.in_training
    return objective_of(spec), trained.fit, spec.protocol, source.dims(spec), trained.n


def _split(group: list[Training], budget_bytes: int, source: Source) -> list[Pack]:
    one = Pack((group[0],), source)
    in_tiles = [pack._reading_bytes for _, pack in one.readings() if pack.in_tiles]
    most = min(budget_bytes // max(1, one.bytes_a_run), MOST_READING_BYTES // max([1, *in_tiles]))
    most = max(1, most)
    count = math.ceil(len(group) / most)
    edges = [round(i * len(group) / count) for i in range(count + 1)]
    return [Pack(tuple(group[a:b]), source) for a, b in pairwise(edges)]
