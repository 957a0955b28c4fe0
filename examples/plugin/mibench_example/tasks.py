"""A uniform variable and the same with uniform noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mibench.batch import Dims
from mibench.errors import UsageError
from mibench.registry import option
from mibench.tasks.base import Task
from mibench.tasks.pair import Pair, Truth
from mibench.validation import check_sizes


@dataclass(frozen=True)
class UniformNoise(Task):
    r"""x ~ U(0, 1) and y = x + noise * u with u ~ U(-1, 1), coordinate by coordinate.

    y has a density that is 1 in the middle and falls linearly to 0 over a width of 2 noise at both ends; so

        I(X;Y) = dim (noise - log(2 noise))   nats   for noise <= 1/2,

        log p(x,y)/p(x)p(y) = -sum_c log(2 noise p(y_c)) where all |y_c - x_c| <= noise, else -inf.

    Raises:
        UsageError: dim < 1, or noise outside (0, 1/2].

    Reference: Czyz, Grabowski, Vogt, Beerenwinkel & Marx 2023, arXiv 2306.11078.
    """

    dim: int = option(1, "number of coordinates of x and of y")
    noise: float = option(0.1, "half the width of the noise")

    name = "uniform-noise"
    reference: ClassVar[str] = "Czyz, Grabowski, Vogt, Beerenwinkel, Marx 2023, arXiv 2306.11078"

    def __post_init__(self) -> None:
        check_sizes(self.name, dim=self.dim)
        if not 0 < self.noise <= 0.5:
            raise UsageError(
                f"noise of 'uniform-noise' must lie above 0 and be at most 0.5, not {self.noise:g}.",
                "The information falls from infinity at 0 to dim/2 nats at 0.5.",
            )

    def pair(self) -> Pair:
        """Return the pair, of which everything is known; h(Y) = dim noise."""
        information = self.dim * (self.noise - math.log(2 * self.noise))
        return Pair(
            Dims(self.dim, self.dim),
            Truth.exactly(information),
            self._draw,
            self._log_ratio,
            self._log_conditional,
            self.dim * self.noise,
        )

    def _draw(
        self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        device = None if generator is None else generator.device
        size = (2, n, self.dim)
        x, u = torch.rand(size, generator=generator, dtype=torch.float64, device=device).unbind(0)
        kind = torch.get_default_dtype() if dtype is None else dtype
        return x.to(kind), (x + self.noise * (2 * u - 1)).to(kind)

    def _log_conditional(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log p(y_j | x_i) of all pairs, (..., n, n)."""
        distance = (x.double().unsqueeze(-2) - y.double().unsqueeze(-3)).abs().amax(-1)
        # Samples are rounded to their type: those at the very edge stay within it.
        inside = distance <= self.noise + torch.finfo(torch.float32).eps
        height = torch.tensor(-self.dim * math.log(2 * self.noise), dtype=torch.float64, device=x.device)
        return torch.where(inside, height, -math.inf)

    def _log_ratio(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the log density ratio of all pairs, (..., n, n)."""
        edge = (torch.minimum(y, 1 - y).double() + self.noise) / (2 * self.noise)
        tiny = torch.finfo(torch.float64).tiny
        log_density = edge.clamp(tiny, 1).log().sum(-1)
        return self._log_conditional(x, y) - log_density.unsqueeze(-2)
