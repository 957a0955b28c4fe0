"""From runs to packs: which runs share a training, which train together, and what a pack costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import torch

from mibench import encoders, estimators, protocols, tasks
from mibench.estimators.base import Estimator
from mibench.models import critics
from mibench.models.critics.base import Critic
from mibench.protocols import Protocol, Samples, Staircase
from mibench.registry import Choice
from mibench.seeding import stream
from mibench.spec import NO_ENCODER, RunSpec, digest
from mibench.tasks.base import Task

CHUNK_NUMBERS = 2**16
"""Training data are drawn for several steps at once: about this many numbers a run."""

ORACLE_NUMBERS = 2**16
"""The oracle's score matrices are formed for several batches at once: about this many numbers."""

READ_OUT_NUMBERS = 2**19
"""Score matrices are read out for several runs at once, in float64: about this many numbers."""

EFFICIENCY = 0.5
"""The share of a large matrix product's rate that a step of a pack reaches (see benchmarks/)."""

SECONDS_A_STEP = 5e-4
"""What a step costs in calls alone, however small its tensors."""

NOMINAL_FLOPS_PER_SECOND = 1.5e11

READ_OUT_SHARE = 1.25
"""Training and read-out take together so many times what training takes."""


Training = tuple[RunSpec, ...]
"""The runs that are read out from one critic, which is trained once; its first stands for all in training."""

TaskOf = Callable[[RunSpec], Task]


def task_itself(spec: RunSpec) -> Task:
    """Return the task of a run, without its encoder."""
    return tasks.registry.make(spec.task)


