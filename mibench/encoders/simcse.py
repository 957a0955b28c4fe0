"""SimCSE: two dropout masks of one image are its two views."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mibench.batch import Tensors
from mibench.convolution import feature_count, features, linear
from mibench.encoders.images import (
    Contrastive,
    one_way,
)
from mibench.errors import UsageError
from mibench.registry import option
from mibench.tasks.base import HasImages


@dataclass(frozen=True)
class SimCSE(Contrastive):
    r"""The same image twice through the network, under two dropout masks of the convolutions' features.

        L = -1/N sum_i log [ exp(u_i . v_i / t) / sum_j exp(u_i . v_j / t) ]   nats

    with u and v the projections g(z)/|g(z)| under the first and the second mask; the positive is among the N.
    Nothing else differs between the views, and representations are made without dropout. Its own estimate
    is log N - L on unseen images, with masks.

    Ceiling: log N.

    Raises:
        UsageError: dropout outside (0, 1), a temperature or a rate that is not positive, sizes below 1, a
            batch larger than a part.

    Reference: Gao, Yao & Chen 2021, arXiv 2104.08821.
    """

    dropout: float = option(0.1, "share of the features that a mask sets to 0")

    name = "simcse"
    formula: ClassVar[str] = "L = -mean_i log [ exp(u_i.v_i/t) / sum_j exp(u_i.v_j/t) ], u, v by two masks"
    ceiling_formula: ClassVar[str] = "log batch"
    reference: ClassVar[str] = "Gao, Yao, Chen 2021, arXiv 2104.08821"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.dropout < 1:
            raise UsageError(
                f"dropout of 'simcse' must lie between 0 and 1, not {self.dropout:g}.",
                "Give a share above 0 and below 1: without dropout both views are the same.",
            )

    def draw(self, source: HasImages, generator: torch.Generator) -> Tensors:
        """Return images of a batch and two masks for each, of 0 and 1/(1 - dropout)."""
        images = source.images(self.batch, generator)
        kept = torch.rand(2, self.batch, feature_count(*source.shape), generator=generator) >= self.dropout
        return {"images": images, "masks": kept / (1 - self.dropout)}

    def loss(self, parameters: Tensors, state: Tensors, batch: Tensors) -> Tensor:
        """Return the loss of each run, (R)."""
        seen = features(parameters, "encoder", batch["images"])
        first, second = (
            self.project(parameters, linear(parameters, "encoder", seen * mask))
            for mask in batch["masks"].unbind(1)
        )
        return one_way(first, second, self.temperature)

    def own_ceiling(self, source: HasImages) -> float:
        """Return log N."""
        return math.log(self.batch)
