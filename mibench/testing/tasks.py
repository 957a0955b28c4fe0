"""What a task promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mibench.errors import UsageError
from mibench.scores import positives
from mibench.seeding import stream
from mibench.tasks.base import Task
from mibench.tasks.pair import Pair, Pairwise
from mibench.testing import declared
from mibench.testing.conformance import Conformance, Mean, Property, examined, expect, expect_same

N = 17
ROWS = 2**14
"""Means are over this many pairs."""

COMPARED = 2**12
"""Distributions are compared on this many pairs, coordinate by coordinate."""

LIGHT_NATS = 2.5
"""Up to this information E_Q[r] = 1 can be seen: beyond, few pairs carry all of it."""

LEVELS = (0.5, 1.0)
CANDIDATES = (16, 64, 256)
SMALLEST_SHARE = 0.5
"""With 256 candidates InfoNCE reads at least this share of what it can."""

IMPROBABLE = 1e-6
"""A test of equal distributions fails below this p-value."""


@dataclass(frozen=True, eq=False)
class Case:
    """A task under test."""

    task: Task

    @cached_property
    def pair(self) -> Pair:
        """Its pair."""
        return self.task.pair()

    @property
    def log_ratio(self) -> Pairwise:
        """The log density ratio, where it is known."""
        assert self.pair.log_ratio is not None
        return self.pair.log_ratio

    @cached_property
    def joint(self) -> tuple[Tensor, Tensor]:
        """Joint samples in float64."""
        return self.draw(ROWS, "joint")

    @cached_property
    def shuffled(self) -> tuple[Tensor, Tensor]:
        """Independent samples of the marginals: y of other pairs."""
        return self.joint[0], self.draw(ROWS, "other")[1]

    @cached_property
    def ratio_of_joint(self) -> Tensor:
        """The log density ratio of joint samples."""
        return paired(self.log_ratio, *self.joint)

    @cached_property
    def ratio_of_shuffled(self) -> Tensor:
        """The log density ratio of independent samples."""
        return paired(self.log_ratio, *self.shuffled)

    def draw(self, n: int, purpose: str, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Draw n pairs; equal arguments give equal data."""
        return self.pair.draw(n, stream("conformance", purpose), dtype)

    @cached_property
    def light(self) -> Case | None:
        """The task itself where its information is small, else the same at 1 nat; None if it has none."""
        if self.pair.truth.high <= LIGHT_NATS:
            return self
        there = self.task.at(LEVELS[-1])
        return None if there is None else Case(there)


def paired(known: Pairwise, x: Tensor, y: Tensor) -> Tensor:
    """Return a function of every pair (x_i, y_i), a tensor of n."""
    return known(x[:, None], y[:, None]).flatten()


# ---- what is said, and draws ------------------------------------------------------------------------------


def draws(case: Case) -> None:
    """x and y have the dimensions of the pair and the type that is asked for, and are finite."""
    dims = case.pair.dims
    for dtype in (torch.float32, torch.float64, None):
        generator = stream("conformance", "shapes")
        for side, dim in zip(case.pair.draw(N, generator, dtype), (dims.x, dims.y), strict=True):
            kind = torch.get_default_dtype() if dtype is None else dtype
            expect(side.shape == (N, dim), f"samples of shape {(N, dim)}", tuple(side.shape))
            expect(side.dtype == kind, f"samples in {kind}", side.dtype)
            expect(side.isfinite().all(), "finite samples", side)


def generators(case: Case) -> None:
    """The same generator gives the same pairs, another one others; no other random numbers are used."""
    state = torch.get_rng_state()
    first, again, other = case.draw(N, "a"), case.draw(N, "a"), case.draw(N, "b")
    expect(torch.equal(state, torch.get_rng_state()), "no use of torch's global random numbers", "their use")
    for one, two in zip(first, again, strict=True):
        expect(torch.equal(one, two), "the same pairs from the same generator", "others")
    expect(not torch.equal(first[0], other[0]), "other pairs from another generator", "the same")