@dataclass(frozen=True)
class Pack:
    """Trainings of equal shapes, done as one tensor program with a leading run axis.

    Attributes:
        trainings: for each place on the run axis, the runs that are read out there.
        task_of: where the tasks come from: the pair that the critic of a run sees.
    """

    trainings: tuple[Training, ...]
    task_of: TaskOf = task_itself

    @cached_property
    def specs(self) -> tuple[RunSpec, ...]:
        """Every run."""
        return tuple(spec for training in self.trainings for spec in training)

    @cached_property
    def leaders(self) -> tuple[RunSpec, ...]:
        """The run that stands for each training."""
        return tuple(training[0] for training in self.trainings)

    @property
    def first(self) -> RunSpec:
        """A run that stands for what all share: objective, critic, protocol, n, steps, schedule."""
        return self.leaders[0]

    @cached_property
    def estimator(self) -> Estimator:
        """An estimator that has the objective of every run."""
        return estimators.registry.make(self.first.estimator)

    @cached_property
    def readers(self) -> dict[Choice, Estimator]:
        """Every estimator that is read out."""
        return {spec.estimator: estimators.registry.make(spec.estimator) for spec in self.specs}

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol of every run."""
        return protocols.registry.make(self.first.protocol)

    @cached_property
    def critic(self) -> Critic:
        """The critic of every run."""
        return critics.registry.make(self.first.critic)

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """The task of each training; they differ in their true MI and agree in their dimensions."""
        return tuple(self.task_of(leader) for leader in self.leaders)

    def at(self, level: float) -> Pack:
        """Return the pack with every task at another true MI in nats: a stair of the staircase."""
        leaders = (replace(leader, task=_at_level(leader.task, level)) for leader in self.leaders)
        return Pack(tuple((leader,) for leader in leaders), self.task_of)

    @property
    def dims(self) -> tuple[int, int]:
        """dim_x and dim_y of every run."""
        return dims_of(self.first, self.task_of)

    @property
    def dtype(self) -> torch.dtype:
        """The type in which the critics are trained."""
        return torch.float64 if self.first.precision == "float64" else torch.float32

    @property
    def steps_at_once(self) -> int:
        """How many steps' data a run draws at once."""
        return max(1, CHUNK_NUMBERS // (self.first.n * sum(self.dims)))

    @property
    def batches_at_once(self) -> int:
        """How many read-out batches a run draws at once."""
        return max(1, ORACLE_NUMBERS // max(self.first.n**2, self.first.n * sum(self.dims)))

    @property
    def runs_read_at_once(self) -> int:
        """How many runs' score matrices are read out at once."""
        return max(1, READ_OUT_NUMBERS // self.first.n**2)

    @property
    def flops(self) -> float:
        """Arithmetic of the whole training: two a multiply-add, backward twice the forward pass."""
        forward = 2 * self.critic.multiplications(*self.dims, self.first.n)
        return 3.0 * forward * self.first.steps * len(self.trainings)

    def seconds(self, flops_per_second: float) -> float:
        """Return about how long training and read-out take where matrix products run at that rate."""
        launching = self.first.steps * SECONDS_A_STEP
        return READ_OUT_SHARE * (launching + self.flops / (EFFICIENCY * flops_per_second))

    @property
    def work(self) -> float:
        """What the pack weighs beside others in a progress bar: its seconds on some machine."""
        return self.seconds(NOMINAL_FLOPS_PER_SECOND)

    @property
    def bytes(self) -> int:
        """Memory that training and read-out need at their peak, beside the process itself."""
        return self.fixed_bytes + len(self.trainings) * self.bytes_a_run

    @property
    def bytes_a_run(self) -> int:
        """Memory of one more run: parameters with gradient and Adam's two moments, activations, data.

        The backward pass holds about as many numbers again as the forward pass has kept, and the objective
        a handful of copies of the score matrix.
        """
        learned = self.estimator.learned_tensors(self.dims[1], stream("size"))
        parameters = self.critic.parameter_count(*self.dims) + sum(map(torch.numel, learned.values()))
        n, numbers = self.first.n, 4 * parameters
        numbers += 2 * self.critic.activations(n) + 6 * n * n
        numbers += 2 * min(self.steps_at_once, self.first.steps) * n * sum(self.dims)
        held = 2 * 8 * sum(self.dims) * self.protocol.size if isinstance(self.protocol, Samples) else 0
        return numbers * torch.finfo(self.dtype).bits // 8 + held

    @property
    def fixed_bytes(self) -> int:
        """Memory that does not grow with the number of runs: the float64 copies that a read-out makes."""
        matrices = min(self.runs_read_at_once, len(self.trainings))
        return 5 * 8 * max(ORACLE_NUMBERS, matrices * self.first.n**2)

    def halves(self) -> tuple[Pack, Pack]:
        """Return the two halves of a pack that is too large, or that holds a training which raises."""
        middle = len(self.trainings) // 2
        one, other = self.trainings[:middle], self.trainings[middle:]
        return Pack(one, self.task_of), Pack(other, self.task_of)

    def by_estimator(self) -> list[Pack]:
        """Return a pack of one training as packs of one estimator each, which train it anew."""
        (training,) = self.trainings
        return [Pack((_own(training, choice),), self.task_of) for choice in self.readers]


def _own(training: Training, choice: Choice) -> Training:
    """Return the runs of a training that one estimator reads out."""
    return tuple(spec for spec in training if spec.estimator == choice)


def dims_of(spec: RunSpec, task_of: TaskOf = task_itself) -> tuple[int, int]:
    """Return the dimensions of the pair that a run's critic sees; the encoder need not be trained."""
    if spec.encoder.name == NO_ENCODER:
        task = task_of(spec)
        return task.dim_x, task.dim_y
    return encoders.registry.make(spec.encoder).dims(task_itself(spec))


def packs(specs: Sequence[RunSpec], budget_bytes: int, task_of: TaskOf = task_itself) -> list[Pack]:
    """Gather runs that share a training, group trainings of equal shapes, and split groups by the budget.

    The budget is for what grows with the runs (`Pack.bytes_a_run`). A pack has at least one training,
    whatever that needs. Packs of one group differ in size by one training at most.
    """
    trainings: dict[str, list[RunSpec]] = {}
    for spec in specs:
        trainings.setdefault(training_key(spec), []).append(spec)
    groups: dict[tuple[object, ...], list[Training]] = {}
    for training in trainings.values():
        groups.setdefault(_shape(training[0], task_of), []).append(tuple(training))
    return [pack for group in groups.values() for pack in _split(group, budget_bytes, task_of)]


def objective_of(spec: RunSpec) -> str:
    """Return the name of the objective that trains a run's critic: its own label if no other shares it."""
    return estimators.registry.load(spec.estimator.name).objective_name or spec.estimator.label


def training_key(spec: RunSpec) -> str:
    """Return what names the training of a run: runs that have the same one are read out from one critic.

    It is the run's identity, with the objective in place of an estimator that shares it, and without the true
    MI where the critic climbs through all levels.
    """
    identity = spec.identity
    shared = estimators.registry.load(spec.estimator.name).objective_name
    if shared is not None:
        identity["estimator"] = [shared, spec.estimator.version]
    if spec.protocol.name == Staircase.name:
        identity["task"] = _at_level(spec.task, 0.0).identity
    return digest(identity)


def _at_level(task: Choice, level: float) -> Choice:
    """Return a task at another true MI; it must have the option `mi`, and `rho` gives way to it."""
    options = {key: value for key, value in task.arguments.items() if key != "rho"} | {"mi": level}
    return tasks.registry.from_options(task.name, options)


def _shape(spec: RunSpec, task_of: TaskOf) -> tuple[object, ...]:
    shared = estimators.registry.load(spec.estimator.name).objective_name
    return (
        (shared, spec.estimator.version) if shared else spec.estimator,
        (spec.critic, spec.protocol),
        dims_of(spec, task_of),
        (spec.n, spec.steps),
        (spec.lr, spec.schedule, spec.precision),
    )


def _split(group: list[Training], budget_bytes: int, task_of: TaskOf) -> list[Pack]:
    most = max(1, budget_bytes // Pack((group[0],), task_of).bytes_a_run)
    count = math.ceil(len(group) / most)
    edges = [round(i * len(group) / count) for i in range(count + 1)]
    return [Pack(tuple(group[a:b]), task_of) for a, b in pairwise(edges)]
