"""Seconds for js with smile at three taus, compared with js alone: one training, evaluated in four ways.

python -m benchmarks.shared_training
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch

from mibench.api.plan import Plan, plan
from mibench.api.run import execute

SHARED = ["js", "smile[tau=1]", "smile[tau=5]", "smile[tau=none]"]


def seconds(planned: Plan) -> float:
    """Return how long all runs of a plan take, read-out included."""
    started = time.perf_counter()
    records = execute(planned)
    assert all(record.status == "ok" for record in records)
    return time.perf_counter() - started


def main() -> None:
    """Print one row of a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()
    setting = {"dim": 20, "mi": [2, 4, 6], "n": 64, "steps": arguments.steps, "device": arguments.device}
    alone, shared = plan("js", **setting), plan(SHARED, **setting)
    print(f"{alone.device_message}; PyTorch {torch.__version__}\n")
    execute(alone.of(alone.specs[:1]))  # imports and allocations
    times = [(seconds(alone), seconds(shared)) for _ in range(arguments.rounds)]
    ratios = sorted(both / one for one, both in times)
    print("| runs of js | read-outs | seconds, js alone | seconds, all four | ratio |")
    print("|---:|---:|---:|---:|---:|")
    print(
        f"| {len(alone.specs)} | {len(shared.specs)} | {median(one for one, _ in times):.1f} | "
        f"{median(both for _, both in times):.1f} | "
        f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |"
    )


if __name__ == "__main__":
    main()
