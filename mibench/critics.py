"""Critics f(x, y) for many runs at once: parameters lead with the run axis.

A critic is a dataclass with a literal `name`; its fields are the options that users type. One run is
initialised by itself, from its own generator, as `torch.nn.Linear` would be; runs are then stacked.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mibench.errors import UsageError
from mibench.registry import Registry, Value, option

Parameters = dict[str, Tensor]


class Critic(ABC):
    """A family of functions f(x, y) with parameters.

    Attributes:
        name: what users type.
        version: raised when the function behind the name changes, so that old results are not reused.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1

    @abstractmethod
    def shapes(self, dim_x: int, dim_y: int) -> dict[str, tuple[int, int, int]]:
        """Return (rows, columns, fan-in) of every parameter of one run, in the order of initialisation."""

    @abstractmethod
    def scores(self, parameters: Parameters, x: Tensor, y: Tensor) -> Tensor:
        """Return f(x_i, y_j) of every run: (R, n, dim_x), (R, n, dim_y) -> (R, n, n)."""

    @abstractmethod
    def activations(self, n: int) -> int:
        """Return how many numbers one run's forward pass keeps for its backward pass, scores included."""

    @abstractmethod
    def multiplications(self, dim_x: int, dim_y: int, n: int) -> int:
        """Return the multiply-adds of one run's forward pass."""

    def initialise(
        self, dim_x: int, dim_y: int, generator: torch.Generator, dtype: torch.dtype
    ) -> Parameters:
        """Return the parameters of one run: uniform within +-1/sqrt(fan-in), as `torch.nn.Linear`."""
        return {
            key: torch.empty(rows, columns, dtype=dtype).uniform_(
                -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator
            )
            for key, (rows, columns, fan_in) in self.shapes(dim_x, dim_y).items()
        }

    def parameter_count(self, dim_x: int, dim_y: int) -> int:
        """Return the number of parameters of one run."""
        return sum(rows * columns for rows, columns, _ in self.shapes(dim_x, dim_y).values())


@dataclass(frozen=True)
class Separable(Critic):
    """f(x, y) = g(x) . h(y), two multilayer perceptrons with ReLU."""

    hidden: int = option(256, "width of each hidden layer")
    layers: int = option(2, "number of hidden layers of each of g and h")
    embedding: int = option(32, "dimension of g(x) and h(y)")

    name = "separable"

    def __post_init__(self) -> None:
        _check_sizes(self.name, hidden=self.hidden, layers=self.layers, embedding=self.embedding)

    def shapes(self, dim_x: int, dim_y: int) -> dict[str, tuple[int, int, int]]:
        """Return the shapes of g, then of h."""
        hidden = [self.hidden] * self.layers
        return {
            **_mlp_shapes("g", [dim_x, *hidden, self.embedding]),
            **_mlp_shapes("h", [dim_y, *hidden, self.embedding]),
        }

    def scores(self, parameters: Parameters, x: Tensor, y: Tensor) -> Tensor:
        """Return g(x_i) . h(y_j)."""
        return _mlp(parameters, "g", x) @ _mlp(parameters, "h", y).mT

    def activations(self, n: int) -> int:
        """Return the hidden layers and embeddings of both towers, and the scores."""
        return 2 * n * (self.layers * self.hidden + self.embedding) + n * n

    def multiplications(self, dim_x: int, dim_y: int, n: int) -> int:
        """Return the products of both towers and of the embeddings."""
        return n * _weights(self.shapes(dim_x, dim_y)) + n * n * self.embedding


@dataclass(frozen=True)
class Bilinear(Critic):
    """f(x, y) = x' W y."""

    name = "bilinear"

    def shapes(self, dim_x: int, dim_y: int) -> dict[str, tuple[int, int, int]]:
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


@dataclass(frozen=True)
class Joint(Critic):
    """f(x, y) = a multilayer perceptron with ReLU on every pair (x_i, y_j)."""

    hidden: int = option(256, "width of each hidden layer")
    layers: int = option(2, "number of hidden layers")

    name = "joint"

    def __post_init__(self) -> None:
        _check_sizes(self.name, hidden=self.hidden, layers=self.layers)

    def shapes(self, dim_x: int, dim_y: int) -> dict[str, tuple[int, int, int]]:
        """Return the first layer in two parts, one for x and one for y, then the others."""
        fan_in = dim_x + dim_y
        return {
            "x.weight": (dim_x, self.hidden, fan_in),
            "y.weight": (dim_y, self.hidden, fan_in),
            "xy.bias": (1, self.hidden, fan_in),
            **_mlp_shapes("f", [*[self.hidden] * self.layers, 1]),
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
        return _mlp(parameters, "f", first).view(runs, n, n)

    def activations(self, n: int) -> int:
        """Return the hidden layers of every pair, and the scores."""
        return n * n * (self.layers * self.hidden + 1)

    def multiplications(self, dim_x: int, dim_y: int, n: int) -> int:
        """Return the first layer's products a point, the others' a pair."""
        first = n * (dim_x + dim_y) * self.hidden
        return first + n * n * _weights(_mlp_shapes("f", [*[self.hidden] * self.layers, 1]))


registry: Registry[Critic] = Registry("critic", "mibench.critics")


def get(name: str, **options: Value) -> Critic:
    """Return a critic by its name and options: `get("separable[layers=3]")`."""
    return registry.get(name, **options)


def _mlp_shapes(prefix: str, sizes: list[int]) -> dict[str, tuple[int, int, int]]:
    shapes = {}
    for layer, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        shapes[f"{prefix}.{layer}.weight"] = (fan_in, fan_out, fan_in)
        shapes[f"{prefix}.{layer}.bias"] = (1, fan_out, fan_in)
    return shapes


def _mlp(parameters: Parameters, prefix: str, inputs: Tensor) -> Tensor:
    """Apply the layers of that prefix, with ReLU between them: (R, m, in) -> (R, m, out)."""
    for layer, (weight, bias) in enumerate(_layers(parameters, prefix)):
        # In place: ReLU's gradient needs its output alone, and an n * n x hidden copy costs memory.
        inputs = torch.baddbmm(bias, inputs if layer == 0 else inputs.relu_(), weight)
    return inputs


def _layers(parameters: Parameters, prefix: str) -> Iterator[tuple[Tensor, Tensor]]:
    layer = 0
    while f"{prefix}.{layer}.weight" in parameters:
        yield parameters[f"{prefix}.{layer}.weight"], parameters[f"{prefix}.{layer}.bias"]
        layer += 1


def _weights(shapes: dict[str, tuple[int, int, int]]) -> int:
    return sum(rows * columns for key, (rows, columns, _) in shapes.items() if "weight" in key)


def _check_sizes(name: str, **sizes: int) -> None:
    for key, size in sizes.items():
        if size < 1:
            raise UsageError(
                f"{key} of critic {name!r} must be at least 1, not {size}.", "Give 1 or more."
            )
