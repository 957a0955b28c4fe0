"""CLUB: the contrastive log-ratio upper bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from mibench.batch import Batch, Tensors
from mibench.estimators.base import Bound
from mibench.estimators.conditional.density import FromDensity
from mibench.registry import option
from mibench.scores import following, mean_negatives, positives


@dataclass(frozen=True)
class CLUB(FromDensity):
    r"""The contrastive log-ratio upper bound, with a learned conditional density (vCLUB).

    I_CLUB = E_P[log q(y | x)] - E_Q[log q(y | x)]

    with log q(y_j | x_i) of shape (R, n, n) -> (R,) in nats, E_P over the diagonal and E_Q over the rest, or,
    with `negatives=sampled` (CLUBSample), over one y per x, that of the next row. q is trained by maximum
    likelihood, which shares its training with `ba`, `doe` and `l1out`; the estimate itself is never trained.

    Ceiling: none. Bias: at the exact conditional it reads the Jeffreys divergence I + KL(Q || P), an upper
    bound that is not tight: dim rho^2 / (1 - rho^2) on Gaussians. For another q it is an upper bound only
    where KL(Q || q p_x) >= KL(P || q p_x): an underfitted q reads too little, one with too small a variance
    too much, without limit.

    Reference: Cheng et al. 2020, arXiv 2006.12013.
    """

    negatives: Literal["all", "sampled"] = option("all", "E_Q over all other pairs, or over one per row")

    name = "club"
    formula: ClassVar[str] = "E_P[log q(y|x)] - E_Q[log q(y|x)], q by maximum likelihood"
    direction: ClassVar[str] = "upper bound if q is exact (the Jeffreys divergence), else no bound"
    bound: ClassVar[Bound] = Bound("upper", "if q is exact")
    reference: ClassVar[str] = "Cheng, Hao, Dai, Liu, Gan, Carin 2020, arXiv 2006.12013"
    bibtex: ClassVar[str] = """@inproceedings{cheng2020club,
  title     = {{CLUB}: A Contrastive Log-ratio Upper Bound of Mutual Information},
  author    = {Cheng, Pengyu and Hao, Weituo and Dai, Shuyang and Liu, Jiachang and Gan, Zhe
               and Carin, Lawrence},
  booktitle = {International Conference on Machine Learning},
  pages     = {1779--1788},
  year      = {2020},
  note      = {arXiv:2006.12013}
}"""

    def read(self, outputs: Tensors, batch: Batch) -> Tensor:
        """Return I_CLUB of every run."""
        log_q = outputs["conditional"].double()
        return positives(log_q).mean(-1) - self._negative(log_q)

    def _negative(self, log_q: Tensor) -> Tensor:
        if self.negatives == "all":
            return mean_negatives(log_q)
        return following(log_q).mean(-1)
