"""Training a pack: plain Adam on all runs at once, each run's gradient its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mibench.engine import data
from mibench.engine.device import captured, keep_freed_memory
from mibench.engine.plan import Pack
from mibench.seeding import stream
from mibench.spec import RunSpec

WARM_UP_SHARE = 0.1
START_DIVISOR = 25.0
END_DIVISOR = 250_000.0

Tensors = dict[str, Tensor]
Report = Callable[[int], None]


@dataclass(frozen=True)
class Trained:
    """What training leaves: tensors with a leading run axis, and the runs that failed on the way.

    `diverged_at` has, for each run, the first step (from 1) whose objective was not finite, or None.
    """

    critic: Tensors
    learned: Tensors
    diverged_at: list[int | None]


def learning_rate(spec: RunSpec, step: int) -> float:
    """Return the learning rate of a step, counted from 0.

    The one-cycle schedule rises along a half cosine from lr/25 to lr over the first tenth of the steps and
    falls along another to lr/250,000 (Smith & Topin 2017, arXiv 1708.07120).
    """
    if spec.schedule == "constant":
        return spec.lr
    warm_up = WARM_UP_SHARE * (spec.steps - 1)
    if step < warm_up:
        return _cosine(spec.lr / START_DIVISOR, spec.lr, step / warm_up)
    past = (step - warm_up) / max(spec.steps - 1 - warm_up, 1)
    return _cosine(spec.lr, spec.lr / END_DIVISOR, past)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def train(pack: Pack, device: torch.device, report: Report = lambda steps: None) -> Trained:
    """Train every run of the pack; `report` is told how many steps have passed since it was last told."""
    if device.type == "cpu":
        keep_freed_memory()
    training = _Training(pack, device)
    history = []
    step = 0
    for x, y in _training_data(pack, device):
        for batch_x, batch_y in zip(x.unbind(1), y.unbind(1), strict=True):
            history.append(training.step(batch_x, batch_y, learning_rate(pack.first, step)))
            step += 1
        report(x.shape[1])
        if not torch.stack(history[-x.shape[1] :]).isfinite().all(0).any():
            break  # no run is left to train
    objective = torch.stack(history).isfinite().cpu()
    return Trained(
        critic={key: value.detach() for key, value in training.critic.items()},
        learned={key: value.detach() for key, value in training.learned.items()},
        diverged_at=[_first_false(finite) for finite in objective.unbind(1)],
    )


def initial_critic(pack: Pack) -> Tensors:
    """Return the critics' initial parameters, each run's from its own stream, stacked."""
    runs = [
        pack.critic.initialise(
            *pack.dims,
            stream("initialise", spec.critic.identity, pack.dims, spec.seed),
            pack.dtype,
        )
        for spec in pack.specs
    ]
    return {key: torch.stack([run[key] for run in runs]) for key in runs[0]}


class _Training:
    """The tensors of a pack in training, and the step that changes them."""

    def __init__(self, pack: Pack, device: torch.device) -> None:
        def repeated(tensors: Tensors) -> Tensors:
            shape = (len(pack.specs),)
            return {
                key: value.to(device, pack.dtype).repeat(shape + (1,) * value.ndim)
                for key, value in tensors.items()
            }

        self.pack = pack
        self.critic = {key: value.to(device) for key, value in initial_critic(pack).items()}
        self.learned = repeated(pack.estimator.learned_tensors())
        self.carried = repeated(pack.estimator.carried_tensors())
        trained = [*self.critic.values(), *self.learned.values()]
        for tensor in trained:
            tensor.requires_grad_()
        on_cuda = device.type == "cuda"
        # A captured graph reads the learning rate from memory; elsewhere it is a plain number.
        self.lr: Tensor | None = torch.zeros((), device=device, dtype=torch.float32) if on_cuda else None
        self.optimizer = torch.optim.Adam(
            trained,
            lr=pack.first.lr if self.lr is None else self.lr,
            fused=True,
            capturable=on_cuda,
        )
        self._captured: Callable[[Tensor, Tensor], Tensor] | None = None

    def step(self, x: Tensor, y: Tensor, lr: float) -> Tensor:
        """Take one step on x (R, n, dim_x) and y (R, n, dim_y); return each run's objective before it."""
        if self.lr is None:
            self.optimizer.param_groups[0]["lr"] = lr
            return self._step(x, y)
        self.lr.fill_(lr)
        if self._captured is None:
            self._captured = captured(self._step, x, y, self._state)
        return self._captured(x, y).clone()

    def _step(self, x: Tensor, y: Tensor) -> Tensor:
        estimator = self.pack.estimator
        scores = estimator.corrected(self.pack.critic.scores(self.critic, x, y), self.learned)
        objective = estimator.objective(scores, self.carried)
        self.optimizer.zero_grad(set_to_none=True)
        # The sum over runs gives every run the gradient that it would have alone.
        (-objective.sum()).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return objective.detach()

    def _state(self) -> list[Tensor]:
        optimizer = [value for state in self.optimizer.state.values() for value in state.values()]
        return [*self.critic.values(), *self.learned.values(), *self.carried.values(), *optimizer]


def _training_data(pack: Pack, device: torch.device) -> Iterator[data.Batches]:
    """Yield x (R, steps, n, dim_x) and y (R, steps, n, dim_y) for some steps at a time."""
    feeds = [
        data.batches(task, spec, "train", spec.steps, pack.steps_at_once, pack.dtype)
        for task, spec in zip(pack.tasks, pack.specs, strict=True)
    ]
    return data.stacked(feeds, device, pack.dtype)


def _first_false(flags: Tensor) -> int | None:
    return None if flags.all() else int(flags.to(torch.int8).argmin()) + 1
