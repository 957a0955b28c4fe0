"""GCMI: the Gaussian information of normal scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from mibench.batch import Dims
from mibench.estimators.base import Bound, FromSamples
from mibench.estimators.gaussian.information import bias, check_rows, gaussian_information

if TYPE_CHECKING:
    from mibench.tasks.pair import Pair


@dataclass(frozen=True)
class GCMI(FromSamples):
    r"""Gaussian copula mutual information: every coordinate is made normal by its ranks.

    I_GCMI = -1/2 log( det S / (det S_x det S_y) ) - b,   S the covariance of z = Phi^-1( rank / (n + 1) )

    with x (..., n, dim_x) and y (..., n, dim_y) -> (...) in nats. Each value is ranked among the n of its
    coordinate, equal values share their mean rank, and b is the bias of `cca`.

    Ceiling: none. Bias: with infinite data a lower bound of I if the scores of x and the scores of y are each
    jointly Gaussian, as they always are where x and y have one coordinate; otherwise no bound. On Gaussian
    pairs it is slightly low, by less as n grows. Increasing maps of single coordinates leave it unchanged,
    bit for bit; rotations do not.

    Degenerate data: infinite where y is an increasing function of x, such as y = x; NaN where a column is
    constant, or its scores are a linear function of the others of its side, and where a value is NaN. Where
    many values are equal, as in counts, the scores are not Gaussian.

    Raises:
        UsageError: at a given n, n <= dim_x + dim_y.

    Reference: Ince, Giordano, Kayser, Rousselet, Gross & Schyns 2017, Human Brain Mapping 38, 1541-1573.
    """

    name = "gcmi"
    formula: ClassVar[str] = "-1/2 log(det S / (det S_x det S_y)) of the normal scores Phi^-1(rank / (n + 1))"
    direction: ClassVar[str] = "below I if x and y have Gaussian copulas, as in one dimension; else no bound"
    bound: ClassVar[Bound] = Bound("lower", "if margins are Gaussian")
    reference: ClassVar[str] = "Ince et al. 2017, doi 10.1002/hbm.23471"
    bibtex: ClassVar[str] = """@article{ince2017statistical,
  title     = {A Statistical Framework for Neuroimaging Data Analysis Based on Mutual Information Estimated
               via a {Gaussian} Copula},
  author    = {Ince, Robin A. A. and Giordano, Bruno L. and Kayser, Christoph and Rousselet, Guillaume A.
               and Gross, Joachim and Schyns, Philippe G.},
  journal   = {Human Brain Mapping},
  volume    = {38},
  number    = {3},
  pages     = {1541--1573},
  year      = {2017},
  doi       = {10.1002/hbm.23471}
}"""

    def check(self, n: int, pair: Pair | None = None) -> None:
        """Raise a UsageError for tokens, and where n rows have a singular covariance."""
        super().check(n, pair)
        if pair is not None:
            check_rows(self.name, n, pair.dims)

    def estimate_from(self, x: Tensor, y: Tensor) -> Tensor:
        """Return I_GCMI of the pairs, in float64."""
        n, dims = x.shape[-2], Dims(x.shape[-1], y.shape[-1])
        check_rows(self.name, n, dims)
        return gaussian_information(normal_scores(x.double()), normal_scores(y.double())) - bias(n, dims)


def normal_scores(values: Tensor) -> Tensor:
    """Return Phi^-1(rank / (n + 1)) of each column, (..., n, dim); equal values share their mean rank."""
    rows = values.mT.contiguous()
    ordered = rows.sort(-1).values
    below, up_to = (torch.searchsorted(ordered, rows, right=right) for right in (False, True))
    scores = torch.special.ndtri((below + up_to + 1).double() / (2 * (rows.shape[-1] + 1)))
    return torch.where(rows.isnan(), torch.nan, scores).mT
