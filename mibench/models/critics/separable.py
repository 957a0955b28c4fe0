"""The separable critic: one network for x, one for y."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mibench.batch import Dims, Tensors
from mibench.models.base import Critic
from mibench.networks import initialise, mlp, mlp_shapes
from mibench.registry import option
from mibench.validation import check_sizes


@dataclass(frozen=True)
class Separable(Critic):
    """f(x, y) = g(x) . h(y), two multilayer perceptrons with ReLU."""

    hidden: int = option(256, "width of each hidden layer")
    layers: int = option(2, "number of hidden layers of each of g and h")
    embedding: int = option(32, "dimension of g(x) and h(y)")

    name = "separable"

    def __post_init__(self) -> None:
        check_sizes(self.name, hidden=self.hidden, layers=self.layers, embedding=self.embedding)

    def initialise(self, dims: Dims, generator: torch.Generator, dtype: torch.dtype) -> Tensors:
        """Return the layers of g, then those of h."""
        hidden = [self.hidden] * self.layers
        shapes = {
            **mlp_shapes("g", [dims.x, *hidden, self.embedding]),
            **mlp_shapes("h", [dims.y, *hidden, self.embedding]),
        }
        return initialise(shapes, generator, dtype)

    def features(self, parameters: Tensors, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return g(x) and h(y)."""
        return mlp(parameters, "g", x), mlp(parameters, "h", y)

    def scores_of(self, parameters: Tensors, of_x: Tensor, of_y: Tensor) -> Tensor:
        """Return g(x_i) . h(y_j) of g and h."""
        return of_x @ of_y.mT

    def scores(self, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return g(x_i) . h(y_j)."""
        return self.scores_of(parameters, *self.features(parameters, x, y))
