"""Jointly Gaussian pairs by their covariances: mutual information and log density ratio in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

SMALLEST_MULTIPLIED = 0.1
"""Squares of rows that were divided by less than this are not multiplied out."""


@dataclass(frozen=True, eq=False)
class Normal:
    r"""A jointly Gaussian pair with mean 0 and covariances of x, of y and between them, in float64.

        I(X;Y) = -1/2 sum_c log(1 - rho_c^2)   nats

    over the canonical correlations rho_c: the singular values of Sx^(-1/2) Sxy Sy^(-1/2). Both covariances
    must be positive definite.
    """

    xx: Tensor
    yy: Tensor
    xy: Tensor

    @cached_property
    def _whitened(self) -> tuple[Tensor, Tensor, Tensor]:
        """Matrices that map x and y to canonical coordinates, and the correlations there."""
        root_x, root_y = torch.linalg.cholesky(self.xx), torch.linalg.cholesky(self.yy)
        half = torch.linalg.solve_triangular(root_x, self.xy, upper=False)
        core = torch.linalg.solve_triangular(root_y, half.mT, upper=False).mT
        u, rho, vt = torch.linalg.svd(core, full_matrices=False)
        to_x = torch.linalg.solve_triangular(root_x.mT, u, upper=True).mT
        to_y = torch.linalg.solve_triangular(root_y.mT, vt.mT, upper=True).mT
        return to_x, to_y, rho

    @cached_property
    def information(self) -> float:
        """I(X;Y) in nats; NaN beyond float64."""
        rho = self._whitened[2]
        if not (rho < 1).all():
            return math.nan  # float64 does not resolve it
        # The sum of two logarithms: log(1 - rho^2) is inexact near 1.
        return max(0.0, float(-((rho.log1p() + (-rho).log1p()).sum()) / 2))

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
        return entropy(self.yy)

    def log_conditional(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log p(y_j | x_i) in nats, shapes (..., n, dim_x), (..., n, dim_y) -> (..., n, n)."""
        root = torch.linalg.cholesky(self.yy)
        white = torch.linalg.solve_triangular(root, y.double().mT, upper=False)
        constant = root.diagonal().log().sum() + len(root) * math.log(2 * math.pi) / 2
        log_p = -white.square().sum(-2) / 2 - constant
        conditional: Tensor = self.log_ratio(x, y) + log_p.unsqueeze(-2)
        return conditional

    def seen_through(self, a: Tensor, b: Tensor) -> Normal:
        """Return the pair (Ax, By)."""
        return Normal(a @ self.xx @ a.mT, b @ self.yy @ b.mT, a @ self.xy @ b.mT)


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
    dim = len(covariance)
    log_determinant = float(torch.linalg.slogdet(covariance)[1])
    return (dim * (1 + math.log(2 * math.pi)) + log_determinant) / 2


def rotation(dim: int, generator: torch.Generator) -> Tensor:
    """Return a random orthogonal matrix in float64, uniform over all of them."""
    q, r = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64))
    turned: Tensor = q * r.diagonal().sign()
    return turned
