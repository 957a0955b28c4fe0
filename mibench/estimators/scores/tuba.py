"""TUBA: the tractable unnormalised bound of Barber and Agakov, with a learned baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mibench.batch import Dims, Tensors
from mibench.estimators.base import Bound, Maximised
from mibench.estimators.scores.baseline import POOLE_2019, initial_baseline, less_baseline
from mibench.scores import log_mean_exp_negatives, positives


@dataclass(frozen=True)
class TUBA(Maximised):
    r"""The unnormalised Barber-Agakov bound with a baseline a(y) that is learned beside the critic.

    I_TUBA = 1 + E_P[f - log a(y)] - E_Q[exp(f) / a(y)]

    with E_P over the diagonal and E_Q over the rest of an n x n score matrix. The scores that `objective`
    and `estimate` see, (..., n, n) -> (...) in nats, are g = f - log a(y) (`corrected`): so the bound is
    1 + E_P[g] - E_Q[exp g]. The baseline is a network of y with two hidden layers of 256; a = e gives NWJ.

    Ceiling: none. Bias: a lower bound in expectation for every critic and baseline, tight at
    f = log r + log a, that is g = log r; its variance grows as exp(2 I), as NWJ's.

    Reference: Poole et al. 2019, arXiv 1905.06922; Barber & Agakov 2003, NeurIPS.
    """

    name = "tuba"
    formula: ClassVar[str] = "1 + E_P[f - log a(y)] - E_Q[exp(f) / a(y)], a(y) learned"
    direction: ClassVar[str] = "lower bound in expectation, with variance of order exp(2 I)"
    bound: ClassVar[Bound] = Bound("lower", "in expectation")
    oracle_is_best: ClassVar[bool] = True
    unbiased_at_exact_ratio: ClassVar[bool] = True
    reference: ClassVar[str] = "Poole et al. 2019, arXiv 1905.06922; Barber, Agakov 2003, NeurIPS"
    bibtex: ClassVar[str] = POOLE_2019

    def learned(self, dims: Dims, generator: torch.Generator) -> Tensors:
        """Return the initial baseline."""
        return initial_baseline(dims.y, generator)

    def corrected(self, scores: Tensor, y: Tensor, parameters: Tensors) -> Tensor:
        """Return g = f - log a(y)."""
        return less_baseline(scores, y, parameters)

    def of(self, scores: Tensor, state: Tensors) -> Tensor:
        """Return I_TUBA of each score matrix."""
        return 1 + positives(scores).mean(-1) - log_mean_exp_negatives(scores).exp()
