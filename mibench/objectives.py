"""Objectives: what training maximises. What is read afterwards is the estimators' business.

An objective names the kind of model that it trains, and says what the trained model puts out for a batch:
estimators read these outputs. Equal objectives are one training, however many estimators read it.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from mibench.options import label
from mibench.scores import constant, extremes, jensen_shannon, positives

if TYPE_CHECKING:
    from mibench.batch import Batch, Dims, Tensors
    from mibench.models.base import Conditional, Critic


class Objective(ABC):
    """What is maximised in the training of a model.

    A subclass is a frozen dataclass. Two objectives that are equal are trained once. Tensors have the run
    axis in front, and no run may influence another.

    Attributes:
        version: raised when the formula behind the title changes.
        model: the kind of model that is trained, such as `critic`, `conditional` or `denoiser`.
        default_model: the model that is trained where neither the user nor the task names one; None for the
            default of the kind. It is no part of the identity: the model itself is one of the run's.
    """

    version: ClassVar[int] = 1
    model: ClassVar[str]
    default_model: ClassVar[str | None] = None

    @property
    @abstractmethod
    def title(self) -> str:
        """What identifies the objective, with its options."""

    @property
    def identity(self) -> object:
        """Title, version and options, as JSON values."""
        return {"name": self.title, "version": self.version, "options": dataclasses.asdict(self)}  # type: ignore[call-overload]

    @property
    def label(self) -> str:
        """The title with those options that differ from their defaults."""
        return label(self.title, self)

    def learned(self, dims: Dims, generator: torch.Generator) -> Tensors:
        """Return the initial values of what one run learns beside its model, under names of their own."""
        return {}

    def state(self) -> Tensors:
        """Return the initial values of what one run carries from step to step and no gradient changes."""
        return {}

    def draw(self, n: int, dims: Dims, generator: torch.Generator, dtype: torch.dtype) -> Tensors:
        """Return the random numbers that one run needs for one batch, beside its data."""
        return {}

    @abstractmethod
    def outputs(self, model: Any, parameters: Tensors, batch: Batch) -> Tensors:  # noqa: ANN401 - of its kind
        """Return what estimators read of the models of all runs on a batch."""

    @abstractmethod
    def value(
        self,
        model: Any,  # noqa: ANN401 - of its kind
        parameters: Tensors,
        state: Tensors,
        batch: Batch,
    ) -> tuple[Tensor, Tensors | None]:
        """Return what each run maximises, (R,), and the outputs if they were computed on the way.

        `state` may be updated in place.
        """

    @abstractmethod
    def criterion(self, outputs: Tensors) -> Tensor:
        """Return what early stopping maximises on validation data, (R,)."""

    def criterion_of_independence(self, n: int) -> float:
        """Return the criterion of a model that sees no dependence, which early stopping has to beat."""
        return -torch.inf

    def only_score(self, outputs: Tensors) -> Tensor:
        """Return the score that a run's model gives to every pair of the batch, (R,); NaN for several.

        Models that give no scores have none.
        """
        return torch.full((next(iter(outputs.values())).shape[0],), torch.nan)

    def log_ratio(self, outputs: Tensors) -> Tensor | None:
        """Return the log density ratio that the model stands for, (R, n, n) in float64; None if for none."""
        return None


class OfScores(Objective):
    """An objective of a critic's n x n score matrix alone.

    Attributes:
        identifiable: no constant or c(x) can be added to an optimal critic, so that the log density ratio
            follows from its scores.
    """

    model: ClassVar[str] = "critic"
    identifiable: ClassVar[bool] = True

    @abstractmethod
    def of(self, scores: Tensor, state: Tensors) -> Tensor:
        """Return the objective of each score matrix, (..., n, n) -> (...)."""

    def optimal_critic(self, log_ratio: Tensor) -> Tensor:
        """Return what a perfect critic would output where the log density ratio is `log_ratio`."""
        return log_ratio

    def log_ratio_of(self, scores: Tensor) -> Tensor:
        """Return the log density ratio that scores stand for: the inverse of `optimal_critic`."""
        return scores

    def corrected(self, scores: Tensor, y: Tensor, parameters: Tensors) -> Tensor:
        """Return the critic's scores with what is learned beside it applied: (R, n, n)."""
        return scores

    def outputs(self, model: Critic, parameters: Tensors, batch: Batch) -> Tensors:
        """Return the scores f(x_i, y_j) of every run, (R, n, n)."""
        scores = model.scores(parameters, batch.x, batch.y)
        return {"scores": self.corrected(scores, batch.y, parameters)}

    def value(
        self, model: Critic, parameters: Tensors, state: Tensors, batch: Batch
    ) -> tuple[Tensor, Tensors | None]:
        """Return the objective of every run's scores, and the scores."""
        outputs = self.outputs(model, parameters, batch)
        return self.of(outputs["scores"], state), outputs

    def criterion(self, outputs: Tensors) -> Tensor:
        """Return the objective, with nothing carried."""
        return self.of(outputs["scores"], {})

    def criterion_of_independence(self, n: int) -> float:
        """Return the criterion of the optimal critic of independent data, a constant."""
        nothing = constant(n)
        return self.criterion({"scores": self.optimal_critic(nothing)}).item()

    def only_score(self, outputs: Tensors) -> Tensor:
        """Return the score that a critic gives to every pair of the batch, NaN for several."""
        lowest, highest = extremes(outputs["scores"])
        return lowest.where(lowest == highest, torch.nan)

    def log_ratio(self, outputs: Tensors) -> Tensor | None:
        """Return the log density ratio where the optimal critic is unique."""
        return self.log_ratio_of(outputs["scores"].double()) if self.identifiable else None


