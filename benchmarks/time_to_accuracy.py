"""Time to the accuracy of 20,000 steps of the plain loop (InfoNCE, separable, d = 20, I = 4, n = 64).

python -m benchmarks.time_to_accuracy

All are evaluated on the same fresh batches. The numbers of steps of the packs are fixed in advance.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean, stdev

import torch

from benchmarks.loop import Separable, parameters, steps
from benchmarks.packs import pack
from mibench.engine.device import resolve
from mibench.engine.fit import Fitted, fit
from mibench.engine.plan import Pack
from mibench.engine.read import read_out
from mibench.presets import PRESETS

N, MI = 64, 4.0
FAST = PRESETS["fast"]


def interval(values: list[float]) -> str:
    """Return mean and standard error."""
    return f"{mean(values):.3f} ±{stdev(values) / len(values) ** 0.5:.3f}"


@dataclass
class Side:
    """What is trained, and what was measured of it, turn by turn.

    Attributes:
        title, steps: what the table says of it.
        wall, processor: seconds per critic.
        gaps: estimate - oracle of every critic, in nats.
    """

    title: str
    steps: int
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)

    def measure(self, pack: Pack, train: Callable[[], Fitted], device: torch.device) -> None:
        """Train the critics of a pack, and read them."""
        wall, processor = time.perf_counter(), time.process_time()
        trained = train()
        self.wall.append((time.perf_counter() - wall) / len(pack.specs))
        self.processor.append((time.process_time() - processor) / len(pack.specs))
        ((_, read),) = pack.readings()
        self.gaps += [one.estimate - one.oracle for one in read_out(read, trained, device).values()]

    def row(self) -> str:
        """Return a row of a Markdown table."""
        critics = len(self.gaps) // len(self.wall)
        seconds = f"{mean(self.wall):.2f} | {mean(self.processor):.2f}"
        return f"| {self.title} | {critics} | {self.steps} | {seconds} | {interval(self.gaps)} |"

    def faster(self, loop: Side) -> str:
        """Return how many times less than the loop it takes, turn by turn."""
        ratios = {
            "wall": [a / b for a, b in zip(loop.wall, self.wall, strict=True)],
            "processor": [a / b for a, b in zip(loop.processor, self.processor, strict=True)],
        }
        texts = (f"{kind} {', '.join(f'{ratio:.1f}' for ratio in found)}" for kind, found in ratios.items())
        return f"{self.title}: {'; '.join(texts)}"


def loop(critic: Separable, count: int, device: torch.device) -> Fitted:
    """Train a critic by the plain loop."""
    for _ in itertools.islice(steps(critic, N, MI, device), count):
        pass
    return Fitted(parameters(critic), [None])


def main() -> None:
    """Print times per critic, accuracies, and the ratio of the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=1500, help="steps of the pack")
    parser.add_argument("--loop-steps", type=int, default=20_000)
    parser.add_argument("--critics", type=int, default=3, help="how many the loop trains, one at a time")
    given = parser.parse_args()
    device, message = resolve(given.device)
    print(f"{message}; PyTorch {torch.__version__}\n")
    fit(pack("separable", N, 2, None, device), device)  # imports and allocations

    alone = Side("loop, constant 5e-4", given.loop_steps)
    usual = Side("pack, one-cycle", given.steps)
    preset = Side("pack, preset fast", FAST.steps)
    for turn in range(given.critics):
        torch.manual_seed(turn)
        seed, critic = 1000 * turn, Separable().to(device)
        one = pack("separable", N, 1, 1, device, seed)
        alone.measure(one, functools.partial(loop, critic, given.loop_steps, device), device)
        ours = pack("separable", N, given.steps, None, device, seed)
        usual.measure(ours, functools.partial(fit, ours, device), device)
        fast = pack("separable", N, FAST.steps, None, device, seed, FAST.train_n, FAST.lr)
        preset.measure(fast, functools.partial(fit, fast, device), device)
    print("| | critics at once | steps | seconds per critic | processor seconds | estimate - oracle, nats |")
    print("|---|---:|---:|---:|---:|---:|")
    for side in (alone, usual, preset):
        print(side.row())
    print("\nTimes less than the loop, turn by turn:\n")
    for side in (usual, preset):
        print(f"- {side.faster(alone)}")


if __name__ == "__main__":
    main()
