"""Seconds to train eight seeds of an encoder as a pack, compared with training them one by one.

python -m benchmarks.encoders
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from statistics import median

import torch

from mibench import encoders, tasks
from mibench.engine.device import resolve
from mibench.engine.encoding import train_encoders
from mibench.spec import EncoderSpec

RECIPES = (
    ("cpc", "cpc"),
    ("linear", "linear-encoder"),
    ("simclr", "digits"),
    ("moco", "digits"),
    ("simcse", "digits"),
    ("byol", "digits"),
    ("simsiam", "digits"),
    ("supervised", "digits"),
)


def seconds(packs: Sequence[Sequence[EncoderSpec]], device: torch.device) -> float:
    """Return how long packs of encoders take to train, one after the other."""
    started = time.perf_counter()
    for pack in packs:
        assert not any(made.message for made in train_encoders(pack, device))
    return time.perf_counter() - started


def main() -> None:
    """Print one row of a Markdown table per recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=8)
    arguments = parser.parse_args()
    device, message = resolve(arguments.device)
    print(f"{message}; PyTorch {torch.__version__}; {arguments.steps} steps, {arguments.seeds} seeds\n")
    print("| encoder | one by one, s | as a pack, s | ratio: median (min to max) |")
    print("|---|---:|---:|---:|")
    for recipe, task in RECIPES:
        chosen = encoders.registry.choose(recipe, steps=arguments.steps)
        source = tasks.registry.choose(task)
        pack = [EncoderSpec(chosen, source, seed) for seed in range(arguments.seeds)]
        train_encoders(pack[:1], device)  # imports, data and allocations
        times = [
            (seconds([[spec] for spec in pack], device), seconds([pack], device))
            for _ in range(arguments.rounds)
        ]
        ratios = sorted(alone / together for alone, together in times)
        print(
            f"| {recipe} | {median(alone for alone, _ in times):.1f} | "
            f"{median(together for _, together in times):.1f} | "
            f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
