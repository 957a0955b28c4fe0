"""KSG: how many neighbours has a point in x and in y, where it has k in both?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from scipy.special import psi
from torch import Tensor

from mibench.errors import UsageError
from mibench.estimators.base import FromSamples
from mibench.estimators.neighbours.counts import counts
from mibench.registry import option
from mibench.validation import check_sizes

if TYPE_CHECKING:
    from mibench.tasks.pair import Pair


@dataclass(frozen=True)
class KSG(FromSamples):
    r"""The k-nearest-neighbour estimator of Kraskov, Stoegbauer and Grassberger.

    I_1 = psi(k) + psi(n) - < psi(n_x + 1) + psi(n_y + 1) >
    I_2 = psi(k) + psi(n) - < psi(n_x) + psi(n_y) > - 1/k

    with x (..., n, dim_x) and y (..., n, dim_y) -> (...) in nats; psi is the digamma function, and <.> the
    mean over the n pairs. With e the distance of a pair (x_i, y_i) to its k-th nearest other pair, in the
    maximum norm, n_x in I_1 is the number of other x strictly nearer to x_i than e. In I_2 it is the number
    of other x at most as far from x_i as the farthest x among the k nearest pairs. n_y likewise.

    Ceiling: psi(n) - psi(k) - 1/k for pairs without ties, whatever the truth. Bias: no bound; consistent;
    about 0 at independence, so that it can be negative. Too low where x and y have more than a few
    dimensions, and where y is nearly a function of x. The scales of x and of y matter, though not a scale
    that they share: standardise both.

    Ties: I_1 reads psi(n) - psi(k), above the ceiling, where y = x exactly, and 0 where y is constant; I_2
    reads the ceiling, and 1/(n - 1) - 1/k. In I_2 all pairs at the distance of the k-th are among the
    nearest. Duplicate pairs raise no error, but the estimate means nothing: where e = 0, nothing is nearer.
    NaN where a value is not finite.

    Cost: time n^2 (dim_x + dim_y), memory linear in n; in few dimensions, large samples are searched by k-d
    trees, with the same result.

    Raises:
        UsageError: k < 1 or a variant other than 1 and 2; at a given n, k >= n.

    Reference: Kraskov, Stoegbauer & Grassberger 2004, Physical Review E 69, 066138.
    """

    k: int = option(3, "neighbours; more of them lower the variance, and the ceiling")
    variant: int = option(1, "1 or 2: which algorithm of the paper")

    name = "ksg"
    formula: ClassVar[str] = (
        "psi(k) + psi(n) - <psi(n_x + 1) + psi(n_y + 1)>; variant 2: "
        "psi(k) - 1/k + psi(n) - <psi(n_x) + psi(n_y)>"
    )
    direction: ClassVar[str] = "no bound: either side of I, below it in many dimensions"
    needs_distinct_values: ClassVar[bool] = True
    ceiling_formula: ClassVar[str] = "psi(n) - psi(k) - 1/k"
    reference: ClassVar[str] = "Kraskov, Stögbauer, Grassberger 2004, doi 10.1103/PhysRevE.69.066138"
    bibtex: ClassVar[str] = """@article{kraskov2004estimating,
  title     = {Estimating Mutual Information},
  author    = {Kraskov, Alexander and St{\\"o}gbauer, Harald and Grassberger, Peter},
  journal   = {Physical Review E},
  volume    = {69},
  number    = {6},
  pages     = {066138},
  year      = {2004},
  doi       = {10.1103/PhysRevE.69.066138}
}"""

    def __post_init__(self) -> None:
        check_sizes(self.name, k=self.k)
        if self.variant not in (1, 2):
            raise UsageError(
                f"variant of 'ksg' must be 1 or 2, not {self.variant}.",
                "They are the first and the second algorithm of the paper.",
            )

    def ceiling(self, n: int) -> float:
        """Return psi(n) - psi(k) - 1/k."""
        return float(psi(n) - psi(self.k) - 1 / self.k)

    def check(self, n: int, pair: Pair | None = None) -> None:
        """Raise a UsageError for tokens, and where a pair has fewer than k others."""
        super().check(n, pair)
        if self.k >= n:
            raise UsageError(
                f"ksg[k={self.k}] needs n > {self.k}, not n = {n}.",
                f"Choose k <= {n - 1} or n >= {self.k + 1}." if n > 1 else f"Choose n >= {self.k + 1}.",
            )

    def estimate_from(self, x: Tensor, y: Tensor) -> Tensor:
        """Return I_1 or I_2 of the pairs, in float64."""
        n, x, y = x.shape[-2], x.double(), y.double()
        self.check(n)
        n_x, n_y = counts(x, y, self.k, own_radii=self.variant == 2)
        if self.variant == 1:
            margins = (_psi(n_x + 1) + _psi(n_y + 1)).mean(-1)
        else:
            margins = (_psi(n_x) + _psi(n_y)).mean(-1) + 1 / self.k
        finite = x.isfinite().all((-2, -1)) & y.isfinite().all((-2, -1))
        return torch.where(finite, psi(self.k) + psi(n) - margins, torch.nan)


def _psi(count: Tensor) -> Tensor:
    return torch.digamma(count.double())
