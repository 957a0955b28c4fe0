"""BA: the lower bound of Barber and Agakov."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from mibench.batch import Batch, Tensors
from mibench.errors import UsageError
from mibench.estimators.base import Bound
from mibench.estimators.conditional.density import FromDensity
from mibench.scores import positives

if TYPE_CHECKING:
    from mibench.tasks.pair import Pair


@dataclass(frozen=True)
class BA(FromDensity):
    r"""The Barber-Agakov bound: the entropy of Y, which must be known, less a cross-entropy.

    I_BA = h(Y) + E_P[log q(y | x)] = I - E KL(p(y | x) || q(y | x))

    with log q(y_j | x_i) of shape (R, n, n) -> (R,) in nats; E_P is the mean over the diagonal. q is trained
    by maximum likelihood, which shares its training with `doe`, `club` and `l1out`.

    Ceiling: none. Bias: a lower bound in expectation for every q and n, tight at the exact conditional, with
    a variance of about dim/(2n) on Gaussians.

    Raises:
        UsageError: the entropy of Y is not known.

    Reference: Barber & Agakov 2003, NeurIPS; as an MI bound, Poole et al. 2019, arXiv 1905.06922.
    """

    name = "ba"
    formula: ClassVar[str] = "h(Y) + E_P[log q(y|x)], q by maximum likelihood"
    direction: ClassVar[str] = "lower bound in expectation, for every q"
    bound: ClassVar[Bound] = Bound("lower", "in expectation")
    oracle_is_best: ClassVar[bool] = True
    unbiased_at_exact_ratio: ClassVar[bool] = True
    reference: ClassVar[str] = "Barber, Agakov 2003, NeurIPS"
    bibtex: ClassVar[str] = """@inproceedings{barber2003im,
  title     = {The {IM} Algorithm: A Variational Approach to Information Maximization},
  author    = {Barber, David and Agakov, Felix},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {16},
  year      = {2003}
}"""

    def read(self, outputs: Tensors, batch: Batch) -> Tensor:
        """Return I_BA of every run."""
        return batch.known["entropy_y"] + positives(outputs["conditional"].double()).mean(-1)

    def exact(self, pair: Pair, batch: Batch) -> Tensors | None:
        """Return log p(y | x)."""
        if pair.log_conditional is None:
            return None
        return {"conditional": pair.log_conditional(batch.x, batch.y)}

    def check(self, n: int, pair: Pair | None = None) -> None:
        """Raise a UsageError where h(Y) is not known; that of a representation is not."""
        if pair is not None and pair.entropy_y is None:
            raise UsageError(
                "Estimator 'ba' needs the differential entropy of Y, which is not known here.",
                "Give a task with continuous y and known entropy, such as gaussian, or another estimator, "
                "such as doe.",
            )
