"""Training a pack: plain Adam on all runs at once, each run's gradient its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mibench.engine import data
from mibench.engine.device import Step, captured
from mibench.engine.plan import Pack
from mibench.seeding import stream
from mibench.spec import RunSpec

WARM_UP_SHARE = 0.1
START_DIVISOR = 25.0
END_DIVISOR = 250_000.0

Tensors = dict[str, Tensor]
Report = Callable[[int], None]
Watch = Callable[[int, Tensor, "Critics"], bool]
"""Told after each step how many there were, the scores before it, and the critics after it; True ends it."""


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


def train(
    pack: Pack,
    device: torch.device,
    report: Report = lambda steps: None,
    feed: Iterator[data.Batches] | None = None,
    watch: Watch = lambda step, scores, critics: False,
) -> Trained:
    """Train every critic of the pack, on fresh batches unless a feed of others is given.

    `report` is told how many steps have passed since it was last told.
    """
    critics = Critics(pack, device)
    # One tensor for the whole history: small ones, kept step by step, would leave holes between large ones.
    finite = torch.ones(pack.first.steps, len(pack.trainings), dtype=torch.bool, device=device)
    step = 0
    ended = False
    for x, y in feed or fresh_data(pack, device, pack.first.steps):
        before = step
        for batch_x, batch_y in zip(x.unbind(1), y.unbind(1), strict=True):
            objective, scores = critics.step(batch_x, batch_y, learning_rate(pack.first, step))
            finite[step] = objective.isfinite()
            step += 1
            if ended := watch(step, scores, critics):
                break
        report(step - before)
        if ended or not finite[before:step].all(0).any():
            report(pack.first.steps - step)
            break  # nothing is left to train
    return Trained(
        critic={key: value.detach() for key, value in critics.critic.items()},
        learned={key: value.detach() for key, value in critics.learned.items()},
        diverged_at=[first_false(flags) for flags in finite.cpu().unbind(1)],
    )


def initial_critic(pack: Pack) -> Tensors:
    """Return the critics' initial parameters, each run's from its own stream, stacked."""
    runs = [
        pack.critic.initialise(
            *pack.dims,
            stream("initialise", spec.critic.identity, pack.dims, spec.seed),
            pack.dtype,
        )
        for spec in pack.leaders
    ]
    return stacked(runs)


def _initial_learned(pack: Pack) -> Tensors:
    """Return the initial values of what the runs learn beside their critics, stacked."""
    dim_y = pack.dims[1]
    return stacked(
        [
            pack.estimator.learned_tensors(dim_y, stream("learn", spec.estimator.identity, dim_y, spec.seed))
            for spec in pack.leaders
        ]
    )


def stacked(runs: Sequence[Tensors]) -> Tensors:
    """Return the tensors of several runs with a leading run axis."""
    return {key: torch.stack([run[key] for run in runs]) for key in runs[0]}


class Critics:
    """The tensors of a pack in training, and the step that changes them."""

    def __init__(self, pack: Pack, device: torch.device) -> None:
        def placed(tensors: Tensors) -> Tensors:
            return {key: value.to(device, pack.dtype) for key, value in tensors.items()}

        self.pack = pack
        self.critic = placed(initial_critic(pack))
        self.learned = placed(_initial_learned(pack))
        self.carried = placed(stacked([pack.estimator.carried_tensors() for _ in pack.leaders]))
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
        self._captured: Step | None = None

    def step(self, x: Tensor, y: Tensor, lr: float) -> tuple[Tensor, Tensor]:
        """Take one step on x (R, n, dim_x) and y (R, n, dim_y).

        Returns each run's objective (R) and scores (R, n, n) before it; where the step is captured, the next
        one overwrites them.
        """
        if self.lr is None:
            self.optimizer.param_groups[0]["lr"] = lr
            return self._step(x, y)
        self.lr.fill_(lr)
        if self._captured is None:
            self._captured = captured(self._step, x, y, self._state)
        return self._captured(x, y)

    def scores(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the scores of every run as objective and read-out see them."""
        return scores_of(self.pack, self.critic, self.learned, x, y)

    def _step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        estimator = self.pack.estimator
        scores = self.scores(x, y)
        objective = estimator.objective(scores, self.carried)
        self.optimizer.zero_grad(set_to_none=True)
        # The sum over runs gives every run the gradient that it would have alone.
        (-objective.sum()).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return objective.detach(), scores.detach()

    def _state(self) -> list[Tensor]:
        optimizer = [value for state in self.optimizer.state.values() for value in state.values()]
        return [*self.critic.values(), *self.learned.values(), *self.carried.values(), *optimizer]


def scores_of(pack: Pack, critic: Tensors, learned: Tensors, x: Tensor, y: Tensor) -> Tensor:
    """Return the scores of every run, (R, n, n), as objective and read-out see them."""
    return pack.estimator.corrected(pack.critic.scores(critic, x, y), y, learned)


def fresh_data(pack: Pack, device: torch.device, steps: int) -> Iterator[data.Batches]:
    """Yield x (R, steps, n, dim_x) and y (R, steps, n, dim_y) for some steps at a time, fresh at each."""
    feeds = [
        data.batches(task.training, spec, "train", steps, pack.steps_at_once, pack.dtype)
        for task, spec in zip(pack.tasks, pack.leaders, strict=True)
    ]
    return data.stacked(feeds, device, pack.dtype)


def first_false(flags: Tensor) -> int | None:
    """Return the place, from 1, of the first flag that is false, None for none."""
    return None if flags.all() else int(flags.to(torch.int8).argmin()) + 1
