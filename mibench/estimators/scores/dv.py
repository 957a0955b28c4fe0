"""DV: the Donsker-Varadhan bound, with the plain gradient of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mibench.batch import Tensors
from mibench.estimators.base import Bound, Maximised
from mibench.scores import donsker_varadhan


@dataclass(frozen=True)
class DV(Maximised):
    r"""The Donsker-Varadhan bound, trained by the gradient of each batch's own value.

    I_DV = E_P[f] - log E_Q[exp f]

    with scores (..., n, n) -> (...) in nats, E_P over the diagonal and E_Q over the rest. The gradient of
    log E_Q over a batch is biased; `mine` is the same with that corrected.

    Ceiling: none. Bias: a lower bound for infinitely many samples; the value of a finite batch is biased up
    (log is concave), also at the exact critic. Invariant to f + const. Optimal critic: log r + const.

    Reference: Donsker & Varadhan 1983; as an MI bound, Belghazi et al. 2018, arXiv 1801.04062.
    """

    name = "dv"
    identifiable: ClassVar[bool] = False
    formula: ClassVar[str] = "E_P[f] - log E_Q[exp f]"
    direction: ClassVar[str] = "lower bound with infinite data, biased up on finite batches"
    bound: ClassVar[Bound] = Bound("lower", "with infinite data")
    reference: ClassVar[str] = "Donsker, Varadhan 1983; Belghazi et al. 2018, arXiv 1801.04062"
    bibtex: ClassVar[str] = """@article{donsker1983asymptotic,
  title   = {Asymptotic Evaluation of Certain {Markov} Process Expectations for Large Time. {IV}},
  author  = {Donsker, Monroe D. and Varadhan, S. R. Srinivasa},
  journal = {Communications on Pure and Applied Mathematics},
  volume  = {36},
  number  = {2},
  pages   = {183--212},
  year    = {1983}
}"""

    def of(self, scores: Tensor, state: Tensors) -> Tensor:
        """Return I_DV of each score matrix."""
        return donsker_varadhan(scores)

    def estimate(self, scores: Tensor) -> Tensor:
        """Return I_DV of each score matrix, in float64."""
        return donsker_varadhan(scores.double())
