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
from statistics import median

import torch

from benchmarks.loop import serve
from benchmarks.packs import pack
from mibench.engine.device import flops_per_second, resolve
from mibench.engine.fit import fit


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Return how long a call takes, the device's work included."""
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def compare(critic: str, n: int, runs: int | None, rounds: int, count: int, device: torch.device) -> str:
    """Return a row: rates of the loop and of a pack, their ratio, and the share of the matrix rate."""
    processes = multiprocessing.get_context("spawn")
    loop, its_end = processes.Pipe()
    process = processes.Process(target=serve, args=(its_end, critic, n, device), daemon=True)
    process.start()
    ours = pack(critic, n, count, runs, device)
    fit(pack(critic, n, 2, runs, device), device)  # imports, allocations, and on CUDA the libraries
    loop.send(10)
    loop.recv()
    loop_rates, pack_rates, shares = [], [], []
    for _ in range(rounds):
        peak = flops_per_second(device)
        loop.send(count)
        loop_rates.append(count / loop.recv())
        taken = seconds(lambda: fit(ours, device), device)
        pack_rates.append(count * len(ours.specs) / taken)
        shares.append(3 * ours.cost.flops * count * len(ours.specs) / taken / peak)
    loop.send(None)
    process.join()
    ratios = sorted(b / a for a, b in zip(loop_rates, pack_rates, strict=True))
    return (
        f"| {critic} | {n} | {len(ours.specs)} | {median(loop_rates):.0f} | {median(pack_rates):.0f} | "
        f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) | {median(shares):.0%} |"
    )


def main() -> None:
    """Print a table of rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--runs", type=int, help="runs in the pack (default: what the engine chooses)")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    device, message = resolve(arguments.device)
    print(f"{message}; PyTorch {torch.__version__}; {arguments.rounds} rounds, in turns\n")
    print(
        "| critic | n | runs | loop, steps/s | pack, critic-steps/s "
        "| ratio: median (min to max) | of the matrix rate |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for critic, n, count in (
        ("separable", 16, 400),
        ("separable", 64, 400),
        ("separable", 256, 100),
        ("joint", 64, 40),
    ):
        runs = arguments.runs if critic == "separable" else None
        print(compare(critic, n, runs, arguments.rounds, count, device), flush=True)


if __name__ == "__main__":
    main()
