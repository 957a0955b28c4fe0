"""Which recipe of training comes nearest to the exact value in equal time: a search by successive halving.

    OMP_NUM_THREADS=1 python -m benchmarks.recipes

A recipe says how many rows a step has, how many steps there are, and what Adam does. Every recipe trains the
same critics, which are read at n = 64 on the same unseen batches. Its error is the root mean square, over
seeds, of the estimate less the value at the exact density ratio. Errors and processor times are relative to
those of the default (64 rows, 1000 steps, one-cycle up to 2e-3); their means over the cases are geometric.
"""

from __future__ import annotations

import argparse
import functools
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from statistics import geometric_mean
from unittest import mock

import torch

import mibench
from mibench.api.encode import encode
from mibench.batch import Batch, Tensors
from mibench.engine.data import Chunk, chunks, stacked
from mibench.engine.fit import Fitted, fit
from mibench.engine.plan import Pack
from mibench.engine.read import read_out

N = 64

CASES: dict[str, dict[str, object]] = {
    "infonce, gaussian, 4 nats": {"estimator": "infonce", "task": "gaussian", "mi": 4},
    "infonce, gaussian, 8 nats": {"estimator": "infonce", "task": "gaussian", "mi": 8},
    "nwj, gaussian, 2 nats": {"estimator": "nwj", "task": "gaussian", "mi": 2},
    "smile, cubic, 4 nats": {"estimator": "smile", "task": "cubic", "mi": 4},
    "infonce, linear-encoder": {"estimator": "infonce", "task": "linear-encoder"},
    "infonce, bigram": {"estimator": "infonce", "task": "bigram"},
    "nwj, cpc": {"estimator": "nwj", "task": "cpc[horizon=1]", "encoder": "none"},
    "infonce, digits": {"estimator": "infonce", "task": "digits", "encoder": "supervised"},
}


@dataclass(frozen=True)
class Recipe:
    """How a critic is trained.

    Attributes:
        rows: of a training batch; of several numbers each has an equal share of the steps.
        betas: Adam's.
        averaged: the share of the steps, at the end, whose parameters are averaged; 0 reads the last ones.
    """

    rows: tuple[int, ...] = (N,)
    steps: int = 1000
    lr: float = 2e-3
    schedule: str = "one-cycle"
    betas: tuple[float, float] = (0.9, 0.999)
    averaged: float = 0.0

    def scaled(self, share: float) -> Recipe:
        """Return the recipe with another number of steps."""
        return replace(self, steps=round(self.steps * share))

    def __str__(self) -> str:
        words = ["/".join(map(str, self.rows)), f"{self.steps} steps", f"{self.lr:g} {self.schedule}"]
        if self.betas != Recipe.betas:
            words.append("betas {:g}, {:g}".format(*self.betas))
        if self.averaged:
            words.append(f"last {self.averaged:.0%} averaged")
        return ", ".join(words)


DEFAULT = Recipe()


class Average:
    """The mean of the parameters after the last steps, as what `fit` calls after each."""

    def __init__(self, first: int) -> None:
        self._first, self._count = first, 0
        self.parameters: Tensors = {}

    @torch.no_grad()
    def __call__(self, step: int, batch: Batch, outputs: Tensors, parameters: Tensors) -> bool:
        """Take in the parameters after a step; training never ends early."""
        if step > self._first:
            self._count += 1
            for key, value in parameters.items():
                self.parameters.setdefault(key, torch.zeros_like(value)).lerp_(value, 1 / self._count)
        return False


class Case:
    """An estimator on a task at some seeds; what is random in it is the same for all recipes."""

    def __init__(self, settings: dict[str, object], seeds: int) -> None:
        self._settings = settings | {"n": N, "seeds": seeds, "device": "cpu"}
        self._device = torch.device("cpu")
        planned = mibench.plan(**self._settings)  # type: ignore[arg-type]
        self._source = encode(planned.specs, planned)

    def _pack(self, recipe: Recipe, rows: int) -> Pack:
        how = {"steps": recipe.steps, "lr": recipe.lr, "schedule": recipe.schedule, "train_n": rows}
        specs = mibench.plan(**self._settings, **how).specs  # type: ignore[arg-type]
        return Pack(tuple((spec,) for spec in specs), self._source)

    def measure(self, recipe: Recipe) -> tuple[float, float]:
        """Return the error of a recipe in nats, and its processor seconds per critic."""
        pack = self._pack(recipe, recipe.rows[0])
        average = Average(round(recipe.steps * (1 - recipe.averaged))) if recipe.averaged else None
        started = time.process_time()
        with adam(recipe.betas):
            fitted = fit(pack, self._device, chunks=self._growing(recipe), watch=average)
        taken = (time.process_time() - started) / len(pack.trainings)
        if average is not None:
            fitted = Fitted(average.parameters, fitted.diverged_at)
        ((_, read),) = pack.readings()
        found = read_out(read, fitted, self._device).values()
        return math.sqrt(sum((one.estimate - one.oracle) ** 2 for one in found) / len(found)), taken

    def _growing(self, recipe: Recipe) -> Iterator[Chunk]:
        """Yield training batches that grow from phase to phase."""
        phases = len(recipe.rows)
        edges = [round(phase * recipe.steps / phases) for phase in range(phases + 1)]
        for phase, rows in enumerate(recipe.rows):
            pack, steps = self._pack(recipe, rows), edges[phase + 1] - edges[phase]
            feeds = [
                chunks(pair.for_training, leader, f"train {phase}", steps, pack.steps_at_once, pack.dtype)
                for pair, leader in zip(pack.pairs, pack.leaders, strict=True)
            ]
            yield from stacked(feeds, self._device, pack.dtype)


