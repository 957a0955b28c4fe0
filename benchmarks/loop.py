"""The plain loop of the published experiments: one `nn.Module`, one critic at a time."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

import torch
from torch import Tensor, nn

LEARNING_RATE = 5e-4
DIM, HIDDEN, EMBEDDING = 20, 256, 32


def network(inputs: int, outputs: int) -> nn.Sequential:
    """Return a multilayer perceptron with two hidden layers."""
    layers = [nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(HIDDEN, outputs))


class Separable(nn.Module):
    """g(x) . h(y)."""

    def __init__(self) -> None:
        super().__init__()
        self.g, self.h = network(DIM, EMBEDDING), network(DIM, EMBEDDING)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scores of all pairs."""
        scores: Tensor = self.g(x) @ self.h(y).T
        return scores


class Joint(nn.Module):
    """One network on the concatenation of every pair."""

    def __init__(self) -> None:
        super().__init__()
        self.f = network(2 * DIM, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scores of all pairs."""
        n = len(x)
        pairs = torch.cat([x[:, None].expand(n, n, -1), y[None].expand(n, n, -1)], -1)
        scores: Tensor = self.f(pairs.reshape(n * n, -1)).view(n, n)
        return scores


def steps(critic: nn.Module, n: int, mi: float, device: torch.device) -> Iterator[None]:
    """Train with InfoNCE by Adam at a constant rate; yield after every step, indefinitely."""
    rho = math.sqrt(1 - math.exp(-2 * mi / DIM))
    optimiser = torch.optim.Adam(critic.parameters(), lr=LEARNING_RATE)
    while True:
        x = torch.randn(n, DIM, device=device)
        y = rho * x + math.sqrt(1 - rho**2) * torch.randn(n, DIM, device=device)
        scores = critic(x, y)
        loss = -(scores.diagonal() - scores.logsumexp(1)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield


def parameters(critic: Separable) -> dict[str, Tensor]:
    """Return the parameters of the loop's critic in the form that a pack of one run has."""
    packed = {}
    for name, value in critic.named_parameters():  # "g.2.weight": tower, index among layers and ReLUs, kind
        tower, index, kind = name.split(".")
        own = value.T if kind == "weight" else value[None]
        packed[f"{tower}.{int(index) // 2}.{kind}"] = own[None].detach().clone()
    return packed


def serve(pipe: Connection, critic: str, n: int, device: torch.device) -> None:
    """Train in a separate process; for each count received, send the seconds that this many steps took."""
    training = steps({"separable": Separable, "joint": Joint}[critic]().to(device), n, 4.0, device)
    while (count := pipe.recv()) is not None:
        started = time.perf_counter()
        for _ in itertools.islice(training, count):
            pass
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        pipe.send(time.perf_counter() - started)
