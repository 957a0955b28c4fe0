"""A Gaussian conditional density whose mean and variance are networks of x."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mibench.batch import Dims, Tensors
from mibench.models.base import Conditional
from mibench.networks import initialise, mlp, mlp_shapes
from mibench.registry import option
from mibench.validation import check_sizes

LARGEST_LOG_DEVIATION = 6.0
"""Log standard deviations are clamped softly to +-6: a variance between exp(-12) and exp(12)."""

LOG_2_PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class GaussianMLP(Conditional):
    r"""q(y | x) = N(m(x), diag s(x)^2), m and log s two multilayer perceptrons; q(y) = N(m, diag s^2).

    Densities are in nats per sample, summed over the coordinates of y. log s is 6 tanh(u / 6) of what its
    network puts out, which is u where |u| is small: the tanh of released code on the log variance itself,
    which confines it to [-1, 1], limits I to d/2 nats.

    Reference: Cheng et al. 2020, arXiv 2006.12013; McAllester & Stratos 2020, arXiv 1811.04251.
    """

    hidden: int = option(256, "width of each hidden layer")
    layers: int = option(2, "number of hidden layers of each of m and log s")

    name = "gaussian-mlp"

    def __post_init__(self) -> None:
        check_sizes(self.name, hidden=self.hidden, layers=self.layers)

    def initialise(self, dims: Dims, generator: torch.Generator, dtype: torch.dtype) -> Tensors:
        """Return the layers of m, those of log s, and the marginal's m and log s, which begin at 0."""
        sizes = [dims.x, *[self.hidden] * self.layers, dims.y]
        drawn = initialise(mlp_shapes("mean", sizes) | mlp_shapes("log_s", sizes), generator, dtype)
        marginal = {key: torch.zeros(1, dims.y, dtype=dtype) for key in ("marginal.mean", "marginal.log_s")}
        return drawn | marginal

    def log_prob(self, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return log q(y_j | x_i), (R, n, n)."""
        # |y - m|^2 / s^2 summed over coordinates, as three products: differences would be (R, n, n, dim_y).
        # In float64, because the products cancel where s is small.
        mean, log_s = (side.double() for side in _of(parameters, x))
        y = y.double()
        weight = (-2 * log_s).exp()
        square = (
            weight @ y.square().mT
            - 2 * (weight * mean) @ y.mT
            + (weight * mean.square()).sum(-1, keepdim=True)
        )
        return -(square + LOG_2_PI * y.shape[-1]) / 2 - log_s.sum(-1, keepdim=True)

    def log_prob_of_pairs(self, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return log q(y_i | x_i), (R, n)."""
        return _log_density(y, *_of(parameters, x))

    def log_marginal(self, parameters: Tensors, y: Tensor) -> Tensor:
        """Return log q(y_j), (R, n)."""
        return _log_density(y, parameters["marginal.mean"], _clamped(parameters["marginal.log_s"]))


def _of(parameters: Tensors, x: Tensor) -> tuple[Tensor, Tensor]:
    return mlp(parameters, "mean", x), _clamped(mlp(parameters, "log_s", x))


def _clamped(log_s: Tensor) -> Tensor:
    return LARGEST_LOG_DEVIATION * torch.tanh(log_s / LARGEST_LOG_DEVIATION)


def _log_density(y: Tensor, mean: Tensor, log_s: Tensor) -> Tensor:
    """Return the log density of a diagonal Gaussian, summed over coordinates: (R, n, dim_y) -> (R, n)."""
    terms = ((y - mean) * (-log_s).exp()).square() / 2 + log_s + LOG_2_PI / 2
    return -terms.sum(-1)
