"""SMILE: the Jensen-Shannon objective, the Donsker-Varadhan estimate with a clipped ratio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mibench.errors import UsageError
from mibench.estimators.base import FromScores
from mibench.objectives import JensenShannon
from mibench.registry import option
from mibench.scores import log_mean_exp_negatives, positives


@dataclass(frozen=True)
class SMILE(FromScores):
    r"""Donsker-Varadhan with its partition function clipped, which trades variance for bias.

    J = E_P[-softplus(-f)] - E_Q[softplus(f)],   I_SMILE = E_P[f] - log E_Q[clip(exp f, exp -t, exp t)]

    with scores (..., n, n) -> (...) in nats, E_P over the diagonal and E_Q over the rest, and t = `tau`.
    `tau=inf`, also written `tau=none`, clips nothing (the published curve for an infinite tau).

    Ceiling: none. Bias: no bound once it clips. At the exact critic f = log r it reads
    I - log E_Q[clip(r)], above I and at most I + tau. Not invariant to constants.

    Raises:
        UsageError: a tau that is not positive.

    Reference: Song & Ermon 2020, arXiv 1910.06222.
    """

    tau: float | None = option(5.0, "log of the clipping level; inf or none clips nothing", infinite=None)

    name = "smile"
    formula: ClassVar[str] = (
        "E_P[-softplus(-f)] - E_Q[softplus(f)]; estimate E_P[f] - log E_Q[clip(exp f, exp -tau, exp tau)]"
    )
    direction: ClassVar[str] = "no bound: at the exact critic above I, by at most tau"
    conformance_exceptions: ClassVar[Mapping[str, str]] = {
        "the exact model reads the truth": "above I: by clipping, and by the log of a batch's mean"
    }
    reference: ClassVar[str] = "Song, Ermon 2020, arXiv 1910.06222"
    bibtex: ClassVar[str] = """@inproceedings{song2020understanding,
  title     = {Understanding the Limitations of Variational Mutual Information Estimators},
  author    = {Song, Jiaming and Ermon, Stefano},
  booktitle = {International Conference on Learning Representations},
  year      = {2020},
  note      = {arXiv:1910.06222}
}"""

    def __post_init__(self) -> None:
        if self.tau is not None and not self.tau > 0:
            raise UsageError(
                f"tau of 'smile' must be positive, not {self.tau!r}.",
                "Give a number above 0, such as 5, or inf to clip nothing.",
            )

    @property
    def objective(self) -> JensenShannon:
        """The Jensen-Shannon objective."""
        return JensenShannon()

    def estimate(self, scores: Tensor) -> Tensor:
        """Return I_SMILE of each score matrix, in float64."""
        scores = scores.double()
        clipped = scores if self.tau is None else scores.clamp(-self.tau, self.tau)
        return positives(scores).mean(-1) - log_mean_exp_negatives(clipped)