def single_precision(case: Case) -> None:
    """Samples in float32 have the distribution of those in float64, and finite ratios."""
    from scipy.stats import ks_2samp

    single = case.draw(COMPARED, "single", torch.float32)
    for name, found, wanted in zip("xy", single, case.draw(COMPARED, "double"), strict=True):
        for place in range(min(found.shape[1], 4)):
            p = float(ks_2samp(found[:, place].double().numpy(), wanted[:, place].numpy()).pvalue)
            expect(p > IMPROBABLE, f"the distribution of {name}_{place} in float64 (p > {IMPROBABLE:g})", p)
    if case.pair.log_ratio is not None:
        ratio = paired(case.log_ratio, *single)
        expect(ratio.isfinite().all(), "finite log ratios of joint samples in float32", ratio.amin().item())


def training_pair(case: Case) -> None:
    """Models train on pairs of the same dimensions."""
    dims = case.pair.for_training.dims
    expect(dims == case.pair.dims, f"training pairs of {case.pair.dims}", dims)


# ---- truth ------------------------------------------------------------------------------------------------


def truth(case: Case) -> None:
    """The truth is a finite interval from 0 up, with a confidence, and the pair is the same each time."""
    found = case.pair.truth
    expect(0 <= found.low <= found.high < math.inf, "0 <= low <= high, finite", (found.low, found.high))
    expect(0 < found.confidence <= 1, "a confidence above 0 and of at most 1", found.confidence)
    expect(bool(found.how), "words on how the truth is known", repr(found.how))
    expect(case.task.pair().truth == found, "the same truth each time", case.task.pair().truth)


def mean_is_the_truth(case: Case) -> None:
    """The mean log density ratio of joint samples is the truth."""
    _expect_truth(Mean.of(case.ratio_of_joint), case.pair, "a mean log density ratio")


def _expect_truth(mean: Mean, pair: Pair, what: str) -> None:
    low, high = pair.truth.low, pair.truth.high
    expected = f"{what} of {low:.6g}" + (f" to {high:.6g}" if high > low else "") + " nats, the truth"
    mean.expect_at_least(low, expected)
    mean.expect_at_most(high, expected)


def normalised(case: Case) -> None:
    """The ratio is normalised: E_Q[r] = 1 where this can be seen, and E_Q[r^1/2] = E_P[r^-1/2]."""
    if case.light is not None:
        Mean.of(case.light.ratio_of_shuffled.exp()).expect_near(1.0, "E_Q[r] = 1 on independent samples")
    joint, shuffled = (-case.ratio_of_joint / 2).exp(), (case.ratio_of_shuffled / 2).exp()
    Mean.of(joint - shuffled).expect_near(0.0, "E_P[r^-1/2] - E_Q[r^1/2] = 0")


def shuffled_pairs(case: Case) -> None:
    """Independent samples have a mean log density ratio of at most 0, which is -KL(Q || P)."""
    mean = Mean.of(case.ratio_of_shuffled.clamp_min(-1e6))
    mean.expect_at_most(0.0, "a mean log density ratio of at most 0 on independent samples")


def matrix_is_pair_by_pair(case: Case) -> None:
    """Row i is x_i and column j is y_j, in float64 and with any leading axes."""
    x, y = case.draw(N, "matrix")
    for name, known in {"ratio": case.pair.log_ratio, "conditional": case.pair.log_conditional}.items():
        if known is None:
            continue
        matrix = known(x, y)
        one_by_one = torch.stack([torch.cat([known(a[None], b[None])[0] for b in y]) for a in x])
        expect(matrix.dtype == torch.float64, f"a log {name} in float64", matrix.dtype)
        expect_same(matrix, one_by_one, f"the log {name} pair by pair", 1e-6)
        stacked = known(torch.stack([x, x.flip(0)]), torch.stack([y, y]))
        expect_same(stacked[0], matrix, f"the log {name} with a leading axis", 1e-6)
        expect_same(stacked[1], matrix.flip(0), f"the log {name} with a leading axis", 1e-6)


def conditional(case: Case) -> None:
    """log p(y | x) - log r(x, y) is log p(y): it does not depend on x."""
    assert case.pair.log_conditional is not None
    x, y = case.draw(N, "conditional")
    difference = case.pair.log_conditional(x, y) - case.log_ratio(x, y)
    seen = torch.where(difference.isnan(), difference.nanmedian(0).values, difference)  # -inf less -inf
    expect_same(seen, seen[:1].expand_as(seen), "log p(y|x) - log r(x,y) of the same y for every x", 1e-6)


