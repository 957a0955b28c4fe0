"""The joint critic: one network on every pair."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mibench.models.critics.base import Critic
from mibench.networks import Parameters, Shape, check_sizes, mlp, mlp_shapes, weight_count
from mibench.registry import option


@dataclass(frozen=True)
class Joint(Critic):
    """f(x, y) = a multilayer perceptron with ReLU on every pair (x_i, y_j)."""

    hidden: int = option(256, "width of each hidden layer")
    layers: int = option(2, "number of hidden layers")

    name = "joint"

    def __post_init__(self) -> None:
        check_sizes(self.name, hidden=self.hidden, layers=self.layers)

    def shapes(self, dim_x: int, dim_y: int) -> dict[str, Shape]:
        """Return the first layer in two parts, one for x and one for y, then the others."""
        fan_in = dim_x + dim_y
        return {
            "x.weight": (dim_x, self.hidden, fan_in),
            "y.weight": (dim_y, self.hidden, fan_in),
            "xy.bias": (1, self.hidden, fan_in),
            **mlp_shapes("f", [*[self.hidden] * self.layers, 1]),
        }

    def scores(self, parameters: Parameters, x: Tensor, y: Tensor) -> Tensor:
        """Return f(x_i, y_j).

        The first layer is linear, so it is applied to the n points x and the n points y, and only its
        output is formed for n * n pairs.
        """
        runs, n, _ = x.shape
        from_x = torch.baddbmm(parameters["xy.bias"], x, parameters["x.weight"])
        from_y = torch.bmm(y, parameters["y.weight"])
        first = (from_x[:, :, None] + from_y[:, None]).relu_().view(runs, n * n, self.hidden)
        return mlp(parameters, "f", first).view(runs, n, n)

    def activations(self, n: int) -> int:
        """Return the hidden layers of every pair, and the scores."""
        return n * n * (self.layers * self.hidden + 1)

    def multiplications(self, dim_x: int, dim_y: int, n: int) -> int:
        """Return the first layer's products a point, the others' a pair."""
        first = n * (dim_x + dim_y) * self.hidden
        return first + n * n * weight_count(mlp_shapes("f", [*[self.hidden] * self.layers, 1]))
