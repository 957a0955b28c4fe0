"""The interpolated bound: NWJ's variance on one side, InfoNCE's ceiling on the other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mibench.batch import Dims, Tensors
from mibench.errors import UsageError
from mibench.estimators.base import Bound, Maximised
from mibench.estimators.scores.baseline import POOLE_2019, initial_baseline, less_baseline
from mibench.registry import option
from mibench.scores import (
    log_mean_exp_negatives,
    log_sum_exp_columns,
    log_sum_exp_other_rows,
    positives,
)


@dataclass(frozen=True)
class Interpolated(Maximised):
    r"""Poole's I_alpha, between TUBA (alpha = 0) and InfoNCE over the x (alpha = 1).

    I_alpha = 1 + E_P[ log exp(f) / (alpha m(y) + (1 - alpha) q(y)) ]
                - E_Q[ exp(f) / (alpha m'(y) + (1 - alpha) q(y)) ]

    where m(y_j) is the mean of exp f(x_i, y_j) over the n x of a batch, m'(y_j) that over the n - 1 which
    are not y_j's own (under Q no x belongs to y), and q(y) a baseline learned beside the critic: a network of
    y with two hidden layers of 256. The scores that `objective` and `estimate` see, (..., n, n) -> (...) in
    nats, are g = f - log q(y) (`corrected`), in which q is 1. On every batch alpha = 0 is
    1 + E_P[g] - E_Q[exp g] (NWJ at g + 1), and alpha = 1 is InfoNCE over the columns.

    Ceiling: 1 + log(n / alpha) on a single batch (log n at alpha = 1, none at alpha = 0): E_P's term is at
    most log(n / alpha) and E_Q's at least 0. The paper's log(n / alpha) holds where E_Q's term is 1, as it is
    for every critic at alpha = 1. Bias: a lower bound in expectation, but for m' having n - 1 terms where m
    has n. That can lift it above I where n and alpha are small: at alpha = 0.01, the best critic of y = x on
    50 values (with probability 0.95, else independent; I = 3.53) reads 0.038 nats too much at n = 4, 0.0017
    at 16 and 0.00008 at 64, and less than I from 256 on. Optimal critic: g = log r.

    Raises:
        UsageError: an alpha outside [0, 1].

    Reference: Poole et al. 2019, arXiv 1905.06922.
    """

    alpha: float = option(0.5, "weight of the batch's own mean against the baseline: 0 is TUBA, 1 InfoNCE")

    name = "interpolated"
    identifiable: ClassVar[bool] = False
    reads_anchors: ClassVar[bool] = False  # E_Q needs the mean over every column
    formula: ClassVar[str] = (
        "1 + E_P[log exp(f) / b(y)] - E_Q[exp(f) / b(y)], b(y) = alpha mean_i exp f(x_i,y) + (1 - alpha) q(y)"
    )
    direction: ClassVar[str] = "lower bound: below I in expectation, variance between NWJ's and InfoNCE's"
    bound: ClassVar[Bound] = Bound("lower", "in expectation")
    ceiling_formula: ClassVar[str] = "1 + log(n / alpha) on a batch; log(n / alpha) where E_Q's term is 1"
    conformance_exceptions: ClassVar[Mapping[str, str]] = {
        "optimal critic": "at finite n it is not quite log r: m' has n - 1 terms where m has n"
    }
    reference: ClassVar[str] = "Poole et al. 2019, arXiv 1905.06922"
    bibtex: ClassVar[str] = POOLE_2019

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise UsageError(
                f"alpha of 'interpolated' must lie between 0 and 1, not {self.alpha!r}.",
                "0 is TUBA, 1 is InfoNCE; the paper shows 0.01, 0.5 and 0.99.",
            )

    def learned(self, dims: Dims, generator: torch.Generator) -> Tensors:
        """Return the initial baseline."""
        return initial_baseline(dims.y, generator)

    def corrected(self, scores: Tensor, y: Tensor, parameters: Tensors) -> Tensor:
        """Return g = f - log q(y)."""
        return less_baseline(scores, y, parameters)

    def of(self, scores: Tensor, state: Tensors) -> Tensor:
        """Return I_alpha of each score matrix."""
        n = scores.shape[-1]
        with_own = self._log_mixture(log_sum_exp_columns(scores) - math.log(n))
        without = self._log_mixture(log_sum_exp_other_rows(scores) - math.log(n - 1))
        joint = (positives(scores) - with_own).mean(-1)
        return 1 + joint - log_mean_exp_negatives(scores - without.unsqueeze(-2)).exp()

    def _log_mixture(self, log_mean: Tensor) -> Tensor:
        """Return log(alpha m + 1 - alpha)."""
        if self.alpha == 1:
            return log_mean
        if self.alpha == 0:
            return torch.zeros_like(log_mean)
        baseline = torch.full_like(log_mean, math.log1p(-self.alpha))
        return torch.logaddexp(math.log(self.alpha) + log_mean, baseline)

    def ceiling(self, n: int) -> float | None:
        """Return 1 + log(n / alpha), log n for alpha = 1, None for alpha = 0."""
        if self.alpha == 0:
            return None
        return math.log(n / self.alpha) + (self.alpha < 1)
