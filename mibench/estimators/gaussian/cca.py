"""CCA: the mutual information of a Gaussian with the sample's covariance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from mibench.batch import Dims
from mibench.estimators.base import Bound, FromSamples
from mibench.estimators.gaussian.information import bias, check_rows, gaussian_information
from mibench.registry import option

if TYPE_CHECKING:
    from mibench.tasks.pair import Pair


@dataclass(frozen=True)
class CCA(FromSamples):
    r"""The mutual information of a Gaussian with the sample's covariance, by canonical correlations.

    I_CCA = -1/2 log( det S / (det S_x det S_y) ) - b = -1/2 sum_i log(1 - rho_i^2) - b

    with x (..., n, dim_x) and y (..., n, dim_y) -> (...) in nats; S is the sample covariance of (x, y), S_x
    and S_y its blocks and rho_i the canonical correlations. On Gaussian pairs the first part exceeds I by

    b = 1/2 ( sum_{i <= dim_x} + sum_{i <= dim_y} - sum_{i <= dim_x + dim_y} ) psi((n - i) / 2)

    on average, about dim_x dim_y / 2n and the same at every I; `corrected=false` leaves it in.

    Ceiling: none. Bias: none on Gaussian pairs, at any n. On other pairs only linear dependence is seen: with
    infinite data the estimate is a lower bound of I if x and y are each Gaussian, and otherwise no bound.
    Invariant to invertible linear maps of x and of y.

    Degenerate data: infinite where y is a linear function of x, such as y = x; NaN where a column is constant
    or a linear function of the others of its side, and where a value is not finite.

    Raises:
        UsageError: at a given n, n <= dim_x + dim_y.

    Reference: Gelfand & Yaglom 1959, American Mathematical Society Translations 12. The bias follows from the
    expected log-determinant of a Wishart matrix: Misra, Singh & Demchuk 2005, Journal of Multivariate
    Analysis 92.
    """

    corrected: bool = option(True, "whether the bias on Gaussian pairs is subtracted")

    name = "cca"
    formula: ClassVar[str] = "-1/2 log(det S / (det S_x det S_y)), less its exact bias on Gaussian pairs"
    direction: ClassVar[str] = (
        "unbiased on Gaussian pairs; below I if x and y are each Gaussian, else no bound"
    )
    bound: ClassVar[Bound] = Bound("lower", "if margins are Gaussian")
    reference: ClassVar[str] = (
        "Gelfand, Yaglom 1959, AMS Translations 12; bias as in Misra, Singh, Demchuk 2005, "
        "doi 10.1016/j.jmva.2003.10.003"
    )
    bibtex: ClassVar[str] = """@article{gelfand1959calculation,
  title     = {Calculation of the Amount of Information about a Random Function Contained in Another
               Such Function},
  author    = {Gel'fand, Israel M. and Yaglom, Akiva M.},
  journal   = {American Mathematical Society Translations},
  series    = {2},
  volume    = {12},
  pages     = {199--246},
  year      = {1959}
}"""

    def check(self, n: int, pair: Pair | None = None) -> None:
        """Raise a UsageError for tokens, and where n rows have a singular covariance."""
        super().check(n, pair)
        if pair is not None:
            check_rows(self.name, n, pair.dims)

    def estimate_from(self, x: Tensor, y: Tensor) -> Tensor:
        """Return I_CCA of the pairs, in float64."""
        n, dims = x.shape[-2], Dims(x.shape[-1], y.shape[-1])
        check_rows(self.name, n, dims)
        value = gaussian_information(x.double(), y.double())
        return value - bias(n, dims) if self.corrected else value
