"""MINE: Donsker-Varadhan with a corrected gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mibench.batch import Tensors
from mibench.errors import UsageError
from mibench.estimators.base import Bound, FromScores
from mibench.objectives import OfScores
from mibench.registry import option
from mibench.scores import donsker_varadhan, log_mean_exp_negatives, positives


@dataclass(frozen=True)
class CorrectedDonskerVaradhan(OfScores):
    """E_P[f] - E_Q[exp f] / (moving average of E_Q[exp f]): its gradient is MINE's, its value means nothing.

    The average is over the steps, this batch included, kept in the log domain, one per run.
    """

    rate: float = 0.01

    title: ClassVar[str] = "mine"
    identifiable: ClassVar[bool] = False

    def state(self) -> Tensors:
        """Return an empty moving average: its log, and the log of the weight gathered so far."""
        return {"log_average": torch.tensor(-math.inf), "log_weight": torch.tensor(-math.inf)}

    def of(self, scores: Tensor, state: Tensors) -> Tensor:
        """Return a value whose gradient is the corrected one."""
        log_partition = log_mean_exp_negatives(scores)
        with torch.no_grad():
            self._update(state["log_average"], log_partition)
            self._update(state["log_weight"], torch.zeros_like(log_partition))
            # A moving average that began at nothing is divided by its weights' sum.
            log_average = state["log_average"] - state["log_weight"]
        return positives(scores).mean(-1) - (log_partition - log_average).exp()

    def _update(self, log_average: Tensor, log_new: Tensor) -> None:
        log_kept = math.log1p(-self.rate) if self.rate < 1 else -math.inf
        log_average.copy_(torch.logaddexp(log_kept + log_average, math.log(self.rate) + log_new))

    def criterion(self, outputs: Tensors) -> Tensor:
        """Return I_DV of each score matrix."""
        return donsker_varadhan(outputs["scores"])


@dataclass(frozen=True)
class MINE(FromScores):
    r"""The Donsker-Varadhan bound, trained with Belghazi's moving average of the partition function.

    I_DV = E_P[f] - log E_Q[exp f]

    with scores (..., n, n) -> (...) in nats, E_P over the diagonal and E_Q over the rest. The gradient of
    log E_Q over a batch is biased, so the second term's gradient is E_Q[exp(f) grad f] divided by a moving
    average of E_Q[exp f] over the steps, this batch included, kept in the log domain, one per run.

    Ceiling: none. Bias: a lower bound for infinitely many samples; the value of a finite batch is biased up
    (log is concave), also at the exact critic. Invariant to f + const. Optimal critic: log r + const.

    Raises:
        UsageError: a rate outside (0, 1].

    Reference: Belghazi et al. 2018, arXiv 1801.04062.
    """

    rate: float = option(0.01, "weight of the present batch in the moving average")

    name = "mine"
    formula: ClassVar[str] = "E_P[f] - log E_Q[exp f], gradient by a moving average of E_Q[exp f]"
    direction: ClassVar[str] = "lower bound with infinite data, biased up on finite batches"
    bound: ClassVar[Bound] = Bound("lower", "with infinite data")
    conformance_exceptions: ClassVar[Mapping[str, str]] = {
        "gradient": "it is corrected by a moving average, and is not that of the objective's value"
    }
    reference: ClassVar[str] = "Belghazi et al. 2018, arXiv 1801.04062"
    bibtex: ClassVar[str] = """@inproceedings{belghazi2018mutual,
  title     = {Mutual Information Neural Estimation},
  author    = {Belghazi, Mohamed Ishmael and Baratin, Aristide and Rajeshwar, Sai and Ozair, Sherjil
               and Bengio, Yoshua and Courville, Aaron and Hjelm, Devon},
  booktitle = {International Conference on Machine Learning},
  pages     = {531--540},
  year      = {2018},
  note      = {arXiv:1801.04062}
}"""

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise UsageError(
                f"rate of 'mine' must be above 0 and at most 1, not {self.rate!r}.",
                "1 uses the present batch alone, 0.01 averages over about 100 batches.",
            )

    @property
    def objective(self) -> CorrectedDonskerVaradhan:
        """The objective with the corrected gradient."""
        return CorrectedDonskerVaradhan(self.rate)

    def estimate(self, scores: Tensor) -> Tensor:
        """Return I_DV of each score matrix, in float64."""
        return donsker_varadhan(scores.double())
