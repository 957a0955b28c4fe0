"""A small convolutional network whose parameters have a leading run axis, and normalisation over a batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from mibench.batch import Tensors
from mibench.networks import Shape, initialise

CHANNELS = (1, 16, 32, 64)
STRIDES = (1, 2, 2)
EPSILON = 1e-5


def feature_count(height: int, width: int) -> int:
    """Return how many features the convolutions make of an image."""
    for stride in STRIDES:
        height, width = -(-height // stride), -(-width // stride)
    return CHANNELS[-1] * height * width


def convolutional(prefix: str, mean: Tensor, dim: int, generator: torch.Generator) -> Tensors:
    """Return the parameters of one run: three 3 x 3 convolutions and a linear layer to `dim`.

    `mean` is that of images, (H, W). What is added to every image is learned, and begins at minus that: the
    untrained network would else give all images nearly one direction.
    """
    shapes: dict[str, Shape] = {}
    for layer, (fewer, more) in enumerate(pairwise(CHANNELS)):
        shapes[f"{prefix}.{layer}.kernel"] = (more, 9 * fewer, 9 * fewer)
        shapes[f"{prefix}.{layer}.bias"] = (1, more, 9 * fewer)
    count = feature_count(*mean.shape)
    shapes[f"{prefix}.weight"] = (count, dim, count)
    shapes[f"{prefix}.bias"] = (1, dim, count)
    drawn = initialise(shapes, generator, torch.float32)
    for key, value in drawn.items():
        # He's bound in place of Glorot's, which lets a signal fade under ReLU, and no biases: they would
        # outweigh what differs between images.
        value.mul_(0 if key.endswith("bias") else math.sqrt(6))
    return {f"{prefix}.offset": -mean} | drawn


def features(parameters: Mapping[str, Tensor], prefix: str, images: Tensor) -> Tensor:
    """Return what the convolutions make of images, with ReLU after each: (R, n, H W) -> (R, n, features).

    On CUDA the runs are groups of one convolution. On a CPU that takes twice the time of one run after
    another for eight runs, and a product over patches takes as long.
    """
    at_once = len(images) if images.is_cuda else 1
    names = [key for key in parameters if key.startswith(f"{prefix}.")]
    chunks = [torch.split(parameters[key], at_once) for key in names]
    return torch.cat(
        [
            _grouped(dict(zip(names, chunk, strict=True)), prefix, part)
            for part, *chunk in zip(torch.split(images, at_once), *chunks, strict=True)
        ]
    )


def _grouped(parameters: Mapping[str, Tensor], prefix: str, images: Tensor) -> Tensor:
    """Return the features of a few runs: they are groups of one convolution."""
    runs, count, _ = images.shape
    _, height, width = parameters[f"{prefix}.offset"].shape
    maps = images.view(runs, count, height, width) + parameters[f"{prefix}.offset"][:, None]
    maps = maps.transpose(0, 1)
    for layer, (fewer, stride) in enumerate(zip(CHANNELS[:-1], STRIDES, strict=True)):
        kernel = parameters[f"{prefix}.{layer}.kernel"].reshape(-1, fewer, 3, 3)
        bias = parameters[f"{prefix}.{layer}.bias"].reshape(-1)
        maps = conv2d(maps, kernel, bias, stride=stride, padding=1, groups=runs).relu_()
    return maps.reshape(count, runs, -1).transpose(0, 1)


def linear(parameters: Mapping[str, Tensor], prefix: str, inputs: Tensor) -> Tensor:
    """Apply the last, linear layer, with its bias if it has one: (R, n, features) -> (R, n, dim)."""
    outputs = inputs @ parameters[f"{prefix}.weight"]
    return outputs + parameters[f"{prefix}.bias"] if f"{prefix}.bias" in parameters else outputs


def convolve(parameters: Mapping[str, Tensor], prefix: str, images: Tensor) -> Tensor:
    """Apply the whole network: (R, n, H W) -> (R, n, dim)."""
    return linear(parameters, prefix, features(parameters, prefix, images))


def standardised(inputs: Tensor) -> Tensor:
    """Return inputs (R, n, dim) with mean 0 and variance 1 over the n of each run."""
    variance, mean = torch.var_mean(inputs, 1, correction=0, keepdim=True)
    return (inputs - mean) * (variance + EPSILON).rsqrt()
