"""HD-DIME: the density ratio by the Hellinger distance, and its plug-in read-out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mibench.batch import Tensors
from mibench.estimators.base import FromScores
from mibench.objectives import OfScores
from mibench.scores import log_mean_exp_negatives, positives


@dataclass(frozen=True)
class Hellinger(OfScores):
    """-E_P[exp(-f/2)] - E_Q[exp(f/2)]: maximal at f = log r, where it is H^2(P, Q) - 2."""

    title: ClassVar[str] = "hellinger"

    def of(self, scores: Tensor, state: Tensors) -> Tensor:
        """Return the objective of each score matrix, (..., n, n) -> (...)."""
        joint = (-positives(scores) / 2).exp().mean(-1)
        noise = log_mean_exp_negatives(scores / 2).exp()
        return -joint - noise


@dataclass(frozen=True)
class HellingerDIME(FromScores):
    r"""f-DIME with the squared Hellinger distance: a bounded loss, and the plug-in mean of the log ratio.

    J = -E_P[exp(-f/2)] - E_Q[exp(f/2)],   I_HD-DIME = E_P[f]

    with scores (..., n, n) -> (...) in nats, E_P over the diagonal and E_Q over the rest. At f = log r each
    term of J has a second moment of 1, at any information.

    Ceiling: none. Bias: a plug-in and no bound, on either side of I. Not invariant to constants.

    Reference: Letizia, Novello & Tonello 2024, arXiv 2305.20025.
    """

    name = "hd-dime"
    formula: ClassVar[str] = "-E_P[exp(-f/2)] - E_Q[exp(f/2)]; read-out E_P[f]"
    direction: ClassVar[str] = "plug-in: no bound, either side of I"
    reference: ClassVar[str] = "Letizia, Novello, Tonello 2024, arXiv 2305.20025"
    bibtex: ClassVar[str] = """@inproceedings{letizia2024mutual,
  title     = {Mutual Information Estimation via f-Divergence and Data Derangements},
  author    = {Letizia, Nunzio A. and Novello, Nicola and Tonello, Andrea M.},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2024},
  note      = {arXiv:2305.20025}
}"""

    @property
    def objective(self) -> Hellinger:
        """The Hellinger objective."""
        return Hellinger()

    def estimate(self, scores: Tensor) -> Tensor:
        """Return the mean of f over the joint samples of each score matrix, in float64."""
        return positives(scores.double()).mean(-1)
