"""The bilinear critic: one matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mibench.batch import Dims, Tensors
from mibench.models.base import Critic
from mibench.networks import initialise


@dataclass(frozen=True)
class Bilinear(Critic):
    """f(x, y) = x' W y."""

    name = "bilinear"

    def initialise(self, dims: Dims, generator: torch.Generator, dtype: torch.dtype) -> Tensors:
        """Return W."""
        return initialise({"weight": (dims.x, dims.y, dims.x)}, generator, dtype)

    def scores(self, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return x_i' W y_j."""
        return torch.bmm(x, parameters["weight"]) @ y.mT
