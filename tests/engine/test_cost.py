"""What a batch of one run costs: against numbers counted by hand, and against torch's own counter."""

import pytest
import torch
from plugins import Denoising, OwnModule
from torch.utils.flop_counter import FlopCounterMode

from mibench import estimators, models
from mibench.batch import Batch, Dims
from mibench.engine.cost import cost_of
from mibench.objectives import Likelihood

DIMS = Dims(20, 20)
INFONCE = estimators.get("infonce").objective

# Counted by hand at n = 64 and 20 coordinates: layers of 256, a representation of 32.
PRODUCTS = {
    "separable": 2 * 64 * (20 * 256 + 256 * 256 + 256 * 32) + 64**2 * 32,
    "joint": 2 * 64 * 20 * 256 + 64**2 * (256 * 256 + 256),
    "bilinear": 64 * 20 * 20 + 64**2 * 20,
}
PARAMETERS = {
    "separable": 2 * (21 * 256 + 257 * 256 + 257 * 32),
    "joint": 41 * 256 + 257 * 256 + 257,
    "bilinear": 20 * 20,
}


def test_the_numbers_counted_by_hand():
    assert PRODUCTS == {"separable": 10_223_616, "joint": 270_139_392, "bilinear": 107_520}
    assert PARAMETERS == {"separable": 158_784, "joint": 76_545, "bilinear": 400}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_and_parameters_are_those_counted_by_hand(name):
    cost = cost_of(INFONCE, models.get(name), DIMS, 64)
    assert cost.flops == 2 * PRODUCTS[name]  # a multiplication and an addition
    assert cost.parameters == PARAMETERS[name]
    assert cost.outputs == 64**2


@pytest.mark.parametrize("n", [5, 12, 13, 64, 500])
@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("separable", lambda n: 2 * n * (2 * 256 + 32) + n * n),  # each layer's output, and the scores
        ("joint", lambda n: n * n * (2 * 256 + 1)),
        ("bilinear", lambda n: n * n),  # y has no gradient, so x' W is not kept
    ],
)
def test_activations_are_the_layers_outputs_beside_the_objectives(name, layers, n):
    kept = cost_of(INFONCE, models.get(name), DIMS, n).activations
    assert 0 <= kept - layers(n) <= n * n + n  # InfoNCE: the quotients, and a sum per row


@pytest.mark.parametrize("n", [8, 48])
@pytest.mark.parametrize(
    ("model", "objective"),
    [
        ("separable[hidden=24]", INFONCE),
        ("joint[hidden=16,layers=3]", estimators.get("js").objective),
        ("bilinear", estimators.get("tuba").objective),  # whose baseline is a network too
        ("gaussian-mlp[hidden=16]", Likelihood()),
        ("noise-mlp[hidden=16]", Denoising()),
        (OwnModule(hidden=8), INFONCE),
    ],
)
def test_operations_are_those_that_torch_counts(model, objective, n, generator):
    dims, made = Dims(5, 3), models.get(model) if isinstance(model, str) else model
    initial = made.initialise(dims, generator, torch.float32) | objective.learned(dims, generator)
    parameters = {key: value[None] for key, value in initial.items()}
    drawn = {key: value[None] for key, value in objective.draw(n, dims, generator, torch.float32).items()}
    x, y = (torch.randn(1, n, dim, generator=generator) for dim in (dims.x, dims.y))
    with FlopCounterMode(display=False) as counter:
        objective.value(made, parameters, {}, Batch(x, y, drawn))
    assert cost_of(objective, made, dims, n).flops == counter.get_total_flops() > 0
