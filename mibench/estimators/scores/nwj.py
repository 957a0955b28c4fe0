"""NWJ: the variational bound of Nguyen, Wainwright and Jordan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mibench.batch import Tensors
from mibench.estimators.base import Bound, Maximised
from mibench.scores import log_mean_exp_negatives, positives


@dataclass(frozen=True)
class NWJ(Maximised):
    r"""The lower bound of Nguyen, Wainwright & Jordan, also called MINE-f or the f-GAN KL bound.

    I_NWJ = 1 + E_P[f - 1] - E_Q[exp(f - 1)]

    with scores (..., n, n) -> (...) in nats, E_P over the diagonal and E_Q over the rest.

    Ceiling: none. Bias: unbiased for the bound, so a lower bound in expectation for every critic, tight at
    f = 1 + log r; its variance grows as exp(2 I), so that a few batches mostly show too much of E_P and too
    little of E_Q. Invariant to nothing: constants in f matter.

    Reference: Nguyen et al. 2010, arXiv 0809.0853; as an MI bound, Poole et al. 2019, arXiv 1905.06922.
    """

    name = "nwj"
    formula: ClassVar[str] = "1 + E_P[f - 1] - E_Q[exp(f - 1)]"
    direction: ClassVar[str] = "lower bound in expectation, with variance of order exp(2 I)"
    bound: ClassVar[Bound] = Bound("lower", "in expectation")
    oracle_is_best: ClassVar[bool] = True
    unbiased_at_exact_ratio: ClassVar[bool] = True
    reference: ClassVar[str] = "Nguyen, Wainwright, Jordan 2010, arXiv 0809.0853"
    bibtex: ClassVar[str] = """@article{nguyen2010estimating,
  title   = {Estimating Divergence Functionals and the Likelihood Ratio by Convex Risk Minimization},
  author  = {Nguyen, XuanLong and Wainwright, Martin J. and Jordan, Michael I.},
  journal = {IEEE Transactions on Information Theory},
  volume  = {56},
  number  = {11},
  pages   = {5847--5861},
  year    = {2010},
  note    = {arXiv:0809.0853}
}"""

    def of(self, scores: Tensor, state: Tensors) -> Tensor:
        """Return I_NWJ of each score matrix."""
        return positives(scores).mean(-1) - (log_mean_exp_negatives(scores) - 1).exp()

    def optimal_critic(self, log_ratio: Tensor) -> Tensor:
        """Return 1 + log r."""
        return 1 + log_ratio

    def log_ratio_of(self, scores: Tensor) -> Tensor:
        """Return f - 1."""
        return scores - 1
