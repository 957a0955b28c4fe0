"""Packs for the benchmarks."""

from __future__ import annotations

import torch

from mibench import estimators, models, tasks
from mibench.engine.device import budget_bytes
from mibench.engine.plan import Pack, packs
from mibench.engine.protocols import registry as protocols
from mibench.spec import Fit, grid


def pack(
    critic: str,
    n: int,
    steps: int,
    runs: int | None,
    device: torch.device,
    first_seed: int = 0,
    train_n: int | None = None,
    lr: float = 2e-3,
) -> Pack:
    """Return a pack of this many runs of InfoNCE (d = 20, I = 4), or of as many as the engine chooses."""
    fit = Fit(models.registry.choose(critic), steps, lr, "one-cycle", "float32", train_n)
    task = tasks.registry.choose("gaussian", dim=20, mi=4.0)
    setting = estimators.registry.choose("infonce"), task, None, fit
    specs = grid([setting], protocols.choose("stream"), [n], range(first_seed, first_seed + (runs or 1000)))
    return Pack(tuple((spec,) for spec in specs)) if runs else packs(specs, budget_bytes(device))[0]
