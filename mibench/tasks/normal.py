"""Jointly Gaussian pairs by their covariances: mutual information and log density ratio in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

SMALLEST_MULTIPLIED = 0.1
"""Squares of rows that were divided by less than this are not multiplied out."""

ENTROPY = (1 + math.log(2 * math.pi)) / 2
"""The differential entropy of N(0, 1) in nats."""


@dataclass(frozen=True, eq=False)
class Normal:
    r"""A jointly Gaussian pair with mean 0, x = R_x u and y = R_y v, in float64.

        u ~ N(0, 1),   v ~ N(0, 1),   E[u v'] = C,   I(X;Y) = -1/2 sum_c log(1 - rho_c^2)   nats

    over the canonical correlations rho_c, the singular values of C. The roots R_x and R_y, lower triangular,
    must be invertible. A pair that is seen through linear maps has its roots from orthonormal bases: the
    condition number of its covariances, which are never formed, would be the square of that of the maps.
    """

    root_x: Tensor
    root_y: Tensor
    core: Tensor

    @classmethod
    def of(cls, xx: Tensor, yy: Tensor, xy: Tensor) -> Self:
        """Return the pair with positive definite covariances of x and of y, and that between them."""
        root_x, root_y = torch.linalg.cholesky(xx), torch.linalg.cholesky(yy)
        half = torch.linalg.solve_triangular(root_x, xy, upper=False)
        return cls(root_x, root_y, torch.linalg.solve_triangular(root_y, half.mT, upper=False).mT)

    @cached_property
    def _whitened(self) -> tuple[Tensor, Tensor, Tensor]:
        """Matrices that map x and y to canonical coordinates, and the correlations there."""
        u, rho, vt = torch.linalg.svd(self.core, full_matrices=False)
        to_x = torch.linalg.solve_triangular(self.root_x.mT, u, upper=True).mT
        to_y = torch.linalg.solve_triangular(self.root_y.mT, vt.mT, upper=True).mT
        return to_x, to_y, rho

    @cached_property
    def information(self) -> float:
        """I(X;Y) in nats; NaN beyond float64."""
        rho = self._whitened[2]
        if not (rho < 1).all():
            return math.nan  # float64 does not resolve it
        # The sum of two logarithms: log(1 - rho^2) is inexact near 1.
        return max(0.0, float(-((rho.log1p() + (-rho).log1p()).sum()) / 2))

    @cached_property
    def condition(self) -> float:
        """The larger condition number of the roots with rows of norm 1: large for nearly dependent ones."""
        return max(float(torch.linalg.cond(_at_unit_scale(root))) for root in (self.root_x, self.root_y))

    @property
    def uncertainty(self) -> float:
        """Nats by which roundings of the roots to float64 move the information, to first order at most.

        Relative errors e of each coordinate turn the basis of a side by at most e * sqrt(dim) * condition,
        and dI = tr((1 - C C')^(-1) C dC').
        """
        rho = self._whitened[2]
        turned = math.sqrt(len(self.root_x)) + math.sqrt(len(self.root_y))
        slope = float((rho / ((1 - rho) * (1 + rho))).norm())
        return torch.finfo(torch.float64).eps * self.condition * turned * slope

    def log_ratio(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log p(x_i, y_j) / p(x_i)p(y_j), shapes (..., n, dim_x), (..., n, dim_y) -> (..., n, n)."""
        to_x, to_y, rho = self._whitened
        u, v = x.double() @ to_x.mT, y.double() @ to_y.mT
        deviation = ((1 - rho) * (1 + rho)).sqrt()
        distance = half_squares(rho * u / deviation, v / deviation, float(deviation.min()))
        ratio: Tensor = self.information + v.square().sum(-1).unsqueeze(-2) / 2 - distance
        return ratio

    @property
    def entropy_y(self) -> float:
        """h(Y) in nats."""
        return float(self.root_y.diagonal().abs().log().sum()) + len(self.root_y) * ENTROPY

    def log_conditional(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log p(y_j | x_i) in nats, shapes (..., n, dim_x), (..., n, dim_y) -> (..., n, n)."""
        white = torch.linalg.solve_triangular(self.root_y, y.double().mT, upper=False)
        log_p = -white.square().sum(-2) / 2 - (self.entropy_y - len(self.root_y) / 2)
        conditional: Tensor = self.log_ratio(x, y) + log_p.unsqueeze(-2)
        return conditional

    def seen_through(self, a: Tensor, b: Tensor) -> Self:
        """Return the pair (Ax, By)."""
        return self._loaded(a @ self.root_x, b @ self.root_y)

    def rounded(self, dtype: torch.dtype) -> Self:
        """Return the pair with a noise in every coordinate of the size of its rounding to a type."""
        eps = torch.finfo(dtype).eps
        return self._loaded(
            *(torch.cat([root, eps * root.norm(dim=1).diag()], 1) for root in (self.root_x, self.root_y))
        )

    def _loaded(self, loads_x: Tensor, loads_y: Tensor) -> Self:
        """Return the pair with these loads on u and v, and on noise of its own in the columns beyond."""
        (basis_x, root_x), (basis_y, root_y) = torch.linalg.qr(loads_x.mT), torch.linalg.qr(loads_y.mT)
        dim_x, dim_y = self.core.shape
        return type(self)(root_x.mT, root_y.mT, basis_x[:dim_x].mT @ self.core @ basis_y[:dim_y])


def _at_unit_scale(rows: Tensor) -> Tensor:
    """Return rows of norm 1; those of norm 0 stay 0."""
    return torch.nn.functional.normalize(rows, dim=1, eps=torch.finfo(rows.dtype).tiny)


def half_squares(a: Tensor, b: Tensor, deviation: float) -> Tensor:
    """Return |a_i - b_j|^2 / 2 of rows divided by a deviation: (..., n, d), (..., m, d) -> (..., n, m).

    Multiplied out, the square is a matrix product, which is faster, and cancels where the deviation is small:
    it loses about 1e-16 d / deviation^2.
    """
    if deviation < SMALLEST_MULTIPLIED:
        return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square() / 2
    return a.square().sum(-1)[..., None] / 2 + b.square().sum(-1)[..., None, :] / 2 - a @ b.mT


def entropy(covariance: Tensor) -> float:
    """Return the differential entropy of a Gaussian in nats: 1/2 log det(2 pi e S)."""
    return float(torch.linalg.slogdet(covariance)[1]) / 2 + len(covariance) * ENTROPY


def rotation(dim: int, generator: torch.Generator) -> Tensor:
    """Return a random orthogonal matrix in float64, uniform over all of them."""
    q, r = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64))
    turned: Tensor = q * r.diagonal().sign()
    return turned
