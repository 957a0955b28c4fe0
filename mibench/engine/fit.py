"""Training a pack: the models of all runs as one tensor program, each run's gradient its own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mibench.batch import Batch, Tensors
from mibench.engine.data import Batches, Chunk, stack_runs, training_chunks
from mibench.engine.device import Step, captured
from mibench.engine.loop import Report, Trainer, train
from mibench.engine.plan import Pack
from mibench.seeding import stream
from mibench.spec import Fit

WARM_UP_SHARE = 0.1
START_DIVISOR = 25.0
END_DIVISOR = 250_000.0

Watch = Callable[[int, Batch, Tensors, Tensors], bool]
"""Called after each step with its number, its batch, the outputs before it and the parameters after it; True
ends the training."""


@dataclass(frozen=True)
class Fitted:
    """What training leaves: parameters with a leading run axis, none where nothing is trained.

    Attributes:
        diverged_at: for each run the first step, from 1, whose objective was not finite, or None.
        seconds: how long the training of the whole pack took.
    """

    parameters: Tensors
    diverged_at: list[int | None]
    seconds: float = 0.0

    def at(self, places: list[int]) -> Fitted:
        """Return what training left at some places on the run axis."""
        if places == list(range(len(self.diverged_at))):
            return self
        parameters = {key: tensor[places] for key, tensor in self.parameters.items()}
        return Fitted(parameters, [self.diverged_at[place] for place in places], self.seconds)


def learning_rate(fit: Fit, step: int) -> float:
    """Return the learning rate of a step, counted from 0.

    The one-cycle schedule rises along a half cosine from lr/25 to lr over the first tenth of the steps and
    falls along another to lr/250,000 (Smith & Topin 2017, arXiv 1708.07120).
    """
    if fit.schedule == "constant":
        return fit.lr
    warm_up = WARM_UP_SHARE * (fit.steps - 1)
    if step < warm_up:
        return _cosine(fit.lr / START_DIVISOR, fit.lr, step / warm_up)
    past = (step - warm_up) / max(fit.steps - 1 - warm_up, 1)
    return _cosine(fit.lr, fit.lr / END_DIVISOR, past)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def fit(
    pack: Pack,
    device: torch.device,
    report: Report = lambda steps: None,
    chunks: Iterator[Chunk] | None = None,
    watch: Watch | None = None,
) -> Fitted:
    """Train every model of the pack, on fresh batches unless chunks of others are given."""
    objective, model = pack.objective, pack.applied_model
    if objective is None:
        return Fitted({}, [None] * len(pack.trainings))
    started = time.perf_counter()
    last: tuple[Batch, Tensors] | None = None

    def value(parameters: Tensors, state: Tensors, batch: Batch) -> tuple[Tensor, Tensors | None]:
        found, outputs = objective.value(model, parameters, state, batch)
        if outputs is None and watch is not None:
            with torch.no_grad():
                outputs = objective.outputs(model, parameters, batch)
        return found, outputs

    trainer: Trainer[Batch] = Trainer(
        _placed(initial_parameters(pack), device, pack.dtype),
        _placed(stack_runs([objective.state() for _ in pack.leaders]), device, pack.dtype),
        value,
        pack.fit.lr,
    )
    take: Step = trainer.step

    def step(batch: Batch, done: int) -> Tensor:
        nonlocal last, take
        trainer.set_rate(learning_rate(pack.fit, done))
        # Outputs that are tiles are computed when they are read, which a captured step would not see.
        if device.type == "cuda" and done == 0 and not pack.in_tiles:
            take = captured(trainer.step, batch, trainer.tensors)
        found, outputs = take(batch)
        last = batch, outputs or {}
        return found

    batches = Batches(pack, "train", device)
    fed = (batches.of(x, y) for x, y in chunks or training_chunks(pack, device, pack.steps))

    def ended(done: int) -> bool:
        return watch is not None and last is not None and watch(done, *last, trainer.parameters)

    diverged_at = train(step, fed, pack.steps, report, ended)
    parameters = {key: tensor.detach() for key, tensor in trainer.parameters.items()}
    return Fitted(parameters, diverged_at, time.perf_counter() - started)


def initial_parameters(pack: Pack) -> Tensors:
    """Return what gradients change, each run's from its own streams, stacked: the model's, then the rest."""
    objective, model, dims = pack.objective, pack.model, pack.dims
    assert objective is not None
    assert model is not None
    runs = []
    for spec in pack.leaders:
        weights = stream("initialise", pack.fit.model.identity, (dims.x, dims.y), spec.seed)
        beside = stream("learn", objective.identity, dims.y, spec.seed)
        own = model.initialise(dims, weights, pack.dtype)
        learned = objective.learned(dims, beside)
        if own.keys() & learned.keys():
            raise ValueError(
                f"model and objective both have parameters {sorted(own.keys() & learned.keys())}"
            )
        runs.append(own | learned)
    return stack_runs(runs)


def _placed(tensors: Tensors, device: torch.device, dtype: torch.dtype) -> Tensors:
    return {key: value.to(device, dtype) for key, value in tensors.items()}