def entropy(case: Case) -> None:
    """h(Y) + E[log p(y | x)] is the truth."""
    assert case.pair.log_conditional is not None
    assert case.pair.entropy_y is not None
    mean = Mean.of(paired(case.pair.log_conditional, *case.joint))
    _expect_truth(Mean(case.pair.entropy_y + mean.value, mean.error), case.pair, "h(Y) + E[log p(y|x)]")


# ---- levels -----------------------------------------------------------------------------------------------


def levels(case: Case) -> None:
    """`at` returns the task with the information that it is given."""
    for nats in LEVELS:
        there = case.task.at(nats)
        expect(there is not None, f"a task at {nats:g} nats", "None")
        assert there is not None
        found = there.pair()
        within = max(1e-6, 0.01 * nats) if found.truth.value is None else 1e-6
        middle = found.truth.middle
        expect(middle is not None and abs(middle - nats) <= within, f"a truth of {nats:g} nats", middle)
        if found.log_ratio is not None:
            _expect_truth(Mean.of(Case(there).ratio_of_joint), found, "a mean log density ratio")


def no_information(case: Case) -> None:
    """At 0 nats x and y are independent."""
    there = case.task.at(0.0)
    assert there is not None
    nothing = Case(there)
    expect(abs(nothing.pair.truth.high) <= 1e-9, "a truth of 0", nothing.pair.truth.high)
    if nothing.pair.log_ratio is not None:
        ratio = nothing.ratio_of_joint
        expect_same(ratio, torch.zeros_like(ratio), "a log density ratio of 0", 1e-6)


def contrastive_bound(case: Case) -> None:
    """InfoNCE at the exact ratio stays below the truth, and comes near it as n grows."""
    high = case.pair.truth.high
    x, y = case.joint
    values = []
    for n in CANDIDATES:
        ratio = case.log_ratio(x.view(-1, n, x.shape[1])[:64], y.view(-1, n, y.shape[1])[:64])
        mean = Mean.of((positives(ratio) - ratio.logsumexp(-1)).mean(-1) + math.log(n))
        mean.expect_at_most(high, f"InfoNCE at the exact ratio of at most {high:.4g} nats (n={n})")
        values.append(mean)
    most = min(case.pair.truth.low, math.log(CANDIDATES[-1]))
    values[-1].expect_at_least(SMALLEST_SHARE * most, f"InfoNCE at the exact ratio near {most:.4g} nats")


def _has(*facts: str) -> Callable[[Case], bool]:
    return lambda case: all(getattr(case.pair, fact) is not None for fact in facts)


def _has_levels(nats: float) -> Callable[[Case], bool]:
    def found(case: Case) -> bool:
        try:
            return case.task.at(nats) is not None
        except UsageError:
            return False  # a task may refuse a level that it does not have

    return found


PROPERTIES: tuple[Property[Case], ...] = (
    Property("documented", lambda case: declared.documented(case.task, "reference")),
    Property("options", lambda case: declared.options_work(case.task)),
    Property("identity", lambda case: declared.is_a_value(case.task)),
    Property("draws", draws),
    Property("generator", generators),
    Property("float32", single_precision),
    Property("training pairs", training_pair),
    Property("truth", truth),
    Property("mean log ratio is the truth", mean_is_the_truth, _has("log_ratio")),
    Property("normalised ratio", normalised, _has("log_ratio")),
    Property("independent samples", shuffled_pairs, _has("log_ratio")),
    Property("rows are x, columns are y", matrix_is_pair_by_pair, _has("log_ratio")),
    Property("conditional density", conditional, _has("log_ratio", "log_conditional")),
    Property("entropy", entropy, _has("log_conditional", "entropy_y")),
    Property("InfoNCE stays below", contrastive_bound, _has("log_ratio")),
    Property("levels", levels, _has_levels(LEVELS[0])),
    Property("no information", no_information, _has_levels(0.0)),
)
"""Every property of a task."""


def examine_task(task: Task, name: str | None = None) -> Conformance:
    """Return what is found of every property of a task."""
    return examined("task", name or task.name, Case(task), PROPERTIES, task.conformance_exceptions)


def check_task(task: Task) -> Conformance:
    """Test everything that a task promises.

    Raises:
        ConformanceError: it lists every property that does not hold, what was expected and what was seen.
    """
    return examine_task(task).or_raise()
