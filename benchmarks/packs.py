"""Packs for the benchmarks."""

from __future__ import annotations

import torch

from mibench import encoders, estimators, protocols, tasks
from mibench.engine.device import budget_bytes
from mibench.engine.plan import Pack, packs
from mibench.models import critics
from mibench.spec import grid


def pack(
    critic: str,
    n: int,
    steps: int,
    runs: int | None,
    device: torch.device,
    first_seed: int = 0,
) -> Pack:
    """Return a pack of `runs` runs of InfoNCE (d = 20, I = 4), or of as many as the engine would choose."""
    specs = grid(
        protocols=[protocols.registry.choose("stream")],
        estimators=[estimators.registry.choose("infonce")],
        sources=[
            (
                tasks.registry.choose("gaussian", dim=20, mi=4.0),
                encoders.registry.choose("none"),
                critics.registry.choose(critic),
            )
        ],
        ns=[n],
        seeds=range(first_seed, first_seed + (runs or 1000)),
        steps=steps,
        lr=None,
        schedule="one-cycle",
        precision="float32",
    )
    return Pack(tuple((spec,) for spec in specs)) if runs else packs(specs, budget_bytes(device))[0]
