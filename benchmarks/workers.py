"""Seconds of one grid: in one process with one thread, with all threads, and in as many processes.

python -m benchmarks.workers

Each turn measures all three on the idle machine, then beside a process that keeps one core busy.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import mibench  # before torch, so that waiting threads sleep soon
from mibench.api.plan import plan
from mibench.api.run import execute

import torch  # isort: skip - after mibench, which says how its threads wait

BUSY = "while True: pass"


@contextmanager
def beside(busy: bool) -> Iterator[None]:
    """Keep a core busy while the block runs, or not."""
    other = subprocess.Popen([sys.executable, "-c", BUSY]) if busy else None
    try:
        yield
    finally:
        if other is not None:
            other.kill()
            other.wait()


def seconds(workers: int, threads: int, steps: int) -> float:
    """Return how long 12 critics train and are read."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        planned = plan(
            "infonce", dim=20, mi=[2, 4, 6], n=64, seeds=4, steps=steps, device="cpu", workers=workers
        )
        started = time.perf_counter()
        records = execute(planned)
    finally:
        torch.set_num_threads(before)
    assert all(record.status == "ok" for record in records)
    return time.perf_counter() - started


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()
    cores = torch.get_num_threads()
    ways = {
        "one process, one thread": (1, 1),
        f"one process, {cores} threads": (1, cores),
        f"{cores} processes, one thread each": (cores, cores),
    }
    print(f"mibench {mibench.__version__}; PyTorch {torch.__version__}; {cores} cores\n")
    seconds(1, cores, 5)  # imports and allocations
    times: dict[tuple[str, bool], list[float]] = {}
    for _ in range(arguments.rounds):
        for busy in (False, True):
            with beside(busy):
                for name, (workers, threads) in ways.items():
                    times.setdefault((name, busy), []).append(seconds(workers, threads, arguments.steps))
    print("| 12 critics | idle, s | beside a busy process, s |")
    print("|---|---:|---:|")
    for name in ways:
        idle, busy_times = (times[name, busy] for busy in (False, True))
        print(f"| {name} | {_range(idle)} | {_range(busy_times)} |")


def _range(values: list[float]) -> str:
    return f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main()
