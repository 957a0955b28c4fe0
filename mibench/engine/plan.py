"""From runs to packs: which runs train together, and what a pack costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch

from mibench import critics, estimators, tasks
from mibench.critics.base import Critic
from mibench.estimators.base import Estimator
from mibench.spec import RunSpec
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


@dataclass(frozen=True)
class Pack:
    """Runs of equal shapes, trained as one tensor program with a leading run axis."""

    specs: tuple[RunSpec, ...]

    @property
    def first(self) -> RunSpec:
        """A run that stands for what all share: estimator, critic, n, steps, schedule, precision."""
        return self.specs[0]

    @cached_property
    def estimator(self) -> Estimator:
        """The estimator of every run."""
        return estimators.registry.make(self.first.estimator)

    @cached_property
    def critic(self) -> Critic:
        """The critic of every run."""
        return critics.registry.make(self.first.critic)

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """The task of each run; they differ in their true MI and agree in their dimensions."""
        return tuple(tasks.registry.make(spec.task) for spec in self.specs)

    @property
    def dims(self) -> tuple[int, int]:
        """dim_x and dim_y of every run."""
        return self.tasks[0].dim_x, self.tasks[0].dim_y

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
        return 3.0 * forward * self.first.steps * len(self.specs)

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
        return self.fixed_bytes + len(self.specs) * self.bytes_a_run

    @property
    def bytes_a_run(self) -> int:
        """Memory of one more run: parameters with gradient and Adam's two moments, activations, data.

        The backward pass holds about as many numbers again as the forward pass has kept, and the objective
        a handful of copies of the score matrix.
        """
        n, numbers = self.first.n, 4 * self.critic.parameter_count(*self.dims)
        numbers += 2 * self.critic.activations(n) + 6 * n * n
        numbers += 2 * min(self.steps_at_once, self.first.steps) * n * sum(self.dims)
        return numbers * torch.finfo(self.dtype).bits // 8

    @property
    def fixed_bytes(self) -> int:
        """Memory that does not grow with the number of runs: the float64 copies that a read-out makes."""
        matrices = min(self.runs_read_at_once, len(self.specs))
        return 5 * 8 * max(ORACLE_NUMBERS, matrices * self.first.n**2)

    def halves(self) -> tuple[Pack, Pack]:
        """Return the two halves of a pack that is too large, or that holds a run which raises."""
        middle = len(self.specs) // 2
        return Pack(self.specs[:middle]), Pack(self.specs[middle:])


def packs(specs: Sequence[RunSpec], budget_bytes: int) -> list[Pack]:
    """Group runs of equal shapes, and split groups so that each pack stays within the budget.

    The budget is for what grows with the runs (`Pack.bytes_a_run`). A pack has at least one run, whatever
    that needs. Packs of one group differ in size by one run at most.
    """
    groups: dict[tuple[object, ...], list[RunSpec]] = {}
    for spec in specs:
        groups.setdefault(_shape(spec), []).append(spec)
    return [pack for group in groups.values() for pack in _split(group, budget_bytes)]


def _shape(spec: RunSpec) -> tuple[object, ...]:
    task = tasks.registry.make(spec.task)
    return (
        spec.estimator,
        spec.critic,
        (task.dim_x, task.dim_y),
        (spec.n, spec.steps),
        (spec.lr, spec.schedule, spec.precision),
    )


def _split(group: list[RunSpec], budget_bytes: int) -> list[Pack]:
    most = max(1, budget_bytes // Pack((group[0],)).bytes_a_run)
    count = math.ceil(len(group) / most)
    edges = [round(i * len(group) / count) for i in range(count + 1)]
    return [Pack(tuple(group[a:b])) for a, b in pairwise(edges)]
