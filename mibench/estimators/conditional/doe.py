"""DoE: the difference of two entropies, each by maximum likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mibench.batch import Batch, Tensors
from mibench.estimators.conditional.density import FromDensity
from mibench.scores import positives


@dataclass(frozen=True)
class DoE(FromDensity):
    r"""The difference of the cross-entropies of a marginal and a conditional density of the same family.

    I_DoE = E_P[log q(y | x)] - E_P[log q(y)] = I - E KL(p(y | x) || q(y | x)) + KL(p(y) || q(y))

    with log q(y_j | x_i) of shape (R, n, n) and log q(y_j) of shape (R, n) -> (R,) in nats. Both are trained
    by maximum likelihood, which shares its training with `ba`, `club` and `l1out`.

    Ceiling: none. Bias: a plug-in and no bound, on either side of I: its two errors have opposite signs.

    Reference: McAllester & Stratos 2020, arXiv 1811.04251.
    """

    name = "doe"
    formula: ClassVar[str] = "E_P[log q(y|x)] - E_P[log q(y)], both by maximum likelihood"
    direction: ClassVar[str] = "plug-in: no bound, either side of I"
    unbiased_at_exact_ratio: ClassVar[bool] = True
    reference: ClassVar[str] = "McAllester, Stratos 2020, arXiv 1811.04251"
    bibtex: ClassVar[str] = """@inproceedings{mcallester2020formal,
  title     = {Formal Limitations on the Measurement of Mutual Information},
  author    = {McAllester, David and Stratos, Karl},
  booktitle = {International Conference on Artificial Intelligence and Statistics},
  pages     = {875--884},
  year      = {2020},
  note      = {arXiv:1811.04251}
}"""

    def read(self, outputs: Tensors, batch: Batch) -> Tensor:
        """Return I_DoE of every run."""
        conditional = positives(outputs["conditional"].double())
        of_the_same_rows = outputs["marginal"].double()[..., : conditional.shape[-1]]
        return conditional.mean(-1) - of_the_same_rows.mean(-1)
