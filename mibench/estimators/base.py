"""What an estimator is, and the two sums over a score matrix that most of them share.

Everywhere, `scores[..., i, j] = f(x_i, y_j)`: the diagonal holds joint samples, the rest samples of the
product of the marginals. Leading axes are runs or batches and never mix.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

Tensors = dict[str, Tensor]


class Estimator(ABC):
    """An objective that trains a critic, and a read-out that turns its scores into nats.

    A subclass is a frozen dataclass: its fields are its options, checked in `__post_init__`.

    Attributes:
        name: what users type.
        version: raised when a formula changes, so that old results are not reused.
        formula: the objective and, where it differs, the read-out.
        direction: on which side of I(X;Y) the read-out lies.
        ceiling_formula: the largest value that the read-out can return, in words.
        reference: authors, year and arXiv number.
        bibtex: the same for a paper.
        objective_name: estimators that have the same one, at the same version, have the same objective
            whatever their options, learn and carry nothing beside the critic, and share one training: it is
            done once and read out in several ways.
        has_one_optimum: no constant or c(x) can be added to an optimal critic, so that the log density ratio
            follows from its scores.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    formula: ClassVar[str]
    direction: ClassVar[str]
    ceiling_formula: ClassVar[str] = "none"
    reference: ClassVar[str]
    bibtex: ClassVar[str]
    objective_name: ClassVar[str | None] = None
    has_one_optimum: ClassVar[bool] = True

    @abstractmethod
    def objective(self, scores: Tensor, carried: Tensors) -> Tensor:
        """Return what training maximises, shape (..., n, n) -> (...).

        `carried` holds the tensors of `carried_tensors`; an objective may update them in place.
        """

    @abstractmethod
    def estimate(self, scores: Tensor) -> Tensor:
        """Return the read-out of each score matrix in nats and float64, shape (..., n, n) -> (...)."""

    def optimal_critic(self, log_ratio: Tensor) -> Tensor:
        """Return what a perfect critic would output where the log density ratio is `log_ratio`."""
        return log_ratio

    def log_ratio(self, scores: Tensor) -> Tensor:
        """Return the log density ratio that scores stand for, the inverse of `optimal_critic`, in float64.

        It means something only where the optimal critic is one (`has_one_optimum`).
        """
        nothing = self.optimal_critic(torch.zeros((), dtype=torch.float64))
        unit = self.optimal_critic(torch.ones((), dtype=torch.float64)) - nothing
        return (scores.double() - nothing.to(scores.device)) / unit.to(scores.device)

    def ceiling(self, n: int) -> float | None:
        """Return the largest value that the read-out can return at this n in nats, None for none."""
        return None

    def check(self, n: int) -> None:  # noqa: B027 - most estimators work at every n
        """Raise a UsageError where the estimator cannot work on score matrices of size n."""

    def criterion(self, scores: Tensor) -> Tensor:
        """Return what early stopping maximises on validation data: the objective, with nothing carried."""
        return self.objective(scores, {})

    def learned_tensors(self, dim_y: int, generator: torch.Generator) -> Tensors:
        """Return the initial values of what one run learns beside its critic."""
        return {}

    def corrected(self, scores: Tensor, y: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
        """Return the critic's scores with the learned tensors applied, as objective and read-out see them.

        Every tensor has the run axis in front: scores (R, n, n), y (R, n, dim_y).
        """
        return scores

    def carried_tensors(self) -> Tensors:
        """Return the initial values of what the objective of one run carries from step to step."""
        return {}


def positives(scores: Tensor) -> Tensor:
    """Return the scores of the joint samples, shape (..., n, n) -> (..., n)."""
    return scores.diagonal(dim1=-2, dim2=-1)


def off_diagonal(scores: Tensor) -> Tensor:
    """Return the scores with -inf on the diagonal, so that exp sums over samples of the marginals alone."""
    return scores.masked_fill(_diagonal(scores), -math.inf)


def log_mean_exp_negatives(scores: Tensor) -> Tensor:
    """Return log of the mean of exp over the n (n - 1) off-diagonal scores, (..., n, n) -> (...)."""
    n = scores.shape[-1]
    return off_diagonal(scores).logsumexp((-2, -1)) - math.log(n * (n - 1))


def donsker_varadhan(scores: Tensor) -> Tensor:
    """Return E_P f - log E_Q exp f of each score matrix, (..., n, n) -> (...)."""
    return positives(scores).mean(-1) - log_mean_exp_negatives(scores)


def jensen_shannon(scores: Tensor) -> Tensor:
    """Return E_P[-softplus(-f)] - E_Q[softplus(f)] of each score matrix, (..., n, n) -> (...)."""
    n = scores.shape[-1]
    noise = softplus(scores).masked_fill(_diagonal(scores), 0).sum((-2, -1)) / (n * (n - 1))
    return -softplus(-positives(scores)).mean(-1) - noise


def _diagonal(scores: Tensor) -> Tensor:
    return torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)
