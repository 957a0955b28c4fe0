"""Why seeds of SMILE fall into two groups: how many of 20 directions does each critic see?

    python -m benchmarks.seed_groups [SEEDS]

trains the critics of the published staircase (Song & Ermon 2020) up to 4 nats and prints for each seed
the estimate and the singular values of E[d^2 f / dx dy], which is E[x f(x, y) y'] for independent
standard normal x and y (Stein). The task is isotropic: a critic that sees every direction has 20 singular
values of about the same size.
"""

from __future__ import annotations

import sys

import torch

import mibench
from mibench.batch import Batch
from mibench.engine.plan import Pack
from mibench.engine.read import outputs_of
from mibench.seeding import stream

DIM, BATCH, BATCHES = 20, 64, 4000


def interaction(pack: Pack, parameters: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return E[x f(x, y) y'] of the critics of a pack, (R, dim, dim)."""
    runs, generator = len(pack.trainings), stream("seed groups")
    total = torch.zeros(runs, DIM, DIM, dtype=torch.float64)
    for _ in range(BATCHES):
        x, y = torch.randn(2, BATCH, DIM, generator=generator)
        batch = Batch(x.expand(runs, -1, -1).contiguous(), y.expand(runs, -1, -1).contiguous())
        scores = outputs_of(pack, parameters, batch)["scores"].double()
        scores = scores - scores.mean((-2, -1), keepdim=True)
        total += x.double().mT @ scores @ y.double() / BATCH**2
    return total / BATCHES


def main(seeds: int) -> None:
    """Train the critics and print what they see."""
    planned = mibench.plan(
        "smile[tau=inf]",
        dim=DIM,
        mi=[2, 4],
        n=64,
        protocol="staircase",
        steps=8000,
        critic="separable[layers=3]",
        seeds=seeds,
        device="cpu",
    )
    for pack in planned.packs():
        fitted, readouts = pack.protocol.follow(pack, planned.device, lambda steps: None)
        seen = torch.linalg.svdvals(interaction(pack, fitted.parameters))
        for place, training in enumerate(pack.trainings):
            estimate = readouts[training[-1]].estimate
            values = " ".join(f"{value:.3f}" for value in seen[place])
            print(f"seed {training[0].seed}: {estimate:.3f} of 4 nats; singular values {values}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
