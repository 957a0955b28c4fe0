"""InfoNCE: which of n candidates is the positive one?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mibench.batch import Tensors
from mibench.errors import UsageError
from mibench.estimators.base import Bound, Maximised
from mibench.registry import option
from mibench.scores import log_sum_exp_columns, log_sum_exp_rows, positives


@dataclass(frozen=True)
class InfoNCE(Maximised):
    r"""The n-way contrastive lower bound, which no critic can lift above log n.

    I_NCE = 1/n sum_i [ f(x_i, y_i) / t - log 1/n sum_j exp(f(x_i, y_j) / t) ]

    with scores (..., n, n) -> (...) in nats, the positive among the n candidates, and temperature t.
    `symmetric` averages it with the same over columns (x_j for a given y_i), as CLIP's loss does.

    Ceiling: log n, on every single batch. Bias: a lower bound in expectation, below I for every finite n.
    Invariant to f + c(x) (to f + const if symmetric). Optimal critic: t log r.

    Raises:
        UsageError: a temperature that is not positive.

    Reference: van den Oord et al. 2018, arXiv 1807.03748.
    """

    temperature: float = option(1.0, "the scores are divided by it")
    symmetric: bool = option(False, "average over rows and columns, as CLIP's loss does")

    name = "infonce"
    identifiable: ClassVar[bool] = False
    formula: ClassVar[str] = "mean_i [ f(x_i,y_i)/t - log (1/n) sum_j exp(f(x_i,y_j)/t) ]"
    direction: ClassVar[str] = "lower bound: below I in expectation for every finite n"
    bound: ClassVar[Bound] = Bound("lower", "in expectation")
    oracle_is_best: ClassVar[bool] = True
    ceiling_formula: ClassVar[str] = "log n"
    reference: ClassVar[str] = "van den Oord, Li, Vinyals 2018, arXiv 1807.03748"
    bibtex: ClassVar[str] = """@article{oord2018representation,
  title   = {Representation Learning with Contrastive Predictive Coding},
  author  = {van den Oord, Aaron and Li, Yazhe and Vinyals, Oriol},
  journal = {arXiv preprint arXiv:1807.03748},
  year    = {2018}
}"""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise UsageError(
                f"temperature of 'infonce' must be positive, not {self.temperature!r}.",
                "Give a number above 0; 1 leaves the scores as they are.",
            )

    def of(self, scores: Tensor, state: Tensors) -> Tensor:
        """Return I_NCE of each score matrix."""
        logits = scores / self.temperature
        matched = positives(logits)
        rows = (matched - log_sum_exp_rows(logits)).mean(-1)
        columns = (matched - log_sum_exp_columns(logits)).mean(-1) if self.symmetric else rows
        return (rows + columns) / 2 + math.log(scores.shape[-1])

    def optimal_critic(self, log_ratio: Tensor) -> Tensor:
        """Return t log r."""
        return self.temperature * log_ratio

    def ceiling(self, n: int) -> float:
        """Return log n."""
        return math.log(n)
