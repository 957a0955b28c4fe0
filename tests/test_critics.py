"""Critics compared with the same networks built from torch.nn, run by run."""

import math

import pytest
import torch
from torch import nn

import mibench
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
        critic.initialise(DIM_X, DIM_Y, torch.Generator().manual_seed(run), torch.float64)
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
    parameters = critic.initialise(dim, dim, torch.Generator(), torch.float32)
    parameters = {key: value[None] for key, value in parameters.items()}
    with torch.profiler.profile(profile_memory=True) as profile:
        critic.scores(parameters, torch.randn(1, n, dim), torch.randn(1, n, dim))
    largest = max(abs(event.self_cpu_memory_usage) for event in profile.events())
    assert largest < n * n * 2 * dim * 4 / 10


@pytest.mark.parametrize("name", ["separable", "bilinear", "joint"])
def test_initialised_as_linear_layers_are(name, generator):
    critic = critics.get(name)
    parameters = critic.initialise(20, 30, generator, torch.float32)
    assert sum(value.numel() for value in parameters.values()) == critic.parameter_count(20, 30)
    for key, (rows, columns, fan_in) in critic.shapes(20, 30).items():
        value = parameters[key]
        assert value.shape == (rows, columns)
        assert value.abs().max() <= 1 / math.sqrt(fan_in)
        if value.numel() > 1000:  # uniform: standard deviation = bound / sqrt(3)
            assert value.std().item() == pytest.approx(1 / math.sqrt(3 * fan_in), rel=0.05)


def test_fan_in_of_the_joint_critics_first_layer_is_that_of_the_pair():
    shapes = critics.get("joint").shapes(20, 30)
    assert shapes["x.weight"] == (20, 256, 50)
    assert shapes["y.weight"] == (30, 256, 50)
    assert shapes["xy.bias"] == (1, 256, 50)


@pytest.mark.parametrize("option", ["hidden=0", "layers=0", "embedding=-1", "hidden=2.5", "width=3"])
def test_bad_sizes(option):
    with pytest.raises(mibench.UsageError, match=option.partition("=")[0]):
        critics.get(f"separable[{option}]")
