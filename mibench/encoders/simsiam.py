"""SimSiam: foretell the other view's projection, without negatives or a copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mibench.encoders.base import Tensors
from mibench.encoders.images import (
    HIDDEN,
    PROJECTED,
    ImageEncoder,
    distance,
    normalised_head,
    projection,
    two_views,
)
from mibench.registry import option


@dataclass(frozen=True)
class SimSiam(ImageEncoder):
    r"""Of two views, what a predictor makes of one's projection is to be the other's, which stands still.

        L = -1/2 mean cos(p_1, sg(u_2)) - 1/2 mean cos(p_2, sg(u_1)),   u = g(h(view)), p = q(u)

    sg lets no gradient through. Without it (`stop_gradient=false`) one representation for all images is
    the minimum, and training goes there: the encoder collapses. There are no negatives, so it reads no
    information of its own. The heads g and q are standardised over the batch of a view between their layers.

    Raises:
        UsageError: a rate that is not positive, sizes below 1, a batch larger than a part.

    Reference: Chen & He 2021, arXiv 2011.10566.
    """

    stop_gradient: bool = option(True, "false is made to see it collapse")

    name = "simsiam"
    formula: ClassVar[str] = "L = -mean cos(p_1, sg(u_2)), both ways"
    reference: ClassVar[str] = "Chen, He 2021, arXiv 2011.10566"

    def initialise(self, task: Any, generator: torch.Generator) -> Tensors:  # noqa: ANN401
        """Return the network, its projection and the predictor of one run."""
        head = projection("head", [self.dim, HIDDEN, PROJECTED], generator)
        predictor = projection("predictor", [PROJECTED, HIDDEN // 4, PROJECTED], generator)
        return super().initialise(task, generator) | head | predictor

    def loss(self, trained: Tensors, carried: Tensors, batch: Tensors) -> Tensor:
        """Return the loss of each run, (R)."""
        z = self.encode_x(trained, torch.cat(two_views(trained, batch), 1))
        seen = [normalised_head(trained, "head", view) for view in z.chunk(2, 1)]
        first, second = (normalised_head(trained, "predictor", view) for view in seen)
        targets = [view.detach() if self.stop_gradient else view for view in seen]
        # cos = 1 - distance / 2
        return (distance(first, targets[1]) + distance(second, targets[0])) / 4 - 1
