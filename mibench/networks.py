"""Multilayer perceptrons whose parameters have a leading run axis: the building block of models."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise

import torch
from torch import Tensor

from mibench.batch import Tensors

Shape = tuple[int, int, int]
"""Rows, columns and fan-in of a parameter of one run."""


def initialise(shapes: Mapping[str, Shape], generator: torch.Generator, dtype: torch.dtype) -> Tensors:
    """Return the parameters of one run: uniform within +-1/sqrt(fan-in), as `torch.nn.Linear`."""
    return {
        key: torch.empty(rows, columns, dtype=dtype).uniform_(
            -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator
        )
        for key, (rows, columns, fan_in) in shapes.items()
    }


def mlp_shapes(prefix: str, sizes: list[int]) -> dict[str, Shape]:
    """Return the shapes of a multilayer perceptron's layers, from input size to output size."""
    shapes = {}
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        shapes[f"{prefix}.{layer}.weight"] = (fan_in, fan_out, fan_in)
        shapes[f"{prefix}.{layer}.bias"] = (1, fan_out, fan_in)
    return shapes


def mlp(parameters: Mapping[str, Tensor], prefix: str, inputs: Tensor) -> Tensor:
    """Apply the layers of that prefix, with ReLU between them: (R, m, in) -> (R, m, out)."""
    for layer, (weight, bias) in enumerate(_layers(parameters, prefix)):
        # In place: ReLU's gradient needs its output alone, and an n * n x hidden copy costs memory.
        inputs = torch.baddbmm(bias, inputs if layer == 0 else inputs.relu_(), weight)
    return inputs


def _layers(parameters: Mapping[str, Tensor], prefix: str) -> Iterator[tuple[Tensor, Tensor]]:
    layer = 0
    while f"{prefix}.{layer}.weight" in parameters:
        yield parameters[f"{prefix}.{layer}.weight"], parameters[f"{prefix}.{layer}.bias"]
        layer += 1
