"""Critic-steps per second: a pack compared with one critic at a time, in turns.

The loop runs in a separate process, which waits while the pack trains: process-wide settings of the engine
(what the C library does with freed memory) must not speed up the loop.

python -m benchmarks.throughput
python -m benchmarks.throughput --device cuda --runs 1000 --rounds 3
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import ClassVar

import torch

from benchmarks.loop import serve
from benchmarks.packs import pack
from mibench.engine.device import flops_per_second, resolve
from mibench.engine.fit import fit
from mibench.engine.plan import Pack


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Return how long a call takes, the device's work included."""
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


@dataclass(frozen=True)
class Rates:
    """What was measured, turn by turn.

    Attributes:
        of_loop, of_pack: steps, and critic-steps, per second.
        shares: the pack's matrix products, of the rate of large ones.
    """

    pack: Pack
    of_loop: list[float]
    of_pack: list[float]
    shares: list[float]

    COLUMNS: ClassVar[str] = (
        "critic | n | runs | loop, steps/s | pack, critic-steps/s | ratio: median (min to max) "
        "| of the matrix rate"
    )

    def row(self) -> str:
        """Return the cells of a row of a Markdown table, in `COLUMNS`."""
        ratios = sorted(b / a for a, b in zip(self.of_loop, self.of_pack, strict=True))
        return (
            f"{self.pack.fit.model.label} | {self.pack.first.n} | {len(self.pack.specs)} | "
            f"{median(self.of_loop):.0f} | {median(self.of_pack):.0f} | "
            f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) | {median(self.shares):.0%}"
        )


def measure(critic: str, n: int, runs: int | None, rounds: int, count: int, device: torch.device) -> Rates:
    """Return the rates of the loop and of a pack, in turns."""
    processes = multiprocessing.get_context("spawn")
    loop, its_end = processes.Pipe()
    process = processes.Process(target=serve, args=(its_end, critic, n, device), daemon=True)
    process.start()
    ours = pack(critic, n, count, runs, device)
    fit(pack(critic, n, 2, runs, device), device)  # imports, allocations, and on CUDA the libraries
    loop.send(10)
    loop.recv()
    rates = Rates(ours, [], [], [])
    for _ in range(rounds):
        peak = flops_per_second(device)
        loop.send(count)
        rates.of_loop.append(count / loop.recv())
        rates.of_pack.append(count * len(ours.specs) / seconds(lambda: fit(ours, device), device))
        rates.shares.append(3 * ours.cost.flops * rates.of_pack[-1] / peak)
    loop.send(None)
    process.join()
    return rates


def main() -> None:
    """Print a table of rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--runs", type=int, help="runs in the pack (default: what the engine chooses)")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    device, message = resolve(arguments.device)
    print(f"{message}; PyTorch {torch.__version__}; {arguments.rounds} rounds, in turns\n")
    print(f"| {Rates.COLUMNS} |\n|---|---:|---:|---:|---:|---:|---:|")
    for critic, n, count in (
        ("separable", 16, 400),
        ("separable", 64, 400),
        ("separable", 256, 100),
        ("joint", 64, 40),
    ):
        runs = arguments.runs if critic == "separable" else None
        print(f"| {measure(critic, n, runs, arguments.rounds, count, device).row()} |", flush=True)


if __name__ == "__main__":
    main()
