"""SimCLR: which of the batch's other views is of the same image?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mibench.encoders.base import Tensors
from mibench.encoders.images import (
    HIDDEN,
    PROJECTED,
    ImageEncoder,
    check_temperature,
    nt_xent,
    projected,
    projection,
    two_views,
)
from mibench.registry import option


@dataclass(frozen=True)
class SimCLR(ImageEncoder):
    r"""Two random views of each of N images, and the NT-Xent loss of their projections u = g(z)/|g(z)|.

        L = 1/2N sum_i -log [ exp(u_i . u_j(i) / t) / sum_(k != i) exp(u_i . u_k / t) ]   nats

    over all 2N views, j(i) the other view of the same image; the view itself is left out. Its own estimate
    is log(2N - 1) - L on images that training has not met.

    Ceiling: log(2N - 1).

    Raises:
        UsageError: a temperature or a rate that is not positive, sizes below 1, a batch larger than a part.

    Reference: Chen et al. 2020, arXiv 2002.05709.
    """

    temperature: float = option(0.2, "cosines are divided by it")

    name = "simclr"
    formula: ClassVar[str] = "L = -mean_i log [ exp(u_i.u_j(i)/t) / sum_(k!=i) exp(u_i.u_k/t) ], 2N views"
    ceiling_formula: ClassVar[str] = "log(2 batch - 1)"
    reference: ClassVar[str] = "Chen, Kornblith, Norouzi, Hinton 2020, arXiv 2002.05709"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_temperature(self.name, self.temperature)

    def initialise(self, task: Any, generator: torch.Generator) -> Tensors:  # noqa: ANN401
        """Return the network and the projection of one run."""
        head = projection("head", [self.dim, HIDDEN, PROJECTED], generator)
        return super().initialise(task, generator) | head

    def loss(self, trained: Tensors, carried: Tensors, batch: Tensors) -> Tensor:
        """Return NT-Xent of each run, (R)."""
        views = torch.cat(two_views(trained, batch), 1)
        first, second = projected(trained, "head", self.encode_x(trained, views)).chunk(2, 1)
        return nt_xent(first, second, self.temperature)

    def own_estimate(self, task: Any, trained: Tensors, carried: Tensors, batch: Tensors) -> Tensor:  # noqa: ANN401
        """Return log(2N - 1) - L."""
        return self.own_ceiling(task) - self.loss(trained, carried, batch)

    def own_ceiling(self, task: Any) -> float:  # noqa: ANN401
        """Return log(2N - 1)."""
        return math.log(2 * self.batch - 1)
