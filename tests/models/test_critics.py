"""Critics compared with the same networks built from torch.nn, run by run."""

import math

import pytest
import torch
from torch import nn

import mibench
from mibench.batch import Dims
from mibench.models import critics

RUNS, N, DIM_X, DIM_Y = 3, 5, 4, 6


def network(parameters, prefix, run):
    """Build the layers of one run as torch.nn modules."""
    layers = []
    index = 0
    while f"{prefix}.{index}.weight" in parameters:
        weight = parameters[f"{prefix}.{index}.weight"][run]
        linear = nn.Linear(*weight.shape, dtype=weight.dtype)
        linear.weight.data = weight.T
        linear.bias.data = parameters[f"{prefix}.{index}.bias"][run, 0]
        layers += [nn.ReLU()] * (index > 0) + [linear]
        index += 1
    return nn.Sequential(*layers)


def stacked(critic):
    runs = [
        critic.initialise(Dims(DIM_X, DIM_Y), torch.Generator().manual_seed(run), torch.float64)
        for run in range(RUNS)
    ]
    return {key: torch.stack([run[key] for run in runs]) for key in runs[0]}


@pytest.fixture
def points(generator):
    x = torch.randn(RUNS, N, DIM_X, generator=generator, dtype=torch.float64)
    y = torch.randn(RUNS, N, DIM_Y, generator=generator, dtype=torch.float64)
    return x, y


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_separable(layers, points):
    critic = critics.get("separable", hidden=8, layers=layers, embedding=3)
    parameters, (x, y) = stacked(critic), points
    scores = critic.scores(parameters, x, y)
    for run in range(RUNS):
        g, h = network(parameters, "g", run), network(parameters, "h", run)
        assert len(g) == 2 * layers + 1
        assert torch.allclose(scores[run], g(x[run]) @ h(y[run]).T, atol=1e-12)


def test_bilinear(points):
    critic = critics.get("bilinear")
    parameters, (x, y) = stacked(critic), points
    scores = critic.scores(parameters, x, y)
    for run in range(RUNS):
        assert torch.allclose(scores[run], x[run] @ parameters["weight"][run] @ y[run].T, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_joint_is_a_network_on_the_concatenation(layers, points):
    critic = critics.get("joint", hidden=8, layers=layers)
    parameters, (x, y) = stacked(critic), points
    scores = critic.scores(parameters, x, y)
    for run in range(RUNS):
        first = nn.Linear(DIM_X + DIM_Y, 8, dtype=torch.float64)
        first.weight.data = torch.cat([parameters["x.weight"][run], parameters["y.weight"][run]]).T
        first.bias.data = parameters["xy.bias"][run, 0]
        rest = network(parameters, "f", run)
        assert len(rest) == 2 * layers - 1
        for i in range(N):
            for j in range(N):
                pair = torch.cat([x[run, i], y[run, j]])
                assert scores[run, i, j].item() == pytest.approx(rest(first(pair).relu()).item(), abs=1e-12)


def test_joint_never_builds_the_input_of_every_pair():
    """Nothing of size n * n * (dim_x + dim_y) is made, seen where the inputs are wider than the layers."""
    critic = critics.get("joint", hidden=2)
    n, dim = 64, 500
    parameters = critic.initialise(Dims(dim, dim), torch.Generator(), torch.float32)
    parameters = {key: value[None] for key, value in parameters.items()}
    with torch.profiler.profile(profile_memory=True) as profile:
        critic.scores(parameters, torch.randn(1, n, dim), torch.randn(1, n, dim))
    largest = max(abs(event.self_cpu_memory_usage) for event in profile.events())
    assert largest < n * n * 2 * dim * 4 / 10


# The shape and the fan-in of each parameter for 20 coordinates of x and 30 of y, as torch.nn.Linear has them.
SHAPES = {
    "separable": {
        "g.0.weight": (20, 256, 20),
        "g.0.bias": (1, 256, 20),
        "g.1.weight": (256, 256, 256),
        "g.1.bias": (1, 256, 256),
        "g.2.weight": (256, 32, 256),
        "g.2.bias": (1, 32, 256),
        "h.0.weight": (30, 256, 30),
        "h.0.bias": (1, 256, 30),
        "h.1.weight": (256, 256, 256),
        "h.1.bias": (1, 256, 256),
        "h.2.weight": (256, 32, 256),
        "h.2.bias": (1, 32, 256),
    },
    "bilinear": {"weight": (20, 30, 20)},
    "joint": {  # the first layer is that of the pair: its fan-in is 50 on both sides
        "x.weight": (20, 256, 50),
        "y.weight": (30, 256, 50),
        "xy.bias": (1, 256, 50),
        "f.0.weight": (256, 256, 256),
        "f.0.bias": (1, 256, 256),
        "f.1.weight": (256, 1, 256),
        "f.1.bias": (1, 1, 256),
    },
}


@pytest.mark.parametrize("name", SHAPES)
def test_initialised_as_linear_layers_are(name, generator):
    parameters = critics.get(name).initialise(Dims(20, 30), generator, torch.float32)
    assert parameters.keys() == SHAPES[name].keys()
    for key, (rows, columns, fan_in) in SHAPES[name].items():
        value = parameters[key]
        assert value.shape == (rows, columns)
        assert value.abs().max() <= 1 / math.sqrt(fan_in)
        if value.numel() > 1000:  # uniform: standard deviation = bound / sqrt(3)
            assert value.std().item() == pytest.approx(1 / math.sqrt(3 * fan_in), rel=0.05)


@pytest.mark.parametrize("option", ["hidden=0", "layers=0", "embedding=-1", "hidden=2.5", "width=3"])
def test_bad_sizes(option):
    with pytest.raises(mibench.UsageError, match=option.partition("=")[0]):
        critics.get(f"separable[{option}]")
