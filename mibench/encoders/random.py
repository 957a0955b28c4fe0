"""An untrained network: what there is to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mibench.convolution import convolutional, convolve
from mibench.encoders.base import Encoder, Tensors
from mibench.networks import check_sizes
from mibench.registry import option


@dataclass(frozen=True)
class Random(Encoder):
    """A convolutional network as it was drawn: nothing is trained.

    Raises:
        UsageError: dim below 1.
    """

    dim: int = option(32, "dimension of the representation of an image")

    name = "random"
    formula: ClassVar[str] = "none"
    source: ClassVar[str] = "images"
    reference: ClassVar[str] = "this package"

    def __post_init__(self) -> None:
        check_sizes(self.name, dim=self.dim)

    def dims(self, task: Any) -> tuple[int, int]:  # noqa: ANN401
        """Return the dimension of the representations of all images side by side."""
        return task.tiles * self.dim, task.tiles * self.dim

    def initialise(self, task: Any, generator: torch.Generator) -> Tensors:  # noqa: ANN401
        """Return the network of one run."""
        return convolutional("encoder", task.mean, self.dim, generator)

    def draw(self, task: Any, generator: torch.Generator) -> Tensors:  # noqa: ANN401
        """Return nothing."""
        return {}

    def loss(self, trained: Tensors, carried: Tensors, batch: Tensors) -> Tensor:
        """Return nothing to minimise."""
        return torch.zeros(len(trained["encoder.offset"]))

    def encode_x(self, trained: Tensors, x: Tensor) -> Tensor:
        """Return the representations of images: (R, n, H W) -> (R, n, dim)."""
        return convolve(trained, "encoder", x)
