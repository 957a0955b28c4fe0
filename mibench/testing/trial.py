"""What an estimator is tested with: small models, Gaussian pairs, and packs of what is not registered."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from mibench import models, tasks
from mibench.batch import Batch, Dims, Tensors
from mibench.engine.data import stack_runs
from mibench.engine.plan import Pack
from mibench.engine.protocols import registry as protocols
from mibench.errors import UsageError
from mibench.estimators.base import Estimator
from mibench.models.base import Model
from mibench.objectives import Objective
from mibench.registry import Choice
from mibench.seeding import stream
from mibench.spec import Fit, RunSpec
from mibench.tasks.pair import Pair
from mibench.testing.conformance import Mean, expect
from mibench.testing.pairs import Setting, batch_of, gaussian, in_parts

RUNS = 3
SMALL_N = (13, 40, 200)
"""Batches have the first of these n at which the estimator works."""

UNEVEN = Setting(3, 2, 1.0)
SETTINGS = (Setting(1, 1, 0.5), Setting(2, 3, 1.0), Setting(3, 2, 2.0))
ROWS = {16: 2**14, 64: 2**14, 256: 2**13}
"""At each n this many pairs are read in all."""

SAMPLE_SETTINGS = (Setting(1, 1, 0.5), Setting(1, 2, 1.0), Setting(2, 1, 1.0))
SAMPLE_SIZE, SAMPLE_SETS = 1024, 16
"""What trains nothing is read on this many rows at once, and on this many sets of them."""

SMALL_SAMPLE_BIAS = 0.05
"""Nats by which an estimate may miss the truth at the largest n of the kit, where it only tends to it."""


@dataclass(frozen=True, eq=False)
class Case:
    """An estimator under test, with a small model of the kind that its objective trains."""

    estimator: Estimator
    _read: dict[tuple[Setting, Setting, int], Tensor] = field(default_factory=dict)

    @cached_property
    def objective(self) -> Objective | None:
        """What it trains."""
        return self.estimator.objective

    @property
    def trained(self) -> Objective:
        """What it trains, where it trains anything."""
        assert self.objective is not None
        return self.objective

    @cached_property
    def model_choice(self) -> Choice:
        """A small model of the kind that the objective trains."""
        return models.registry.choose(models.of_kind(self.trained.model).small)

    @cached_property
    def model(self) -> Model:
        """The object of that choice."""
        return models.registry.make(self.model_choice)

    @cached_property
    def is_exact(self) -> bool:
        """Whether values without an error of training are known: at the exact model, or of data."""
        batch = batch_of(gaussian(UNEVEN), self.n, RUNS, "exact")
        return self.objective is None or self.estimator.exact(gaussian(UNEVEN), batch) is not None

    @cached_property
    def n(self) -> int:
        """Number of pairs in a batch where nothing is said of it."""
        return self._working(SMALL_N)[0]

    @cached_property
    def ns(self) -> list[int]:
        """Every n at which values are held against the truth."""
        return self._working(ROWS)

    def _working(self, ns: Collection[int]) -> list[int]:
        found = [n for n in ns if self.works(n)]
        expect(bool(found), f"an estimator that works on batches of {max(ns)}", "a UsageError")
        return found

    def works(self, n: int) -> bool:
        """Return whether the estimator can work on batches of n."""
        try:
            self.estimator.check(n, gaussian(UNEVEN))
        except UsageError:
            return False
        return True

    def parameters(self, dims: Dims, runs: int = RUNS) -> Tensors:
        """Return parameters of several runs in float64."""
        made = []
        for run in range(runs):
            generator = stream("conformance", "parameters", run)
            own = self.model.initialise(dims, generator, torch.float64)
            made.append(own | self.trained.learned(dims, generator))
        return {key: value.double() for key, value in stack_runs(made).items()}

    def state(self, runs: int = RUNS) -> Tensors:
        """Return the initial state of several runs in float64."""
        stacked = stack_runs([self.trained.state() for _ in range(runs)])
        return {key: value.double() for key, value in stacked.items()}

    def batch(self, setting: Setting = UNEVEN, purpose: str = "batch", n: int | None = None) -> Batch:
        """Return a batch of several runs in float64, with what the objective draws."""
        n = self.n if n is None else n
        batch = batch_of(gaussian(setting), n, RUNS, purpose)
        if self.objective is None:
            return batch
        dims = gaussian(setting).dims
        feeds = [stream("conformance", "drawn", purpose, run) for run in range(RUNS)]
        drawn = [self.objective.draw(n, dims, feed, torch.float64) for feed in feeds]
        return replace(batch, drawn=stack_runs(drawn))

    def outputs(self, batch: Batch, parameters: Tensors | None = None) -> Tensors:
        """Return what an untrained model puts out; nothing where nothing is trained."""
        if self.objective is None:
            return {}
        dims = Dims(batch.x.shape[-1], batch.y.shape[-1])
        own = self.parameters(dims, len(batch.x)) if parameters is None else parameters
        return self.objective.outputs(self.model, own, batch)

    def read(self, batch: Batch) -> Tensor:
        """Return what the estimator reads of an untrained model, or of the data."""
        return self.estimator.read(self.outputs(batch), batch)

    def value(self, parameters: Tensors, batch: Batch) -> Tensor:
        """Return the objective of every run, from the initial state."""
        return self.trained.value(self.model, parameters, self.state(len(batch.x)), batch)[0]

    def exact(self, setting: Setting, n: int, model: Setting | None = None) -> Tensor:
        """Return the values on many batches of a pair; the model is exact for it or for another."""
        name = (setting, model or setting, n)
        if name not in self._read:
            count = ROWS[n] // n if n in ROWS else SAMPLE_SETS
            batch = batch_of(gaussian(setting), n, count, "exact")
            self._read[name] = self.read_exact(batch, gaussian(model or setting))
        return self._read[name]

    def read_exact(self, batch: Batch, pair: Pair) -> Tensor:
        """Return the values on batches, the model being exact for a pair."""
        parts = (self._read_exact(part, pair) for part in in_parts(batch))
        return torch.cat(list(parts))

    def _read_exact(self, batch: Batch, pair: Pair) -> Tensor:
        outputs = {} if self.objective is None else self.estimator.exact(pair, batch)
        assert outputs is not None
        return self.estimator.read(outputs, batch)

    def excess(self, setting: Setting, n: int, model: Setting | None = None) -> Mean:
        """Return by how much the values are above the truth, in the mean.

        The exact log density ratio of the same joint samples has the truth as its mean, and errs with it.
        """
        pair, values = gaussian(setting), self.exact(setting, n, model)
        batch = batch_of(pair, n, len(values), "exact")
        return Mean.of(values - mean_log_ratio(pair, batch))


def mean_log_ratio(pair: Pair, batch: Batch) -> Tensor:
    """Return the mean exact log density ratio of the joint samples of each batch."""
    assert pair.log_ratio is not None
    joint = pair.log_ratio(batch.x.flatten(0, 1)[:, None], batch.y.flatten(0, 1)[:, None])
    return joint.view(batch.x.shape[:2]).mean(-1)


@dataclass(frozen=True)
class Trial(Pack):
    """A pack of an estimator that need not be registered."""

    case: Case = field(kw_only=True)

    @classmethod
    def of(cls, case: Case, nats: float = 1.0, steps: int = 3) -> Trial:
        """Return the pack of a few seeds of a small task, trained for a number of steps."""
        named = Choice("conformance", 1, (), "conformance")
        task = tasks.registry.choose("gaussian", dim=2, mi=nats)
        how = None if case.objective is None else Fit(case.model_choice, steps, 1e-2, "constant", "float64")
        protocol, n = protocols.choose("stream"), case.ns[:2][-1]
        specs = (RunSpec(named, task, None, protocol, n, seed, how) for seed in range(RUNS))
        return cls(tuple((spec,) for spec in specs), case=case)

    @cached_property
    def objective(self) -> Objective | None:
        """What the estimator trains."""
        return self.case.objective

    @cached_property
    def estimators(self) -> dict[Choice, Estimator]:
        """The estimator alone."""
        return {spec.estimator: self.case.estimator for spec in self.specs}


def settings_of(case: Case) -> Iterator[tuple[Setting, int]]:
    """Yield the settings and the n at which values are held against the truth."""
    if case.objective is None:
        yield from ((setting, SAMPLE_SIZE) for setting in SAMPLE_SETTINGS)
    else:
        yield from ((setting, n) for setting in SETTINGS for n in case.ns)


def wrong_models(setting: Setting) -> tuple[Setting, ...]:
    """Return pairs of the same dimensions with less and with more information."""
    return tuple(setting._replace(nats=share * setting.nats) for share in (0.5, 1.5))
