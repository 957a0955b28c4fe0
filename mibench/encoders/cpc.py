"""Contrastive predictive coding: a summary of the past that distinguishes its future from others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from mibench.batch import Tensors
from mibench.encoders.base import Encoder
from mibench.errors import UsageError
from mibench.networks import initialise, mlp, mlp_shapes
from mibench.registry import option
from mibench.scores import positives
from mibench.tasks.base import HasSequences, Task
from mibench.validation import check_sizes, check_training


@dataclass(frozen=True)
class CPCEncoder(Encoder[HasSequences]):
    r"""CPC: an encoder, a GRU and one bilinear critic a horizon, trained together by InfoNCE.

        z_t = g_enc(x_t),   c_t = GRU(z_1, ..., z_t),   f_k(z_(t+k), c_t) = z_(t+k)' W_k c_t,   k = 1..K,

        loss = mean_k mean_i [ log sum_j exp f_k(z_j, c_i) - f_k(z_i, c_i) ],

    where j runs over the n sequences of the batch (`negatives=sequences`), or over all steps of the sequence
    itself (`negatives=times`). The frozen pair is (c_t, y): the other side stays as the task has it.

    The recipe's own estimate is log n - loss at the task's horizon, n the number of candidates: a lower bound
    on I(past; x_(t+k)), below log n, where negatives are other sequences. Other times of the same sequence
    depend on c_t and so are no samples of the marginal: what is then read is no bound, and lies above the
    truth at long horizons.

    Raises:
        UsageError: sizes below 1, a rate that is not positive, more horizons than the sequence has.

    Reference: van den Oord et al. 2018, arXiv 1807.03748.
    """

    dim: int = option(32, "dimension of the context c_t")
    code: int = option(16, "dimension of z_t")
    hidden: int = option(64, "width of the hidden layer of g_enc")
    horizons: int = option(8, "K, number of steps to predict ahead")
    negatives: Literal["sequences", "times"] = option(
        "sequences", "where the negatives come from: sequences or times"
    )
    batch: int = option(256, "sequences in a batch")
    steps: int = option(600, "training steps")
    lr: float = option(3e-3, "Adam's rate, constant")

    name = "cpc"
    formula: ClassVar[str] = "mean_k InfoNCE of f_k = z_(t+k)' W_k c_t"
    ceiling_formula: ClassVar[str] = "log batch, or log length for negatives=times"
    source: ClassVar[str] = "sequences"
    reference: ClassVar[str] = "van den Oord, Li, Vinyals 2018, arXiv 1807.03748"

    def __post_init__(self) -> None:
        check_sizes(
            self.name,
            dim=self.dim,
            code=self.code,
            hidden=self.hidden,
            horizons=self.horizons,
            batch=self.batch,
        )
        check_training(self.name, self.steps, self.lr)

    def check(self, task: Task) -> None:
        """Raise a UsageError where there are no sequences, or they are too short."""
        super().check(task)
        source: HasSequences = task.encoder_source(training=True)
        length, past = source.length, source.past
        if past + self.horizons > length:
            raise UsageError(
                f"Encoder 'cpc' predicts {self.horizons} steps ahead; sequences of task {task.name!r} have "
                f"{length - past} after the past of {past}.",
                f"Give cpc[horizons={length - past}], or a task with length={past + self.horizons} or more.",
            )

    def dims(self, source: HasSequences) -> tuple[int, int]:
        """Return the dimension of the context, and that of y as it is."""
        return self.dim, source.dim_y

    def initialise(self, source: HasSequences, generator: torch.Generator) -> Tensors:
        """Return the parameters of one run."""
        shapes = {
            **mlp_shapes("encode", [source.observed, self.hidden, self.code]),
            "gru.input": (self.code, 3 * self.dim, self.dim),
            "gru.state": (self.dim, 3 * self.dim, self.dim),
            "gru.bias": (1, 3 * self.dim, self.dim),
            **{f"critic.{k}": (self.dim, self.code, self.dim) for k in range(1, self.horizons + 1)},
        }
        return initialise(shapes, generator, torch.float32)

    def draw(self, source: HasSequences, generator: torch.Generator) -> Tensors:
        """Return a batch of sequences, and where the past ends."""
        sequences = source.sequences(self.batch, generator)
        return {"past": sequences[:, : source.past], "future": sequences[:, source.past :]}

    def encode_x(self, parameters: Tensors, x: Tensor) -> Tensor:
        """Return the context of each flattened past: (R, n, past * observed) -> (R, n, dim)."""
        observed = parameters["encode.0.weight"].shape[1]
        return self._context(parameters, self._codes(parameters, x.view(*x.shape[:2], -1, observed)))

    def encode_y(self, parameters: Tensors, y: Tensor) -> Tensor:
        """Return y."""
        return y

    def loss(self, parameters: Tensors, state: Tensors, batch: Tensors) -> Tensor:
        """Return the mean of the losses of all horizons."""
        past, future = self._codes(parameters, batch["past"]), self._codes(parameters, batch["future"])
        context = self._context(parameters, past)
        losses = [self._loss_at(parameters, k, context, past, future) for k in range(1, self.horizons + 1)]
        return torch.stack(losses).mean(0)

    @torch.no_grad()
    def own_estimate(
        self,
        source: HasSequences,
        parameters: Tensors,
        state: Tensors,
        batch: Tensors,
    ) -> Tensor | None:
        """Return log n - loss at the horizon of the task, None if it was not trained for."""
        if source.horizon > self.horizons:
            return None
        past, future = self._codes(parameters, batch["past"]), self._codes(parameters, batch["future"])
        context = self._context(parameters, past)
        candidates = self.batch if self.negatives == "sequences" else source.length
        return math.log(candidates) - self._loss_at(parameters, source.horizon, context, past, future)

    def own_ceiling(self, source: HasSequences) -> float:
        """Return log n, n the number of candidates."""
        return math.log(self.batch if self.negatives == "sequences" else source.length)

    def _loss_at(self, parameters: Tensors, k: int, context: Tensor, past: Tensor, future: Tensor) -> Tensor:
        """Return the loss of horizon k: context (R, n, dim), codes of past and future (R, n, steps, code)."""
        query = context @ parameters[f"critic.{k}"]
        if self.negatives == "sequences":
            scores = query @ future[:, :, k - 1].mT
            return (scores.logsumexp(-1) - positives(scores)).mean(-1)
        scores = torch.cat([past, future], 2) @ query[..., None]
        at = past.shape[2] + k - 1
        return (scores.logsumexp(2) - scores[:, :, at]).mean((1, 2))

    def _codes(self, parameters: Tensors, seen: Tensor) -> Tensor:
        """Return g_enc of observations, (R, n, steps, observed) -> (R, n, steps, code)."""
        return mlp(parameters, "encode", seen.flatten(1, 2)).view(*seen.shape[:3], -1)

    def _context(self, parameters: Tensors, codes: Tensor) -> Tensor:
        """Return the last state of the GRU over codes (R, n, steps, code), (R, n, dim)."""
        inputs = torch.baddbmm(parameters["gru.bias"], codes.flatten(1, 2), parameters["gru.input"])
        state = inputs.new_zeros(*codes.shape[:2], self.dim)
        for of_step in inputs.view(*codes.shape[:3], -1).unbind(2):
            reset, update, new = of_step.chunk(3, -1)
            own_reset, own_update, own_new = (state @ parameters["gru.state"]).chunk(3, -1)
            update = torch.sigmoid(update + own_update)
            new = torch.tanh(new + torch.sigmoid(reset + own_reset) * own_new)
            state = (1 - update) * new + update * state
        return state
