"""The separable critic: one network for x, one for y."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mibench.models.critics.base import Critic
from mibench.networks import Parameters, Shape, check_sizes, mlp, mlp_shapes, weight_count
from mibench.registry import option


@dataclass(frozen=True)
class Separable(Critic):
    """f(x, y) = g(x) . h(y), two multilayer perceptrons with ReLU."""

    hidden: int = option(256, "width of each hidden layer")
    layers: int = option(2, "number of hidden layers of each of g and h")
    embedding: int = option(32, "dimension of g(x) and h(y)")

    name = "separable"

    def __post_init__(self) -> None:
        check_sizes(self.name, hidden=self.hidden, layers=self.layers, embedding=self.embedding)

    def shapes(self, dim_x: int, dim_y: int) -> dict[str, Shape]:
        """Return the shapes of g, then of h."""
        hidden = [self.hidden] * self.layers
        return {
            **mlp_shapes("g", [dim_x, *hidden, self.embedding]),
            **mlp_shapes("h", [dim_y, *hidden, self.embedding]),
        }

    def scores(self, parameters: Parameters, x: Tensor, y: Tensor) -> Tensor:
        """Return g(x_i) . h(y_j)."""
        return mlp(parameters, "g", x) @ mlp(parameters, "h", y).mT

    def activations(self, n: int) -> int:
        """Return the hidden layers and embeddings of both towers, and the scores."""
        return 2 * n * (self.layers * self.hidden + self.embedding) + n * n

    def multiplications(self, dim_x: int, dim_y: int, n: int) -> int:
        """Return the products of both towers and of the embeddings."""
        return n * weight_count(self.shapes(dim_x, dim_y)) + n * n * self.embedding
