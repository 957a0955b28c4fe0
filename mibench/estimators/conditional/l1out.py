"""L1Out: the leave-one-out upper bound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mibench.batch import Batch, Tensors
from mibench.estimators.base import Bound
from mibench.estimators.conditional.density import FromDensity
from mibench.estimators.scores.baseline import POOLE_2019
from mibench.scores import log_sum_exp_other_rows, positives


@dataclass(frozen=True)
class L1Out(FromDensity):
    r"""The leave-one-out bound: the marginal of y is the mixture of the conditionals at the other x.

    I_L1Out = 1/n sum_i [ log q(y_i | x_i) - log 1/(n-1) sum_(j != i) q(y_i | x_j) ]

    with log q(y_j | x_i) of shape (R, n, n) -> (R,) in nats: the sum is over the other x at the same y, a
    column without its diagonal. q is trained by maximum likelihood, which shares its training with `ba`,
    `doe` and `club`.

    Ceiling: none. Bias: at the exact conditional an upper bound in expectation for every n, which decreases
    to I as n grows; for another q there is no guarantee.

    Reference: Poole et al. 2019, arXiv 1905.06922.
    """

    name = "l1out"
    formula: ClassVar[str] = (
        "mean_i [log q(y_i|x_i) - log (1/(n-1)) sum_(j!=i) q(y_i|x_j)], q by max. likelihood"
    )
    direction: ClassVar[str] = "upper bound in expectation if q is exact, decreasing to I as n grows"
    bound: ClassVar[Bound] = Bound("upper", "if q is exact")
    reference: ClassVar[str] = "Poole et al. 2019, arXiv 1905.06922"
    bibtex: ClassVar[str] = POOLE_2019

    def read(self, outputs: Tensors, batch: Batch) -> Tensor:
        """Return I_L1Out of every run."""
        log_q = outputs["conditional"].double()
        others = log_sum_exp_other_rows(log_q) - math.log(log_q.shape[-1] - 1)
        return (positives(log_q) - others).mean(-1)
