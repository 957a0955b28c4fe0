"""Jointly Gaussian vectors of which few directions are informative: what linear encoders have to find."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import ClassVar

import torch
from torch import Tensor

from mibench.batch import Dims
from mibench.errors import UsageError
from mibench.registry import option
from mibench.seeding import stream
from mibench.tasks.base import Task
from mibench.tasks.normal import Normal, rotation
from mibench.tasks.pair import Draw, Encode, Pair, Truth, encoded
from mibench.validation import check_sizes

RESOLVED_NATS = 1e-3
"""A floating-point type resolves information that its roundings move by less than this."""


@dataclass(frozen=True)
class LinearEncoder(Task):
    r"""Gaussian x and y with all information in `rank` of `dim` directions, hidden by fixed rotations.

        x = U a,   y = V b,   b_c = rho a_c + sqrt(1 - rho^2) e_c for c <= rank, b_c independent of a beyond,

    with a, e ~ N(0, 1) and U, V orthogonal, the same for every seed. So

        I(X;Y) = -rank/2 log(1 - rho^2)   nats,   rho = sqrt(1 - exp(-2 I / rank)),

    and for any linear encoders z = A x, z' = B y,

        I(Z;Z') = 1/2 log det(A Sx A') det(B Sy B') / det S(z,z') <= I(X;Y),

    exact at every step of their training, with its log density ratio. Where the coordinates of z or z' are
    nearly linearly dependent, rounding matters: at condition numbers of about 1e10 and more, float64 does not
    resolve I(Z;Z'), and there is no pair. Where rounding the data to a critic's floating-point type takes
    0.001 nats from them, in float32 from about 5e4 on, samples of that type are NaN.

    Raises:
        UsageError: mi below 0 or beyond float32, sizes below 1, rank above dim.

    Reference: linear-Gaussian channels, Cover & Thomas 2006, Elements of Information Theory, section 9.4.
    """

    dim: int = option(20, "number of coordinates of x and of y")
    rank: int = option(4, "how many directions are informative")
    mi: float = option(6.0, "true mutual information of x and y in nats")

    name = "linear-encoder"
    reference: ClassVar[str] = "Cover, Thomas 2006, Elements of Information Theory"
    default_encoder: ClassVar[str] = "linear"

    def __post_init__(self) -> None:
        check_sizes(self.name, dim=self.dim, rank=self.rank)
        if self.rank > self.dim:
            raise UsageError(
                f"{self.rank} informative directions do not fit into dim = {self.dim}.",
                f"Give rank of at most {self.dim}.",
            )
        if not 0 <= self.mi <= self._most:
            raise UsageError(
                f"mi of {self.name!r} must lie between 0 and {self._most:.4g}, not {self.mi:g}.",
                "Give less, or a larger rank.",
            )

    @property
    def _most(self) -> float:
        """The information up to which float32 resolves the noise of a direction."""
        return -self.rank * math.log(100 * torch.finfo(torch.float32).eps)

    def pair(self) -> Pair:
        """Return the pair, of which everything is known."""
        normal = self._normal
        dims, truth = Dims(self.dim, self.dim), Truth.exactly(self.mi)
        return Pair(dims, truth, self._draw, normal.log_ratio, normal.log_conditional, normal.entropy_y)

    def at(self, nats: float) -> LinearEncoder:
        """Return the same task at another true MI."""
        return replace(self, mi=nats)

    @cached_property
    def _rotations(self) -> tuple[Tensor, Tensor]:
        generator = stream("linear-encoder", self.dim)
        return rotation(self.dim, generator), rotation(self.dim, generator)

    @cached_property
    def _rho(self) -> Tensor:
        rho = torch.zeros(self.dim, dtype=torch.float64)
        rho[: self.rank] = math.sqrt(-math.expm1(-2 * self.mi / self.rank))
        return rho

    @cached_property
    def _normal(self) -> Normal:
        u, v = self._rotations
        identity = torch.eye(self.dim, dtype=torch.float64)
        return Normal.of(identity, identity, u @ self._rho.diag() @ v.mT)

    def _draw(
        self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        device = generator.device if generator is not None else None
        a, e = torch.randn(2, n, self.dim, generator=generator, dtype=dtype, device=device)
        deviation = torch.where(self._rho > 0, math.exp(-self.mi / self.rank), 1.0)
        b = self._rho.to(a) * a + deviation.to(a) * e
        u, v = self._rotations
        return a @ u.mT.to(a), b @ v.mT.to(a)

    def represented(self, encode_x: Encode, encode_y: Encode, generator: torch.Generator) -> Pair:
        """Return the pair (Ax, By) with its exact information; the encoders must be linear.

        Raises:
            ArithmeticError: the coordinates of a side are so nearly linearly dependent that float64 does not
                resolve the information.
        """
        identity = torch.eye(self.dim, dtype=torch.float64)
        seen = self._normal.seen_through(encode_x(identity).mT, encode_y(identity).mT)
        if not seen.uncertainty < RESOLVED_NATS:
            raise ArithmeticError(
                f"its coordinates are nearly linearly dependent (condition number {seen.condition:.0e}), and "
                "float64 does not resolve their information"
            )
        exact = min(seen.information, self.mi)  # above by rounding alone; NaN stays
        pair = encoded(self.pair(), encode_x, encode_y, Truth.exactly(exact), seen.log_ratio)
        return replace(pair, draw=_where_resolved(pair.draw, seen))


def _where_resolved(draw: Draw, normal: Normal) -> Draw:
    """Return a sampler of a pair that draws NaN in types whose rounding takes information from it."""

    @cache
    def holds(dtype: torch.dtype) -> bool:
        return normal.information - normal.rounded(dtype).information < RESOLVED_NATS

    def drawn(
        n: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        z, other = draw(n, generator, dtype)
        return (z, other) if holds(z.dtype) else (z * math.nan, other * math.nan)

    return drawn
