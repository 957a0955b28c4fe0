"""Correlated Gaussians, the field's standard task, and their cubic twin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from mibench.batch import Dims
from mibench.errors import UsageError
from mibench.registry import Value, option
from mibench.tasks.base import Task
from mibench.tasks.normal import half_squares
from mibench.tasks.pair import Pair, Truth
from mibench.validation import check_sizes

DEFAULT_MI_NATS = 4.0
LOG_2_PI = math.log(2 * math.pi)
EULER = 0.5772156649015329


@dataclass(frozen=True)
class Gaussian(Task):
    r"""Standard Gaussians x and y, correlated with rho coordinate by coordinate.

    y_c = rho x_c + sqrt(1 - rho^2) e_c with e ~ N(0, 1) in each of `dim` coordinates, so

        I(X;Y) = -dim/2 log(1 - rho^2)   nats,   rho = sqrt(1 - exp(-2 I / dim)),

        log p(x,y)/p(x)p(y) = I + |y|^2 / 2 - |y - rho x|^2 / (2 (1 - rho^2)).

    Give `mi` in nats, or `rho`, whose sign is kept; with neither, mi = 4. The conditional deviation
    sqrt(1 - rho^2) = exp(-I/dim) has to be well above the resolution of the floating-point type: float32
    holds up to 11.3 nats a coordinate, float64 up to 31.4. Beyond, samples and ratios are NaN.

    Raises:
        UsageError: dim < 1, mi < 0, |rho| >= 1, or mi and rho together.

    Reference: Belghazi et al. 2018, arXiv 1801.04062; Poole et al. 2019, arXiv 1905.06922.
    """

    dim: int = option(20, "number of coordinates of x and of y")
    mi: float | None = option(None, "true mutual information in nats (4 if rho is not given either)")
    rho: float | None = option(None, "correlation of each coordinate pair, in place of mi")

    name = "gaussian"
    levels: ClassVar[Mapping[str, tuple[Value, ...]]] = {"mi": (2.0, 4.0, 6.0, 8.0, 10.0)}
    reference: ClassVar[str] = "Belghazi et al. 2018, arXiv 1801.04062"

    def __post_init__(self) -> None:
        check_sizes(self.name, dim=self.dim)
        if self.mi is not None and self.rho is not None:
            raise UsageError("mi and rho are given together.", "Give one: each determines the other.")
        if self.rho is not None and not abs(self.rho) < 1:
            raise UsageError(
                f"rho must lie between -1 and 1, not {self.rho!r}.",
                "Give a correlation with |rho| < 1, or the true information as mi.",
            )
        if self.rho is None and self.mi is None:
            object.__setattr__(self, "mi", DEFAULT_MI_NATS)
        if self.mi is not None and not 0 <= self.mi < math.inf:
            raise UsageError(
                f"mi must be a finite number of nats, 0 or more, not {self.mi!r}.",
                "Mutual information is never negative.",
            )

    def pair(self) -> Pair:
        """Return the pair, of which everything is known."""
        return Pair(
            Dims(self.dim, self.dim),
            Truth.exactly(self._information),
            self._draw,
            self._log_ratio,
            self._log_conditional,
            self.dim * (1 + LOG_2_PI) / 2,
        )

    def at(self, nats: float) -> Gaussian:
        """Return the same task at another true MI, with a positive correlation."""
        return replace(self, mi=nats, rho=None)

    @property
    def _information(self) -> float:
        """I(X;Y) = -dim/2 log(1 - rho^2)."""
        if self.mi is not None:
            return self.mi
        assert self.rho is not None
        # The sum of two logarithms, not log(1 - rho^2), which is 0 for a small rho and inexact near 1.
        return 0.0 - self.dim * (math.log1p(self.rho) + math.log1p(-self.rho)) / 2

    @property
    def _deviation(self) -> float:
        """sqrt(1 - rho^2), without the cancellation of computing it so."""
        if self.rho is not None:
            return math.sqrt((1 - self.rho) * (1 + self.rho))
        assert self.mi is not None
        return math.exp(-self.mi / self.dim)

    @property
    def _correlation(self) -> float:
        if self.rho is not None:
            return self.rho
        assert self.mi is not None
        return math.sqrt(-math.expm1(-2 * self.mi / self.dim))

    def _deviation_in(self, dtype: torch.dtype) -> float:
        """Return sqrt(1 - rho^2) where samples of the type still show it, else NaN."""
        return self._deviation if self._deviation > 100 * torch.finfo(dtype).eps else math.nan

    def _draw(
        self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        device = generator.device if generator is not None else None
        x, noise = torch.randn(2, n, self.dim, generator=generator, dtype=dtype, device=device)
        return x, self._correlation * x + self._deviation_in(x.dtype) * noise

    def _log_ratio(self, x: Tensor, y: Tensor) -> Tensor:
        y = y.double()
        return self._information + y.square().sum(-1).unsqueeze(-2) / 2 - self._half_square(x, y)

    def _log_conditional(self, x: Tensor, y: Tensor) -> Tensor:
        constant = self.dim * (math.log(self._deviation) + LOG_2_PI / 2)
        return -self._half_square(x, y) - constant

    def _half_square(self, x: Tensor, y: Tensor) -> Tensor:
        """Return |y_j - rho x_i|^2 / (2 (1 - rho^2)), (..., n, n)."""
        deviation = self._deviation_in(torch.float64)
        return half_squares(self._correlation * x.double() / deviation, y.double() / deviation, deviation)


@dataclass(frozen=True)
class Cubic(Gaussian):
    r"""Correlated Gaussians with y replaced by y^3, coordinate by coordinate.

    y -> y^3 is injective, so I(X;Y) and the log density ratio are the Gaussian's, and only the
    critic has a harder problem.

    Reference: Poole et al. 2019, arXiv 1905.06922; Song & Ermon 2020, arXiv 1910.06222.
    """

    name = "cubic"
    reference: ClassVar[str] = "Poole et al. 2019, arXiv 1905.06922"

    def pair(self) -> Pair:
        """Return the Gaussian pair with y cubed; h(Y) gains E log |dy^3/dy| = dim (log 3 + E log y^2)."""
        gaussian = super().pair()
        assert gaussian.entropy_y is not None
        # E log y^2 = psi(1/2) + log 2 for a standard normal y.
        stretch = self.dim * (math.log(3) - EULER - math.log(2))
        return replace(
            gaussian,
            draw=self._draw_cubed,
            log_ratio=lambda x, y: self._log_ratio(x, _cube_root(y)),
            log_conditional=self._log_conditional_of_cubes,
            entropy_y=gaussian.entropy_y + stretch,
        )

    def _draw_cubed(
        self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        x, y = self._draw(n, generator, dtype)
        return x, y**3

    def _log_conditional_of_cubes(self, x: Tensor, y: Tensor) -> Tensor:
        root = _cube_root(y)
        log_slope = (3 * root.square()).log().sum(-1).unsqueeze(-2)
        return self._log_conditional(x, root) - log_slope


def _cube_root(y: Tensor) -> Tensor:
    y = y.double()
    return y.sign() * y.abs().pow(1 / 3)
