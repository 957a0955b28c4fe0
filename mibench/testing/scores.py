"""What an estimator that is read from a critic's scores promises beside."""

from __future__ import annotations

import itertools
from functools import cache
from typing import cast

import torch
from torch import Tensor

from mibench.batch import Tensors
from mibench.estimators.base import Bound, FromScores
from mibench.objectives import OfScores
from mibench.seeding import stream
from mibench.testing.conformance import Mean, Property, expect, expect_same
from mibench.testing.pairs import batch_of, gaussian
from mibench.testing.trial import UNEVEN, Case, mean_log_ratio

JOINT = ((0.4, 0.1), (0.15, 0.35))
"""p(x, y) of two binary variables: expectations over all batches of a few pairs are exact sums."""

ENUMERATED = (6, 7, 8)
"""The n of such batches: the first of which the estimator works."""

FEW_PAIRS = 0.03
"""At this n the gradient of what is a bound with infinite data alone vanishes within this."""


def _estimator(case: Case) -> FromScores:
    return cast("FromScores", case.estimator)


def _objective(case: Case) -> OfScores:
    return _estimator(case).objective


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=stream("conformance", "scores"), dtype=torch.float64)


def leading_axes(case: Case) -> None:
    """Score matrices may have any number of leading axes, each matrix is read by itself."""
    several = _random(2, 3, case.n, case.n)
    found = _estimator(case).estimate(several)
    alone = torch.stack([torch.stack([_estimator(case).estimate(one) for one in row]) for row in several])
    expect_same(found, alone, "the value that each matrix has alone")


def log_ratio(case: Case) -> None:
    """The log density ratio of the optimal critic's scores is the one that they were made of."""
    ratio = _random(case.n, case.n)
    scores = _objective(case).optimal_critic(ratio)
    expect_same(_estimator(case).optimal_critic(ratio), scores, "the optimal critic of the objective")
    expect_same(_objective(case).log_ratio_of(scores), ratio, "log_ratio_of to undo optimal_critic")


def diagonal(case: Case) -> None:
    """Joint samples are not among the noise: the estimate grows by what is added to the diagonal."""
    one = torch.eye(case.n, dtype=torch.float64)
    value, more, most = (
        _estimator(case).estimate(_random(case.n, case.n) + shift * one) for shift in (0, 4, 8)
    )
    expect_same(most - more, more - value, "an estimate that is linear in a shift of the diagonal", 1e-6)


def bound_for_any_critic(case: Case) -> None:
    """A lower bound in expectation is one for every critic: shifted, shrunk and bent ones too."""
    pair = gaussian(UNEVEN)
    batch = batch_of(pair, case.ns[:2][-1], 256, "any critic")
    assert pair.log_ratio is not None
    best = _estimator(case).optimal_critic(pair.log_ratio(batch.x, batch.y))
    critics = {
        "f + 0.7": best + 0.7,
        "f - 0.7": best - 0.7,
        "0.7 f": 0.7 * best,
        "f + tanh f": best + best.tanh(),
    }
    for name, scores in critics.items():
        excess = Mean.of(_estimator(case).estimate(scores) - mean_log_ratio(pair, batch))
        excess.expect_at_most(0.0, f"a mean of at most I from {name} (f the optimal critic)")


def invariance(case: Case) -> None:
    """What training cannot see does not change the estimate; and `identifiable` says whether there is any."""
    scores, shifts = _random(1, case.n, case.n), _random(case.n)
    unseen = []
    for what, shift in {
        "a constant": torch.full_like(scores, 1.5),
        "c(x)": shifts[:, None].expand_as(scores),
        "c(y)": shifts.expand_as(scores),
    }.items():
        if torch.allclose(_gradient(case, scores + shift), _gradient(case, scores), rtol=1e-6, atol=1e-9):
            unseen.append(what)
            found, before = (_estimator(case).estimate(one) for one in (scores + shift, scores))
            expect_same(found, before, f"the same estimate with {what} added, which training cannot see")
    if _objective(case).identifiable:
        expect(not unseen, "identifiable = False, as training cannot see some shifts", ", ".join(unseen))


def _gradient(case: Case, scores: Tensor) -> Tensor:
    scores = scores.clone().requires_grad_()
    value = _objective(case).of(scores, _state(case, len(scores)))
    return torch.autograd.grad(value.sum(), scores)[0]


def _state(case: Case, count: int) -> Tensors:
    return {key: value.double().repeat(count) for key, value in _objective(case).state().items()}


@cache
def _batches(n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return x and y of every batch of n binary pairs, (4^n, n) each, and its probability."""
    pairs = torch.tensor(list(itertools.product(range(4), repeat=n)))
    weight = torch.tensor(JOINT, dtype=torch.float64).flatten()[pairs].prod(-1)
    return pairs // 2, pairs % 2, weight


def _expected_gradient(case: Case, critic: Tensor, n: int) -> Tensor:
    """Return the gradient of the expected objective by the critic's table f(x, y), (2, 2)."""
    x, y, weight = _batches(n)
    table = critic.clone().requires_grad_()
    scores = table[x[:, :, None], y[:, None, :]]
    value = (weight * _objective(case).of(scores, _state(case, len(scores)))).sum()
    return torch.autograd.grad(value, table)[0]


def _enumerated(case: Case) -> int | None:
    return next((n for n in ENUMERATED if case.works(n)), None)


def _optimum() -> Tensor:
    joint = torch.tensor(JOINT, dtype=torch.float64)
    return (joint / joint.sum(1, keepdim=True) / joint.sum(0)).log()


def optimal_critic(case: Case) -> None:
    """At the optimal critic the expected gradient of the objective is 0; elsewhere it leads there."""
    n = _enumerated(case)
    assert n is not None
    best = _objective(case).optimal_critic(_optimum())
    within = FEW_PAIRS if case.estimator.bound.holds == "with infinite data" else 1e-9
    found = _expected_gradient(case, best, n).abs().amax().item()
    expect(found <= within, f"an expected gradient of 0 at optimal_critic(log r) (n={n})", found)
    away = torch.tensor(((1.0, -0.5), (-0.2, 0.7)), dtype=torch.float64)
    uphill = -(_expected_gradient(case, best + away, n) * away).sum().item()
    expect(uphill > 0, f"a gradient that leads to optimal_critic(log r), which maximises (n={n})", uphill)


def _is_read_from_scores(case: Case) -> bool:
    return isinstance(case.estimator, FromScores)


def _is_identifiable(case: Case) -> bool:
    return _is_read_from_scores(case) and _objective(case).identifiable


def _has_no_ceiling(case: Case) -> bool:
    return _is_read_from_scores(case) and case.estimator.ceiling(case.n) is None


def _is_lower_bound(case: Case) -> bool:
    return _is_read_from_scores(case) and case.estimator.bound == Bound("lower", "in expectation")


def _is_enumerated(case: Case) -> bool:
    return _is_read_from_scores(case) and _enumerated(case) is not None


PROPERTIES: tuple[Property[Case], ...] = (
    Property("leading axes", leading_axes, _is_read_from_scores),
    Property("log ratio", log_ratio, _is_identifiable),
    Property("diagonal is not in E_Q", diagonal, _has_no_ceiling),
    Property("bound for any critic", bound_for_any_critic, _is_lower_bound),
    Property("invariance", invariance, _is_read_from_scores),
    Property("optimal critic", optimal_critic, _is_enumerated),
)
