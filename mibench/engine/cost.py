"""What one batch of one run costs, counted in forward passes on small batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from mibench.batch import Batch, Dims
from mibench.models.base import Model
from mibench.objectives import Objective

SIZES = (4, 8, 12)
"""Costs are polynomials of n of degree 2: three small batches determine them for every n."""

_FIRST_FACTOR = {torch.baddbmm: 1, torch.addmm: 1}
_PRODUCTS = {torch.bmm, torch.mm, torch.matmul, Tensor.matmul, Tensor.__matmul__, functional.linear}
_CONVOLUTIONS = {torch.conv1d, torch.conv2d, torch.conv3d}


@dataclass(frozen=True)
class Cost:
    """The cost of a forward pass of one run.

    Attributes:
        parameters: numbers that are trained.
        activations: numbers that the forward pass keeps for the backward pass, outputs included.
        outputs: numbers that it puts out.
        flops: floating-point operations of matrix products and convolutions, two per multiply-add.
        activations_a_pair, flops_a_pair: what of these each pair of rows has, of which there are n^2; known
            where n is larger than that of the batches that were counted.
    """

    parameters: int
    activations: int
    outputs: int
    flops: int
    activations_a_pair: float = 0.0
    flops_a_pair: float = 0.0


@lru_cache(maxsize=1024)
def cost_of(objective: Objective, model: Model, dims: Dims, n: int) -> Cost:
    """Return the cost of a model and its objective on a batch of n."""
    if n <= max(SIZES):
        return _measured(objective, model, dims, n)
    small = [cost_of(objective, model, dims, size) for size in SIZES]
    return Cost(
        small[0].parameters,
        _extrapolated([cost.activations for cost in small], n),
        _extrapolated([cost.outputs for cost in small], n),
        _extrapolated([cost.flops for cost in small], n),
        _curvature([cost.activations for cost in small]),
        _curvature([cost.flops for cost in small]),
    )


def _extrapolated(values: list[int], n: int) -> int:
    """Return the value at n of the polynomial of degree 2 through the values at `SIZES`."""
    a, b, _ = SIZES
    slope = (values[1] - values[0]) / (b - a)
    return round(values[0] + (n - a) * slope + (n - a) * (n - b) * _curvature(values))


def _curvature(values: list[int]) -> float:
    """Return the coefficient of n^2 in that polynomial."""
    a, b, c = SIZES
    at_a, at_b, at_c = values
    return ((at_c - at_b) / (c - b) - (at_b - at_a) / (b - a)) / (c - a)


def _measured(objective: Objective, model: Model, dims: Dims, n: int) -> Cost:
    generator, dtype = torch.Generator().manual_seed(0), torch.float32
    initial = model.initialise(dims, generator, dtype) | objective.learned(dims, generator)
    parameters = {key: value[None].clone().requires_grad_() for key, value in initial.items()}
    state = {key: value[None].clone() for key, value in objective.state().items()}
    drawn = {key: value[None] for key, value in objective.draw(n, dims, generator, dtype).items()}
    x, y = (torch.zeros(1, n, dim) for dim in (dims.x, dims.y))
    batch = Batch(x, y, drawn, {"entropy_y": torch.zeros(1)})
    given = {_place(tensor) for tensor in (*parameters.values(), *state.values(), *batch.tensors())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept.setdefault(_place(tensor), tensor)
        return tensor

    with _CountFlops() as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _, outputs = objective.value(model, parameters, state, batch)
    if outputs is None:  # formed only where it is read, without a backward pass
        with torch.no_grad():
            outputs = objective.outputs(model, parameters, batch)
    else:
        for output in outputs.values():
            keep(output)
    activations = sum(
        tensor.untyped_storage().nbytes() // tensor.element_size()
        for place, tensor in kept.items()
        if place not in given
    )
    return Cost(_count(parameters.values()), activations, _count(outputs.values()), counter.flops)


def _place(tensor: Tensor) -> int:
    place: int = tensor.untyped_storage()._cdata
    return place


def _count(tensors: Iterable[Tensor]) -> int:
    return sum(map(torch.numel, tensors))


class _CountFlops(TorchFunctionMode):
    """Adds up the operations of matrix products and convolutions by the shapes of their arguments.

    `torch.utils.flop_counter` counts the same, and takes more than a second to start.
    """

    flops = 0

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - what the function returns
        result = function(*args, **(kwargs or {}))
        if function in _PRODUCTS or function in _FIRST_FACTOR:
            self.flops += 2 * result.numel() * args[_FIRST_FACTOR.get(function, 0)].shape[-1]
        elif function in _CONVOLUTIONS:
            self.flops += 2 * result.numel() * args[1][0].numel()
        return result
