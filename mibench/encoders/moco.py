"""MoCo: which of K + 1 keys is of the same image, the others from a queue?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mibench.batch import Tensors
from mibench.encoders.images import (
    PROJECTED,
    Contrastive,
    against_queue,
    check_momentum,
    copied,
    follow,
    two_views,
)
from mibench.errors import UsageError
from mibench.registry import option
from mibench.tasks.base import HasImages
from mibench.validation import check_sizes


@dataclass(frozen=True)
class MoCo(Contrastive):
    r"""One view of each image asks for the other among K older keys, which a momentum encoder has made.

        L = -1/N sum_i log [ exp(q_i.k_i/t) / (exp(q_i.k_i/t) + sum_(l<=K) exp(q_i.n_l/t)) ]   nats

    q = g(h(view))/|.|, k the same of the other view by a copy of h and g that no gradient changes and that
    follows as theta' <- m theta' + (1 - m) theta. After each step the N keys enter the queue and the oldest N
    leave it. Its own estimate is log(K + 1) - L on unseen images, against the queue as it
    was left: keys of training images or, after few steps, directions drawn at random.

    Ceiling: log(K + 1).

    Raises:
        UsageError: a queue smaller than the batch, momentum outside [0, 1), a temperature or a rate that is
            not positive, sizes below 1, a batch larger than a part.

    Reference: He et al. 2020, arXiv 1911.05722.
    """

    queue: int = option(512, "keys in the queue: the K negatives")
    momentum: float = option(0.99, "of the encoder that makes the keys")

    name = "moco"
    formula: ClassVar[str] = (
        "L = -mean_i log [ exp(q_i.k_i/t) / (exp(q_i.k_i/t) + sum_(l<=K) exp(q_i.n_l/t)) ]"
    )
    ceiling_formula: ClassVar[str] = "log(queue + 1)"
    reference: ClassVar[str] = "He, Fan, Wu, Xie, Girshick 2020, arXiv 1911.05722"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_momentum(self.name, self.momentum)
        check_sizes(self.name, queue=self.queue)
        if self.queue < self.batch:
            raise UsageError(
                f"A queue of {self.queue} keys does not hold a batch of {self.batch}.",
                f"Give queue of at least {self.batch}, or a smaller batch.",
            )

    def state(self, parameters: Tensors, generator: torch.Generator) -> Tensors:
        """Return the momentum encoder, and a queue of random directions."""
        keys = torch.randn(self.queue, PROJECTED, generator=generator)
        return copied(parameters, ("encoder", "head")) | {"queue": normalize(keys, dim=-1)}

    @torch.no_grad()
    def _keys(self, state: Tensors, view: Tensor) -> Tensor:
        return self.project(state, self.encode_x(state, view))

    def loss(self, parameters: Tensors, state: Tensors, batch: Tensors) -> Tensor:
        """Return the loss of each run, (R)."""
        first, second = two_views(parameters, batch)
        query = self.project(parameters, self.encode_x(parameters, first))
        return against_queue(query, self._keys(state, second), state["queue"], self.temperature)

    def after_step(self, parameters: Tensors, state: Tensors, batch: Tensors) -> None:
        """Enqueue the keys that were used, the oldest leaving, and let the momentum encoder follow."""
        keys = self._keys(state, two_views(parameters, batch)[1])
        queue = state["queue"]
        queue.copy_(torch.cat([queue[:, keys.shape[1] :], keys], 1))
        follow(state, parameters, self.momentum)

    def own_ceiling(self, source: HasImages) -> float:
        """Return log(K + 1)."""
        return math.log(self.queue + 1)
