"""SimCLR: which of the batch's other views is of the same image?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mibench.batch import Tensors
from mibench.encoders.images import (
    Contrastive,
    nt_xent,
    two_views,
)
from mibench.tasks.base import HasImages


@dataclass(frozen=True)
class SimCLR(Contrastive):
    r"""Two random views of each of N images, and the NT-Xent loss of their projections u = g(z)/|g(z)|.

        L = 1/2N sum_i -log [ exp(u_i . u_j(i) / t) / sum_(k != i) exp(u_i . u_k / t) ]   nats

    over all 2N views, j(i) the other view of the same image; the view itself is left out. Its own estimate
    is log(2N - 1) - L on unseen images.

    Ceiling: log(2N - 1).

    Raises:
        UsageError: a temperature or a rate that is not positive, sizes below 1, a batch larger than a part.

    Reference: Chen et al. 2020, arXiv 2002.05709.
    """

    name = "simclr"
    formula: ClassVar[str] = "L = -mean_i log [ exp(u_i.u_j(i)/t) / sum_(k!=i) exp(u_i.u_k/t) ], 2N views"
    ceiling_formula: ClassVar[str] = "log(2 batch - 1)"
    reference: ClassVar[str] = "Chen, Kornblith, Norouzi, Hinton 2020, arXiv 2002.05709"

    def loss(self, parameters: Tensors, state: Tensors, batch: Tensors) -> Tensor:
        """Return NT-Xent of each run, (R)."""
        views = torch.cat(two_views(parameters, batch), 1)
        first, second = self.project(parameters, self.encode_x(parameters, views)).chunk(2, 1)
        return nt_xent(first, second, self.temperature)

    def own_ceiling(self, source: HasImages) -> float:
        """Return log(2N - 1)."""
        return math.log(2 * self.batch - 1)
