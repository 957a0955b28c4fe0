"""SimSiam: predict the other view's projection, without negatives or a target network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mibench.batch import Tensors
from mibench.encoders.images import (
    Predictive,
    two_views,
)
from mibench.registry import option


@dataclass(frozen=True)
class SimSiam(Predictive):
    r"""The predictor is trained to match the stop-gradient projection of the other view.

        L = -1/2 mean cos(p_1, sg(u_2)) - 1/2 mean cos(p_2, sg(u_1)),   u = g(h(view)), p = q(u)

    sg lets no gradient through. Without it (`stop_gradient=false`) one projection for all images is the
    minimum, and training goes there: such an encoder is said to have collapsed. There are no negatives, so it
    reads no information of its own. Between their two layers the heads g and q are standardised over a view's
    batch.

    Raises:
        UsageError: a rate that is not positive, sizes below 1, a batch larger than a part.

    Reference: Chen & He 2021, arXiv 2011.10566.
    """

    stop_gradient: bool = option(True, "false is made to see it collapse")

    name = "simsiam"
    formula: ClassVar[str] = "L = -mean cos(p_1, sg(u_2)), both ways"
    reference: ClassVar[str] = "Chen, He 2021, arXiv 2011.10566"

    def loss(self, parameters: Tensors, state: Tensors, batch: Tensors) -> Tensor:
        """Return the loss of each run, (R)."""
        seen = self.projections(parameters, two_views(parameters, batch))
        targets = [view.detach() if self.stop_gradient else view for view in seen]
        return self.both_ways(parameters, seen, targets) / 2 - 1  # |p - u|^2 = 2 - 2 cos
