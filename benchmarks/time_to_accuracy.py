"""Time to the accuracy of 20,000 steps of the plain loop (InfoNCE, separable, d = 20, I = 4, n = 64).

python -m benchmarks.time_to_accuracy

Both are evaluated on the same fresh batches. The pack's number of steps is fixed in advance.
"""

from __future__ import annotations

import argparse
import itertools
import time
from statistics import mean, stdev

import torch

from benchmarks.loop import Separable, parameters, steps
from benchmarks.packs import pack
from mibench.engine.device import resolve
from mibench.engine.fit import Fitted, fit
from mibench.engine.read import read_out

N, MI, LOOP_STEPS = 64, 4.0, 20_000


def interval(values: list[float]) -> str:
    """Return mean and standard error."""
    return f"{mean(values):.3f} ±{stdev(values) / len(values) ** 0.5:.3f}"


def main() -> None:
    """Print times per critic, accuracies, and the ratio of the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=1500, help="steps of the pack")
    parser.add_argument("--critics", type=int, default=3, help="how many the loop trains, one at a time")
    arguments = parser.parse_args()
    device, message = resolve(arguments.device)
    print(f"{message}; PyTorch {torch.__version__}\n")
    fit(pack("separable", N, 2, None, device), device)  # imports and allocations

    loop_seconds, loop_gaps, pack_seconds, pack_gaps, ratios = [], [], [], [], []
    for turn in range(arguments.critics):
        torch.manual_seed(turn)
        critic = Separable().to(device)
        started = time.perf_counter()
        for _ in itertools.islice(steps(critic, N, MI, device), LOOP_STEPS):
            pass
        loop_seconds.append(time.perf_counter() - started)
        alone = pack("separable", N, 1, 1, device, first_seed=1000 * turn)
        (readout,) = read_out(alone, Fitted(parameters(critic), [None]), device).values()
        loop_gaps.append(readout.estimate - readout.oracle)

        ours = pack("separable", N, arguments.steps, None, device, first_seed=1000 * turn)
        started = time.perf_counter()
        trained = fit(ours, device)
        pack_seconds.append((time.perf_counter() - started) / len(ours.specs))
        pack_gaps += [one.estimate - one.oracle for one in read_out(ours, trained, device).values()]
        ratios.append(loop_seconds[-1] / pack_seconds[-1])
    print("| | steps | seconds per critic | estimate - oracle, nats |")
    print("|---|---:|---:|---:|")
    print(f"| loop, constant 5e-4 | {LOOP_STEPS} | {mean(loop_seconds):.2f} | {interval(loop_gaps)} |")
    runs, taken = len(pack_gaps) // arguments.critics, mean(pack_seconds)
    print(f"| pack of {runs}, one-cycle | {arguments.steps} | {taken:.2f} | {interval(pack_gaps)} |")
    print(f"\nratio of times, turn by turn: {', '.join(f'{ratio:.1f}' for ratio in ratios)}")


if __name__ == "__main__":
    main()
