"""MMG: mutual information as the area between two denoising errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mibench.batch import Batch, Tensors
from mibench.errors import UsageError
from mibench.estimators.base import Estimator
from mibench.estimators.diffusion.denoising import Denoising
from mibench.registry import option

FARTHEST = 100.0
"""At a log signal-to-noise ratio beyond this, signal or noise is 0 in float32."""


@dataclass(frozen=True)
class MMG(Estimator):
    r"""The area between the errors of two denoisers, over the log signal-to-noise ratio a (orthogonal form).

    I_MMG = 1/2 int_low^high E |e(z) - e(z, y)|^2 da,   z = sqrt(s(a)) x + sqrt(s(-a)) noise

    with e(z) and e(z, y) the predicted noise (R, n, dim_x) -> (R,) in nats; s is the sigmoid, and a is drawn
    uniformly, one value for each row of a batch, stratified. At exact denoisers it is I up to the information
    outside the range of a.

    Ceiling: none, but information beyond a = `high` is missing. Bias: a plug-in and no bound; the integrand
    is never negative, so it is biased up where I is small.

    Raises:
        UsageError: an empty range, or an end beyond -100 or 100.

    Reference: Yu et al. 2025, arXiv 2509.20609; Guo, Shamai & Verdu 2005 (I-MMSE), arXiv cs/0412108.
    """

    low: float = option(-8.0, "lower end of the log signal-to-noise ratio")
    high: float = option(10.0, "upper end of the log signal-to-noise ratio")

    name = "mmg"
    formula: ClassVar[str] = "1/2 int E |e(z) - e(z,y)|^2 da over the log-SNR a, e by denoising"
    direction: ClassVar[str] = "plug-in: no bound, never negative"
    reference: ClassVar[str] = "Yu, Shi, Kong, Jia, Ver Steeg 2025, arXiv 2509.20609"
    bibtex: ClassVar[str] = """@article{yu2025mmg,
  title   = {{MMG}: Mutual Information Estimation via the {MMSE} Gap in Diffusion},
  author  = {Yu, Longxuan and Shi, Xing and Kong, Xianghao and Jia, Tong and Ver Steeg, Greg},
  journal = {arXiv preprint arXiv:2509.20609},
  year    = {2025}
}"""

    def __post_init__(self) -> None:
        for key, value in (("low", self.low), ("high", self.high)):
            if not abs(value) <= FARTHEST:
                raise UsageError(
                    f"{key} of 'mmg' must lie between -{FARTHEST:g} and {FARTHEST:g}, not {value:g}.",
                    "Nearly all of the information lies between -8 and 10.",
                )
        if not self.low < self.high:
            raise UsageError(
                f"The range of 'mmg' is empty: low = {self.low:g} and high = {self.high:g}.",
                "Give low below high, such as -8 and 10.",
            )

    @property
    def objective(self) -> Denoising:
        """The denoising of x, with and without y."""
        return Denoising(self.low, self.high)

    def read(self, outputs: Tensors, batch: Batch) -> Tensor:
        """Return I_MMG of every run."""
        gap = (outputs["given"].double() - outputs["free"].double()).square().sum(-1)
        return (self.high - self.low) / 2 * gap.mean(-1)
