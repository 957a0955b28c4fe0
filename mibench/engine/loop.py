"""The training loop that models and encoders share: plain Adam on all runs at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import torch
from torch import Tensor

from mibench.batch import Tensors

B = TypeVar("B")
Value = Callable[[Tensors, Tensors, B], tuple[Tensor, "Tensors | None"]]
"""Parameters, state and a batch to what each run maximises, (R,), and the outputs computed on the way."""

Report = Callable[[int], None]
"""Called with the number of steps since the last call."""


class Trainer(Generic[B]):
    """The tensors of several runs in training, and the step that changes them.

    Attributes:
        parameters: what gradients change, with a leading run axis.
        state: what runs carry from step to step beside them.
    """

    def __init__(
        self,
        parameters: Tensors,
        state: Tensors,
        value: Value[B],
        lr: float,
        after_step: Callable[[Tensors, Tensors, B], None] | None = None,
    ) -> None:
        self.parameters = {key: tensor.requires_grad_() for key, tensor in parameters.items()}
        self.state = state
        self._value, self._after_step = value, after_step
        device = next(iter(parameters.values())).device
        on_cuda = device.type == "cuda"
        # A captured graph reads the learning rate from memory; elsewhere it is a plain number.
        self.lr: Tensor | None = torch.zeros((), device=device) if on_cuda else None
        self.optimizer = torch.optim.Adam(
            list(parameters.values()), lr=lr if self.lr is None else self.lr, fused=True, capturable=on_cuda
        )

    def set_rate(self, lr: float) -> None:
        """Set the learning rate of the steps that follow."""
        if self.lr is None:
            self.optimizer.param_groups[0]["lr"] = lr
        else:
            self.lr.fill_(lr)

    def step(self, batch: B) -> tuple[Tensor, Tensors | None]:
        """Take one step, and return each run's value (R,) and outputs before it."""
        value, outputs = self._value(self.parameters, self.state, batch)
        detached = None if outputs is None else {key: tensor.detach() for key, tensor in outputs.items()}
        self.optimizer.zero_grad(set_to_none=True)
        # The sum over runs gives every run the gradient that it would have alone.
        (-value.sum()).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self._after_step is not None:
            with torch.no_grad():
                self._after_step(self.parameters, self.state, batch)
        return value.detach(), detached

    def tensors(self) -> list[Tensor]:
        """Return everything that a step changes."""
        optimizer = [tensor for state in self.optimizer.state.values() for tensor in state.values()]
        return [*self.parameters.values(), *self.state.values(), *optimizer]


def train(
    step: Callable[[B, int], Tensor],
    chunks: Iterable[Iterable[B]],
    steps: int,
    report: Report = lambda steps: None,
    watch: Callable[[int], bool] = lambda step: False,
) -> list[int | None]:
    """Take steps on chunks of batches until they, the steps or the runs are at an end.

    Args:
        step: takes one step on a batch, given the number of steps before it, and returns the values (R,).
        chunks: batches, several at a time: whether any run is left is asked once per chunk.
        watch: called after each step with the number of steps; True ends the training.

    Returns:
        For each run the first step, from 1, whose value was not finite; None where all were.
    """
    finite: Tensor | None = None
    done, ended = 0, False
    for chunk in chunks:
        before = done
        for batch in chunk:
            value = step(batch, done)
            if finite is None:
                # One tensor for the whole history: many small ones would leave holes between large ones.
                finite = torch.ones(steps, len(value), dtype=torch.bool, device=value.device)
            finite[done] = value.isfinite()
            done += 1
            if ended := watch(done):
                break
        report(done - before)
        if ended or (finite is not None and not finite[before:done].all(0).any()):
            report(steps - done)
            break  # nothing is left to train
    return [] if finite is None else [first_false(flags) for flags in finite.cpu().unbind(1)]


def first_false(flags: Tensor) -> int | None:
    """Return the place, from 1, of the first flag that is false, None for none."""
    return None if flags.all() else int(flags.to(torch.int8).argmin()) + 1