@dataclass(frozen=True)
class JensenShannon(OfScores):
    """E_P[-softplus(-f)] - E_Q[softplus(f)]: logistic classification of joint against product samples.

    It is maximal at f = log r, where it is 2 JSD(P, Q) - 2 log 2.

    Reference: Hjelm et al. 2019, arXiv 1808.06670.
    """

    title: ClassVar[str] = "jensen-shannon"

    @property
    def identity(self) -> object:
        """Title and version, in the form in which existing records have it in their training key."""
        return [self.title, self.version]

    def of(self, scores: Tensor, state: Tensors) -> Tensor:
        """Return the objective of each score matrix."""
        return jensen_shannon(scores)


@dataclass(frozen=True)
class Likelihood(Objective):
    """E_P log q(y | x) + E_P log q(y): a conditional density and a marginal of the same family, each by
    maximum likelihood.

    The two share no parameters, so each is trained as it would be alone. Outputs: `conditional`, the matrix
    log q(y_j | x_i) of shape (R, n, n), and `marginal`, log q(y_j) of shape (R, n).

    Reference: Barber & Agakov 2003, NeurIPS; McAllester & Stratos 2020, arXiv 1811.04251.
    """

    title: ClassVar[str] = "likelihood"
    model: ClassVar[str] = "conditional"

    def outputs(self, model: Conditional, parameters: Tensors, batch: Batch) -> Tensors:
        """Return log q(y_j | x_i) and log q(y_j)."""
        return {
            "conditional": model.log_prob(parameters, batch.x, batch.y),
            "marginal": model.log_marginal(parameters, batch.y),
        }

    def value(
        self, model: Conditional, parameters: Tensors, state: Tensors, batch: Batch
    ) -> tuple[Tensor, Tensors | None]:
        """Return the mean log likelihoods of every run, which need the n joint pairs alone."""
        own = model.log_prob_of_pairs(parameters, batch.x, batch.y)
        return own.mean(-1) + model.log_marginal(parameters, batch.y).mean(-1), None

    def criterion(self, outputs: Tensors) -> Tensor:
        """Return the mean log likelihood of y given x, and of y."""
        return positives(outputs["conditional"]).mean(-1) + outputs["marginal"].mean(-1)

    def log_ratio(self, outputs: Tensors) -> Tensor | None:
        """Return log q(y_j | x_i) - log q(y_j)."""
        return outputs["conditional"].double() - outputs["marginal"].double().unsqueeze(-2)
