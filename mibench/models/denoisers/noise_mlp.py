"""A denoiser made of one multilayer perceptron."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mibench.batch import Dims, Tensors
from mibench.models.base import Denoiser
from mibench.networks import initialise, mlp, mlp_shapes
from mibench.registry import option
from mibench.validation import check_sizes

LOG_SNR_SCALE = 4.0
"""The log signal-to-noise ratio is divided by this, so that the network's inputs are of similar size."""


@dataclass(frozen=True)
class NoiseMLP(Denoiser):
    """The noise is a multilayer perceptron of z, the log-SNR, y, and a flag that says whether y is given."""

    hidden: int = option(256, "width of each hidden layer")
    layers: int = option(3, "number of hidden layers")

    name = "noise-mlp"

    def __post_init__(self) -> None:
        check_sizes(self.name, hidden=self.hidden, layers=self.layers)

    def initialise(self, dims: Dims, generator: torch.Generator, dtype: torch.dtype) -> Tensors:
        """Return the layers of the network."""
        sizes = [dims.x + dims.y + 2, *[self.hidden] * self.layers, dims.x]
        return initialise(mlp_shapes("noise", sizes), generator, dtype)

    def noise(self, parameters: Tensors, z: Tensor, log_snr: Tensor, y: Tensor | None) -> Tensor:
        """Return the predicted noise, (R, n, dim_x)."""
        given = torch.full_like(log_snr, y is not None)
        if y is None:
            dim_y = parameters["noise.0.weight"].shape[1] - z.shape[-1] - 2
            y = z.new_zeros(*z.shape[:-1], dim_y)
        return mlp(parameters, "noise", torch.cat([z, log_snr / LOG_SNR_SCALE, y, given], -1))
