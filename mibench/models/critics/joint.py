"""The joint critic: one network on every pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mibench.batch import Dims, Tensors
from mibench.models.base import Critic
from mibench.networks import Shape, initialise, mlp, mlp_shapes
from mibench.registry import option
from mibench.validation import check_sizes


@dataclass(frozen=True)
class Joint(Critic):
    """f(x, y) = a multilayer perceptron with ReLU on every pair (x_i, y_j)."""

    hidden: int = option(256, "width of each hidden layer")
    layers: int = option(2, "number of hidden layers")

    name = "joint"
    pair_by_pair: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_sizes(self.name, hidden=self.hidden, layers=self.layers)

    def initialise(self, dims: Dims, generator: torch.Generator, dtype: torch.dtype) -> Tensors:
        """Return the first layer in two parts, one for x and one for y, then the others."""
        fan_in = dims.x + dims.y
        shapes: dict[str, Shape] = {
            "x.weight": (dims.x, self.hidden, fan_in),
            "y.weight": (dims.y, self.hidden, fan_in),
            "xy.bias": (1, self.hidden, fan_in),
            **mlp_shapes("f", [*[self.hidden] * self.layers, 1]),
        }
        return initialise(shapes, generator, dtype)

    def scores(self, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return f(x_i, y_j).

        The first layer is linear, so it is applied to the n points x and the m points y, and only its
        output is formed for n * m pairs.
        """
        runs, n, m = len(x), x.shape[1], y.shape[1]
        from_x = torch.baddbmm(parameters["xy.bias"], x, parameters["x.weight"])
        from_y = torch.bmm(y, parameters["y.weight"])
        first = (from_x[:, :, None] + from_y[:, None]).relu_().view(runs, n * m, self.hidden)
        return mlp(parameters, "f", first).view(runs, n, m)
