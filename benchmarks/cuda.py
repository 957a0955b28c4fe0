"""All that is measured on a GPU, as Markdown tables from one command.

    python -m benchmarks.cuda

trains 1000 critics in a pack and one at a time, compares the drawing of their data with their steps, reads
batches of up to 2^20 rows, and runs four tasks of representations at n up to 8192.

    python -m benchmarks.cuda --device cpu --critics 4 --steps 10 --rounds 1 --largest 10 --tasks bigram

does the same at small sizes anywhere.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterable
from statistics import median

import torch

import mibench
from benchmarks.packs import pack
from benchmarks.throughput import Rates, measure, seconds
from mibench.engine.data import training_chunks
from mibench.engine.device import memory_bytes, resolve
from mibench.engine.fit import fit
from mibench.engine.plan import Pack
from mibench.engine.read import read_out

REPRESENTATIONS = ("cpc", "bigram", "linear-encoder", "digits")
ESTIMATORS = "infonce,nce,mine,nwj"
ADAM_PASSES = 10
"""How often a step reads or writes as many numbers as there are parameters: forward and backward pass read
them, the backward pass writes the gradient; Adam reads all four and writes three."""


def table(title: str, columns: str, rows: Iterable[str]) -> None:
    """Print a Markdown table, row by row as they are measured."""
    print(f"\n### {title}\n\n| {columns} |\n|{'---:|' * len(columns.split(' | '))}", flush=True)
    for row in rows:
        print(f"| {row} |", flush=True)


def bytes_per_second(device: torch.device, size: int = 2**26, copies: int = 20) -> float:
    """Return the rate at which large copies read and write memory."""
    source = torch.zeros(size, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        for _ in range(copies):
            target.copy_(source)

    seconds(copy, device)
    return 2 * 4 * size * copies / seconds(copy, device)


def throughput(critics: int, steps: int, rounds: int, device: torch.device) -> Iterable[str]:
    """Yield rows of the pack's and the loop's rates, with the shares of what the device can do."""
    bandwidth = bytes_per_second(device)
    for critic, n in (("separable", 16), ("separable", 64), ("separable", 256), ("joint", 16)):
        rates = measure(critic, n, critics, rounds, steps, device)
        yield f"{rates.row()} | {moved(rates) / bandwidth:.0%}"


def moved(rates: Rates) -> float:
    """Return the bytes that a pack moves in a second at least: parameters, and activations out and back."""
    cost = rates.pack.cost
    return 4 * (ADAM_PASSES * cost.parameters + 2 * cost.activations) * median(rates.of_pack)


def drawing(critics: int, steps: int, rounds: int, device: torch.device) -> Iterable[str]:
    """Yield rows of the seconds that drawing takes, those of steps on data drawn before, and of both."""
    for n in (16, 64, 256):
        whole = pack("separable", n, steps, critics, device)
        chunks = list(training_chunks(whole, device, steps))
        fit(whole, device, chunks=iter(chunks))
        draw, step, both = (
            median(seconds(call, device) for _ in range(rounds))
            for call in (
                lambda whole=whole: all(True for _ in training_chunks(whole, device, steps)),
                lambda whole=whole, chunks=chunks: fit(whole, device, chunks=iter(chunks)),
                lambda whole=whole: fit(whole, device),
            )
        )
        numbers = whole.numbers_a_batch * critics * steps / draw
        yield f"{critics} | {n} | {steps} | {numbers / 1e6:.0f} | {draw:.2f} | {step:.2f} | {both:.2f}"


def large_batches(largest: int, device: torch.device) -> Iterable[str]:
    """Yield rows of the seconds that reading takes, of one critic that was trained at n = 64."""
    for power in range(10, largest + 1, 2):
        (spec,) = mibench.plan(
            "infonce", mi=10, n=2**power, train_n=64, steps=10, seeds=1, device=str(device)
        ).specs
        whole = Pack(((spec,),))
        fitted = fit(whole, device)
        ((_, read),) = whole.readings()
        found: list[int] = []

        def call(read: Pack = read, found: list[int] = found, fitted: object = fitted) -> None:
            (one,) = read_out(read, fitted, device).values()  # type: ignore[arg-type]
            found.append(one.batches)

        taken = seconds(call, device)
        pairs = found[0] * read.anchors * 2**power
        yield f"2^{power} | {read.anchors} | {found[0]} | {taken:.2f} | {pairs / taken / 1e6:.0f}"


def representations(
    tasks: Iterable[str], ns: Iterable[int], steps: int, device: torch.device
) -> Iterable[str]:
    """Yield rows of the seconds that four estimators take on each task, with its encoders."""
    for task, n in itertools.product(tasks, ns):
        started = time.perf_counter()
        frame = mibench.run(ESTIMATORS, task, n=n, steps=steps, seeds=3, device=str(device))
        finished = (frame["status"] == "ok").sum()
        yield f"{task} | {n} | {time.perf_counter() - started:.1f} | {finished} of {len(frame)}"


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--critics", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", nargs="*", default=REPRESENTATIONS)
    parser.add_argument("--largest", type=int, default=20, help="log2 of the largest n that is read")
    given = parser.parse_args()
    device, message = resolve(given.device)
    print(f"{message}; {memory_bytes(device) / 2**30:.0f} GiB; PyTorch {torch.__version__}")
    ns = [n for n in (64, 512, 2048, 8192) if n <= 2**given.largest]
    measured = given.critics, given.steps, given.rounds, device
    table(
        "Critics in a pack against one at a time",
        f"{Rates.COLUMNS} | of the bandwidth",
        throughput(*measured),
    )
    table(
        "Drawing data against steps",
        "critics | n | steps | million numbers drawn/s | drawing, s | steps, s | both, s",
        drawing(*measured),
    )
    table(
        "Reading large batches",
        "n | anchors | batches | seconds | million pairs/s",
        large_batches(given.largest, device),
    )
    table(
        f"Tasks of representations: {ESTIMATORS}, three seeds, {given.steps} steps",
        "task | n | seconds | runs that finished",
        representations(given.tasks, ns, given.steps, device),
    )


if __name__ == "__main__":
    main()
