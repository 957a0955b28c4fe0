"""Representations trained by classification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mibench.batch import Tensors
from mibench.encoders.images import ImageEncoder, projection, view_numbers, viewed
from mibench.networks import mlp
from mibench.tasks.base import HasImages


@dataclass(frozen=True)
class Supervised(ImageEncoder):
    r"""A linear classifier on z and the network under it, trained by cross-entropy on one view of an image.

        L = -1/N sum_i log softmax(W z_i + b)[c_i]   nats

    Views are turned, scaled and shifted at random, with noise. It reads no information of its own.

    Raises:
        UsageError: sizes below 1, a rate that is not positive, a batch larger than a part of the images.

    Reference: this package; views as in Chen et al. 2020, arXiv 2002.05709.
    """

    name = "supervised"
    formula: ClassVar[str] = "L = -mean_i log softmax(W z_i + b)[c_i]"
    reference: ClassVar[str] = "this package"

    def initialise(self, source: HasImages, generator: torch.Generator) -> Tensors:
        """Return the network and the classifier of one run."""
        network = super().initialise(source, generator)
        return network | projection("classifier", [self.dim, source.classes], generator)

    def draw(self, source: HasImages, generator: torch.Generator) -> Tensors:
        """Return images of a batch, their classes, and what makes a view of each."""
        images, classes = source.labelled(self.batch, generator)
        return {"images": images, "classes": classes, **view_numbers(1, self.batch, source, generator)}

    def loss(self, parameters: Tensors, state: Tensors, batch: Tensors) -> Tensor:
        """Return the cross-entropy of each run, (R)."""
        _, height, width = parameters["encoder.offset"].shape
        z = self.encode_x(parameters, viewed(batch, (height, width))[:, 0])
        logits = mlp(parameters, "classifier", z)
        return (
            cross_entropy(logits.flatten(0, 1), batch["classes"].flatten(), reduction="none")
            .view(len(z), -1)
            .mean(-1)
        )
