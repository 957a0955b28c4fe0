"""What the estimators share that are read from a conditional density."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mibench.batch import Batch, Tensors
from mibench.estimators.base import Estimator
from mibench.objectives import Likelihood

if TYPE_CHECKING:
    from mibench.tasks.pair import Pair


class FromDensity(Estimator):
    """An estimator that is read from log q(y_j | x_i) and log q(y_j), both trained by maximum likelihood.

    All of them share one training. Where the estimate does not change if a function of y is added to both,
    the log density ratio stands for the exact conditional.
    """

    @property
    def objective(self) -> Likelihood:
        """Maximum likelihood."""
        return Likelihood()

    def exact(self, pair: Pair, batch: Batch) -> Tensors | None:
        """Return log p(y | x) and log p(y), both less log p(y)."""
        if pair.log_ratio is None:
            return None
        log_ratio = pair.log_ratio(batch.x, batch.y)
        return {"conditional": log_ratio, "marginal": torch.zeros(batch.y.shape[:-1], dtype=torch.float64)}
