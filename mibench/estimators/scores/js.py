"""JS: trained by the Jensen-Shannon objective, estimated by NWJ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mibench.estimators.base import Bound, FromScores
from mibench.objectives import JensenShannon
from mibench.scores import log_mean_exp_negatives, positives


@dataclass(frozen=True)
class JS(FromScores):
    r"""The Jensen-Shannon objective for the gradient, the NWJ bound at f + 1 for the estimate.

    J = E_P[-softplus(-f)] - E_Q[softplus(f)],   I_JS = 1 + E_P[f] - E_Q[exp f]

    with scores (..., n, n) -> (...) in nats, E_P over the diagonal and E_Q over the rest. J is maximal at
    f = log r, where NWJ is maximal at 1 + log r: so it is read at f + 1. (Code that circulates reads it at f,
    and finds I - 1/e at the exact critic.)

    Ceiling: none. Bias: a lower bound in expectation for every critic, tight at f = log r, with NWJ's
    variance of order exp(2 I). Invariant to nothing.

    Reference: Hjelm et al. 2019, arXiv 1808.06670; the estimate, Poole et al. 2019, arXiv 1905.06922.
    """

    name = "js"
    formula: ClassVar[str] = (
        "E_P[-softplus(-f)] - E_Q[softplus(f)]; estimate 1 + E_P[f] - E_Q[exp f] (NWJ at f + 1)"
    )
    direction: ClassVar[str] = "lower bound in expectation, with variance of order exp(2 I)"
    bound: ClassVar[Bound] = Bound("lower", "in expectation")
    oracle_is_best: ClassVar[bool] = True
    unbiased_at_exact_ratio: ClassVar[bool] = True
    reference: ClassVar[str] = "Hjelm et al. 2019, arXiv 1808.06670; Poole et al. 2019, arXiv 1905.06922"
    bibtex: ClassVar[str] = """@inproceedings{hjelm2019learning,
  title     = {Learning Deep Representations by Mutual Information Estimation and Maximization},
  author    = {Hjelm, R. Devon and Fedorov, Alex and Lavoie-Marchildon, Samuel and Grewal, Karan
               and Bachman, Phil and Trischler, Adam and Bengio, Yoshua},
  booktitle = {International Conference on Learning Representations},
  year      = {2019},
  note      = {arXiv:1808.06670}
}"""

    @property
    def objective(self) -> JensenShannon:
        """The Jensen-Shannon objective."""
        return JensenShannon()

    def estimate(self, scores: Tensor) -> Tensor:
        """Return NWJ at f + 1 of each score matrix, in float64."""
        scores = scores.double()
        return 1 + positives(scores).mean(-1) - log_mean_exp_negatives(scores).exp()
