"""What the recipes for images share: the network, random views of an image, the losses of pairs of views."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, normalize

from mibench.batch import Tensors
from mibench.convolution import convolutional, convolve, standardised
from mibench.encoders.base import Encoder
from mibench.errors import UsageError
from mibench.networks import initialise, mlp, mlp_shapes
from mibench.registry import option
from mibench.tasks.base import HasImages, Task
from mibench.validation import check_sizes, check_training

ROTATION = math.radians(15)
SCALE = 0.15
SHIFT = 0.125
NOISE = 0.1
"""Views are turned, scaled and shifted (a share of the side) at random by at most this much; noise has this
standard deviation, where the largest pixel is 1."""

COMPARED_ROWS = 512
"""Projections are evaluated on this many images."""

HIDDEN = 64
PROJECTED = 32
NARROW = 16
"""Units of the heads: between the layers, put out, and between the layers of a predictor."""


@dataclass(frozen=True)
class ImageEncoder(Encoder[HasImages]):
    """A convolutional network z = h(image), one image at a time; subclasses say what trains it."""

    dim: int = option(32, "dimension of the representation of an image")
    batch: int = option(128, "images in a batch")
    steps: int = option(600, "training steps")
    lr: float = option(2e-3, "Adam's rate, constant")

    source: ClassVar[str] = "images"

    def __post_init__(self) -> None:
        check_sizes(self.name, dim=self.dim, batch=self.batch)
        check_training(self.name, self.steps, self.lr)

    def check(self, task: Task) -> None:
        """Raise a UsageError where the task has no images, or fewer than a batch."""
        super().check(task)
        fewest = task.encoder_source(training=True).fewest
        if self.batch > fewest:
            raise UsageError(
                f"A batch of {self.batch} for {self.name!r} is more than the {fewest} images of the "
                "smaller part.",
                f"Give --encoder {self.name}[batch={fewest}] or less, or more images.",
            )

    def dims(self, source: HasImages) -> tuple[int, int]:
        """Return the dimension of the representations of all images side by side."""
        return source.tiles * self.dim, source.tiles * self.dim

    def initialise(self, source: HasImages, generator: torch.Generator) -> Tensors:
        """Return the network of one run."""
        return convolutional("encoder", source.mean, self.dim, generator)

    def draw(self, source: HasImages, generator: torch.Generator) -> Tensors:
        """Return images of a batch and what makes two views of each."""
        return {
            "images": source.images(self.batch, generator),
            **view_numbers(2, self.batch, source, generator),
        }

    def encode_x(self, parameters: Tensors, x: Tensor) -> Tensor:
        """Return the representations of images: (R, n, H W) -> (R, n, dim)."""
        return convolve(parameters, "encoder", x)

    def project(self, parameters: Tensors, z: Tensor) -> Tensor:
        """Return what the loss compares: (R, n, dim) -> (R, n, dim of it)."""
        return z

    def compared(self, source: HasImages, parameters: Tensors, generator: torch.Generator) -> Tensor:
        """Return the projections of images of one run, (1, n, dim of them)."""
        images = source.images(min(source.fewest, COMPARED_ROWS), generator)
        return self.project(parameters, self.encode_x(parameters, images[None]))


@dataclass(frozen=True)
class Contrastive(ImageEncoder):
    """An encoder with a projection head g onto the unit sphere; cosines are divided by a temperature."""

    temperature: float = option(0.2, "cosines are divided by it")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0:
            raise UsageError(
                f"temperature of {self.name!r} must be positive, not {self.temperature:g}.",
                "Give a number above 0; cosines are divided by it.",
            )

    def initialise(self, source: HasImages, generator: torch.Generator) -> Tensors:
        """Return the network and the head of one run."""
        network = super().initialise(source, generator)
        return network | projection("head", [self.dim, HIDDEN, PROJECTED], generator)

    def project(self, parameters: Tensors, z: Tensor) -> Tensor:
        """Return g(z)/|g(z)|: (R, n, dim) -> (R, n, 32)."""
        return normalize(mlp(parameters, "head", z), dim=-1)

    def own_estimate(self, source: HasImages, parameters: Tensors, state: Tensors, batch: Tensors) -> Tensor:
        """Return the logarithm of the number of candidates, less the loss."""
        return self.own_ceiling(source) - self.loss(parameters, state, batch)

    @abstractmethod
    def own_ceiling(self, source: HasImages) -> float:
        """Return the logarithm of the number of candidates."""


@dataclass(frozen=True)
class Predictive(ImageEncoder):
    """An encoder with a projection head g and a predictor q of the other view's projection.

    Between their two layers both are standardised over the batch of a view and of a run, and of nothing else.
    Without that even the stop-gradient does not hold all images apart.
    """

    def initialise(self, source: HasImages, generator: torch.Generator) -> Tensors:
        """Return the network, the head and the predictor of one run."""
        network = super().initialise(source, generator)
        head = projection("head", [self.dim, HIDDEN, PROJECTED], generator)
        predictor = projection("predictor", [PROJECTED, NARROW, PROJECTED], generator)
        # Standardisation takes away what they add: their gradient is rounding alone, which Adam would follow.
        del network["encoder.bias"], head["head.1.bias"]
        return network | head | predictor

    def project(self, parameters: Tensors, z: Tensor) -> Tensor:
        """Return g(z), standardised over n: (R, n, dim) -> (R, n, 32)."""
        return normalised_head(parameters, "head", z)

    def projections(self, parameters: Tensors, views: tuple[Tensor, Tensor]) -> list[Tensor]:
        """Return g(h(view)) of both views, (R, n, 32) each."""
        z = self.encode_x(parameters, torch.cat(views, 1))
        return [self.project(parameters, part) for part in z.chunk(2, 1)]

    def both_ways(self, parameters: Tensors, projections: list[Tensor], targets: list[Tensor]) -> Tensor:
        """Return the mean distance of each view's prediction from the other's target, (R)."""
        first, second = (normalised_head(parameters, "predictor", seen) for seen in projections)
        return (distance(first, targets[1]) + distance(second, targets[0])) / 2


def view_numbers(views: int, count: int, source: HasImages, generator: torch.Generator) -> Tensors:
    """Return the random numbers for this many views of each image of a batch: poses in (-1, 1), and noise."""
    height, width = source.shape
    return {
        "pose": 2 * torch.rand(views, count, 4, generator=generator) - 1,
        "noise": torch.randn(views, count, height * width, generator=generator),
    }


def two_views(parameters: Tensors, batch: Tensors) -> tuple[Tensor, Tensor]:
    """Return the two views of each image, (R, n, H W) each."""
    _, height, width = parameters["encoder.offset"].shape
    first, second = viewed(batch, (height, width)).unbind(1)
    return first, second


def viewed(batch: Tensors, shape: tuple[int, int]) -> Tensor:
    """Return views of images, turned, scaled, shifted, with noise: (R, views, n, H W)."""
    pose, noise, (height, width) = batch["pose"], batch["noise"], shape
    angle, scale = ROTATION * pose[..., 0], 1 + SCALE * pose[..., 1]
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    # In coordinates from -1 to 1 on both sides, hence their ratio.
    to_x = torch.stack([cosine, -sine * height / width, 2 * SHIFT * pose[..., 2]], -1)
    to_y = torch.stack([sine * width / height, cosine, 2 * SHIFT * pose[..., 3]], -1)
    there = torch.stack([to_x, to_y], -2).flatten(0, 2)
    images = batch["images"][:, None].expand(noise.shape).reshape(-1, 1, height, width)
    grid = affine_grid(there, [len(images), 1, height, width], align_corners=False)
    return grid_sample(images, grid, align_corners=False).view(noise.shape) + NOISE * noise


def projection(prefix: str, sizes: list[int], generator: torch.Generator) -> Tensors:
    """Return the parameters of a head of one run."""
    return initialise(mlp_shapes(prefix, sizes), generator, torch.float32)


def normalised_head(parameters: Tensors, prefix: str, inputs: Tensor) -> Tensor:
    """Return the output of a head of two layers, standardised over the batch before the first one's bias."""
    hidden = standardised(inputs @ parameters[f"{prefix}.0.weight"]) + parameters[f"{prefix}.0.bias"]
    outputs = hidden.relu() @ parameters[f"{prefix}.1.weight"]
    return outputs + parameters[f"{prefix}.1.bias"] if f"{prefix}.1.bias" in parameters else outputs


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return NT-Xent of N pairs of unit vectors, (R, N, dim) each -> (R), in nats.

    Each of the 2N is asked for its other among the 2N - 1 that are not itself.
    """
    count = first.shape[1]
    both = torch.cat([first, second], 1)
    logits = both @ both.mT / temperature
    itself = torch.eye(2 * count, dtype=torch.bool, device=logits.device)
    other = (first * second).sum(-1).repeat(1, 2) / temperature
    return (logits.masked_fill(itself, -math.inf).logsumexp(-1) - other).mean(-1)


def one_way(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return the InfoNCE loss of N pairs of unit vectors, each first among all N second: (R), in nats."""
    logits = first @ second.mT / temperature
    return (logits.logsumexp(-1) - logits.diagonal(dim1=-2, dim2=-1)).mean(-1)


