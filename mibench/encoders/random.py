"""An untrained network: what there is to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mibench.batch import Tensors
from mibench.convolution import convolutional, convolve
from mibench.encoders.base import Encoder
from mibench.registry import option
from mibench.tasks.base import HasImages
from mibench.validation import check_sizes


@dataclass(frozen=True)
class Random(Encoder[HasImages]):
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

    def dims(self, source: HasImages) -> tuple[int, int]:
        """Return the dimension of the representations of all images side by side."""
        return source.tiles * self.dim, source.tiles * self.dim

    def initialise(self, source: HasImages, generator: torch.Generator) -> Tensors:
        """Return the network of one run."""
        return convolutional("encoder", source.mean, self.dim, generator)

    def draw(self, source: HasImages, generator: torch.Generator) -> Tensors:
        """Return nothing."""
        return {}

    def loss(self, parameters: Tensors, state: Tensors, batch: Tensors) -> Tensor:
        """Return nothing to minimise."""
        return torch.zeros(len(parameters["encoder.offset"]))

    def encode_x(self, parameters: Tensors, x: Tensor) -> Tensor:
        """Return the representations of images: (R, n, H W) -> (R, n, dim)."""
        return convolve(parameters, "encoder", x)
