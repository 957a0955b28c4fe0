"""NCE: is this pair data or noise?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from mibench.batch import Dims, Tensors
from mibench.errors import UsageError
from mibench.estimators.base import FromScores
from mibench.objectives import OfScores
from mibench.registry import option
from mibench.scores import mean_following, positives
from mibench.validation import check_whole

if TYPE_CHECKING:
    from mibench.tasks.pair import Pair


@dataclass(frozen=True)
class LogisticNoise(OfScores):
    """E_P[log s(f - log k)] + k E_Q[log s(log k - f)]: is this pair data, or one of k noise samples?"""

    k: int | None = None
    normalizer: Literal["fixed", "learned"] = "fixed"

    title: ClassVar[str] = "nce"

    def learned(self, dims: Dims, generator: torch.Generator) -> Tensors:
        """Return log Z = 0 where it is learned."""
        return {"log_normalizer": torch.tensor(0.0)} if self.normalizer == "learned" else {}

    def corrected(self, scores: Tensor, y: Tensor, parameters: Tensors) -> Tensor:
        """Return f - log Z."""
        if self.normalizer == "fixed":
            return scores
        return scores - parameters["log_normalizer"][..., None, None]

    def of(self, scores: Tensor, state: Tensors) -> Tensor:
        """Return the objective of each score matrix."""
        n = scores.shape[-1]
        k = n - 1 if self.k is None else self.k
        data = logsigmoid(positives(scores) - math.log(k)).mean(-1)
        noise = mean_following(scores, k, lambda f: logsigmoid(math.log(k) - f))
        return data + k * noise


@dataclass(frozen=True)
class NCE(FromScores):
    r"""Binary noise-contrastive estimation with k noise samples per datum.

    J = E_P[ log s(f - log k) ] + k E_Q[ log s(log k - f) ],   s(z) = 1 / (1 + exp(-z))

    is maximal at f = log r, so f estimates the log density ratio and the estimate is its plug-in mean

    I_NCE-plug-in = E_P[f]

    with scores (..., n, n) -> (...) in nats. The k noise samples of (x_i, y_i) are the k pairs
    (x_i, y_(i+1)) ... (x_i, y_(i+k)), indices modulo n: within a batch of independent pairs any k others are
    as good as random ones. The partition function is fixed at Z = 1 (Mnih & Teh), or, with
    `normalizer=learned`, f stands for f - log Z with log Z learned as one more parameter (Gutmann &
    Hyvarinen).

    Ceiling: none. Bias: a plug-in and no bound, on either side of I. Not invariant to constants.
    As k grows the gradient tends to that of maximum likelihood.

    Raises:
        UsageError: k < 1, or, at a given n, k > n - 1.

    Reference: Gutmann & Hyvarinen 2010, AISTATS; Mnih & Teh 2012, arXiv 1206.6426.
    """

    k: int | None = option(None, "noise samples per datum; all n - 1 of the batch if left out")
    normalizer: Literal["fixed", "learned"] = option("fixed", "log Z is 0, or one more parameter")

    name = "nce"
    formula: ClassVar[str] = "E_P[log s(f - log k)] + k E_Q[log s(log k - f)], s the sigmoid; estimate E_P[f]"
    direction: ClassVar[str] = "plug-in: no bound, either side of I"
    unbiased_at_exact_ratio: ClassVar[bool] = True
    reference: ClassVar[str] = (
        "Gutmann, Hyvarinen 2010, AISTATS; Mnih, Teh 2012, arXiv 1206.6426 (Z fixed at 1)"
    )
    bibtex: ClassVar[str] = """@inproceedings{gutmann2010noise,
  title     = {Noise-Contrastive Estimation: A New Estimation Principle for Unnormalized Statistical Models},
  author    = {Gutmann, Michael and Hyv{\\"a}rinen, Aapo},
  booktitle = {International Conference on Artificial Intelligence and Statistics},
  pages     = {297--304},
  year      = {2010}
}"""

    def __post_init__(self) -> None:
        if self.k is None:
            return
        check_whole(self.name, k=self.k)
        if self.k < 1:
            raise UsageError(
                f"k of 'nce' must be at least 1, not {self.k}.",
                "Give the number of noise samples per datum, or leave it out for all n - 1.",
            )

    @property
    def objective(self) -> LogisticNoise:
        """The classification of data against noise."""
        return LogisticNoise(self.k, self.normalizer)

    def check(self, n: int, pair: Pair | None = None) -> None:
        """Raise a UsageError where a batch of n has fewer than k other samples."""
        if self.k is not None and self.k > n - 1:
            raise UsageError(
                f"nce[k={self.k}] needs {self.k} noise samples per datum; a batch of n = {n} has {n - 1}.",
                f"Choose k <= {n - 1} or n >= {self.k + 1}.",
            )

    def estimate(self, scores: Tensor) -> Tensor:
        """Return the mean of f over the joint samples, in float64."""
        return positives(scores.double()).mean(-1)
