"""BYOL: predict the target network's projection of the other view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mibench.batch import Tensors
from mibench.encoders.images import (
    Predictive,
    check_momentum,
    copied,
    follow,
    two_views,
)
from mibench.registry import option


@dataclass(frozen=True)
class BYOL(Predictive):
    r"""The online predictor is trained to match the target network's projection of the other view.

        L = 1/2 mean |p_1/|p_1| - t_2/|t_2||^2 + 1/2 mean |p_2/|p_2| - t_1/|t_1||^2

    with p = q(g(h(view))) and t = g'(h'(view)), where h' and g' are a copy of h and g that no gradient
    changes and that follows as theta' <- m theta' + (1 - m) theta. There are no negatives, so it reads no
    information of its own. Between their two layers the heads g and q are standardised over a view's batch.

    Raises:
        UsageError: momentum outside [0, 1), a rate that is not positive, sizes below 1, a batch larger than
            a part.

    Reference: Grill et al. 2020, arXiv 2006.07733.
    """

    momentum: float = option(0.99, "of the copy that makes the targets")

    name = "byol"
    formula: ClassVar[str] = "L = mean |p_1/|p_1| - t_2/|t_2||^2, both ways, t by a momentum copy"
    reference: ClassVar[str] = "Grill et al. 2020, arXiv 2006.07733"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_momentum(self.name, self.momentum)

    def state(self, parameters: Tensors, generator: torch.Generator) -> Tensors:
        """Return the copy."""
        return copied(parameters, ("encoder", "head"))

    def loss(self, parameters: Tensors, state: Tensors, batch: Tensors) -> Tensor:
        """Return the loss of each run, (R)."""
        views = two_views(parameters, batch)
        with torch.no_grad():
            targets = self.projections(state, views)
        return self.both_ways(parameters, self.projections(parameters, views), targets)

    def after_step(self, parameters: Tensors, state: Tensors, batch: Tensors) -> None:
        """Let the copy follow."""
        follow(state, parameters, self.momentum)
