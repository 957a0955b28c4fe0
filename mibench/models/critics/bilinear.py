"""The bilinear critic: one matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mibench.models.critics.base import Critic
from mibench.networks import Parameters, Shape


@dataclass(frozen=True)
class Bilinear(Critic):
    """f(x, y) = x' W y."""

    name = "bilinear"

    def shapes(self, dim_x: int, dim_y: int) -> dict[str, Shape]:
        """Return the shape of W."""
        return {"weight": (dim_x, dim_y, dim_x)}

    def scores(self, parameters: Parameters, x: Tensor, y: Tensor) -> Tensor:
        """Return x_i' W y_j."""
        return torch.bmm(x, parameters["weight"]) @ y.mT

    def activations(self, n: int) -> int:
        """Return the scores; x' W is as small as the data."""
        return n * n

    def multiplications(self, dim_x: int, dim_y: int, n: int) -> int:
        """Return the two products."""
        return n * dim_x * dim_y + n * n * dim_y