def against_queue(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Return the loss of N queries with a key each among K negatives of the queue, (R), in nats.

    query and key are (R, N, dim), the queue is (R, K, dim): K + 1 candidates.
    """
    own = (query * key).sum(-1, keepdim=True)
    logits = torch.cat([own, query @ queue.mT], -1) / temperature
    return (logits.logsumexp(-1) - logits[..., 0]).mean(-1)


def distance(predicted: Tensor, target: Tensor) -> Tensor:
    """Return mean |p/|p| - t/|t||^2 = 2 - 2 cos of rows (R, n, dim) -> (R)."""
    return (2 - 2 * (normalize(predicted, dim=-1) * normalize(target, dim=-1)).sum(-1)).mean(-1)


def copied(parameters: Tensors, prefixes: tuple[str, ...]) -> Tensors:
    """Return a copy of the parameters of those prefixes, to be carried as a momentum encoder."""
    return {key: value.clone() for key, value in parameters.items() if key.startswith(prefixes)}


def follow(copy: Tensors, parameters: Tensors, momentum: float) -> None:
    """Move a momentum encoder: theta' <- momentum theta' + (1 - momentum) theta, in place."""
    for key, value in parameters.items():
        if key in copy:
            copy[key].lerp_(value, 1 - momentum)


def check_momentum(name: str, momentum: float) -> None:
    """Raise a UsageError for a momentum outside [0, 1)."""
    if not 0 <= momentum < 1:
        raise UsageError(
            f"momentum of {name!r} must be 0 or more and below 1, not {momentum:g}.",
            "At 0 the copy is the encoder itself, near 1 it follows slowly.",
        )