def adam(betas: tuple[float, float]) -> AbstractContextManager[object]:
    """Let Adam use other betas: the engine has no such setting."""
    return mock.patch.object(torch.optim, "Adam", functools.partial(torch.optim.Adam, betas=betas))


@dataclass
class Score:
    """What a recipe does in all cases, relative to the default."""

    recipe: Recipe
    errors: list[float]
    seconds: list[float]

    @property
    def error(self) -> float:
        """The geometric mean of the relative errors."""
        return geometric_mean(self.errors)

    @property
    def time(self) -> float:
        """The geometric mean of the relative processor times."""
        return geometric_mean(self.seconds)

    def row(self) -> str:
        """Return a row of a Markdown table."""
        each = " | ".join(f"{value:.2f}" for value in self.errors)
        return f"| {self.recipe} | {self.time:.2f} | {self.error:.2f} | {each} |"


class Search:
    """Measures recipes on all cases, beside the default."""

    def __init__(self, names: Sequence[str], seeds: int) -> None:
        self._cases = {name: Case(CASES[name], seeds) for name in names}
        for case in self._cases.values():
            case.measure(replace(DEFAULT, steps=2))  # imports and allocations
        self._usual = [case.measure(DEFAULT) for case in self._cases.values()]

    def show_cases(self) -> None:
        """Print what the default reaches, and the head of the table."""
        for name, (error, seconds) in zip(self._cases, self._usual, strict=True):
            print(f"{name}: {DEFAULT} leaves {error:.4f} nats in {seconds:.2f} s a critic")
        names = " | ".join(self._cases)
        print(f"\n| recipe | time | error | {names} |\n|---|{'---:|' * (2 + len(self._cases))}", flush=True)

    def score(self, recipe: Recipe) -> Score:
        """Measure a recipe on every case, and print its row."""
        pairs = [
            (error / usual_error, seconds / usual_seconds)
            for case, (usual_error, usual_seconds) in zip(self._cases.values(), self._usual, strict=True)
            for error, seconds in [case.measure(recipe)]
        ]
        found = Score(recipe, *map(list, zip(*pairs, strict=True)))
        print(found.row(), flush=True)
        return found

    def best(self, recipes: Sequence[Recipe], keep: int) -> list[Recipe]:
        """Return the recipes with the smallest errors; all do the same work, so their times are close."""
        scores = sorted(map(self.score, recipes), key=lambda score: score.error)
        return [score.recipe for score in scores[:keep]]


def peaks(rows: int, work: int) -> list[Recipe]:
    """Return recipes with steps of so many rows, and of `work` rows in all, at several peak rates."""
    return [Recipe((rows,), work // rows, lr) for lr in (1e-3, 2e-3, 4e-3, 8e-3)]


def variants(recipe: Recipe) -> list[Recipe]:
    """Return a recipe, and what else may help at the same work: Adam's betas, averages, growing batches."""
    (rows,) = recipe.rows
    return [
        recipe,
        replace(recipe, betas=(0.9, 0.99)),
        replace(recipe, betas=(0.95, 0.95)),
        replace(recipe, averaged=0.1),
        replace(recipe, schedule="constant", averaged=0.5),
        replace(recipe, rows=(rows // 2, 3 * rows // 2)),
    ]


def main() -> None:
    """Print a row per recipe: first rates at half the default's work, then variants, then lengths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=int, default=32_000, help="rows that a critic sees in the first round")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # so that processor time is that of the training
    search = Search(arguments.cases, arguments.seeds)
    search.show_cases()
    # Of each size of a step the best peak goes on: long trainings favour larger steps than short ones.
    kept = [search.best(peaks(rows, arguments.work), 1)[0] for rows in (64, 128, 256, 512)]
    kept = search.best([recipe.scaled(2) for recipe in kept], 2)
    kept = search.best([other for recipe in kept for other in variants(recipe)], 2)
    search.best([recipe.scaled(share) for recipe in kept for share in (0.5, 2)], 1)


if __name__ == "__main__":
    main()
