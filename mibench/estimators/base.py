"""What an estimator is: how the mutual information is read from what an objective trained, or from data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor

from mibench.batch import Batch, Tensors
from mibench.errors import UsageError
from mibench.objectives import Objective, OfScores

if TYPE_CHECKING:
    from mibench.tasks.pair import Pair


@dataclass(frozen=True)
class Bound:
    """On which side of I(X;Y) an estimate lies, and when; plug-ins, which lie on either, have none."""

    side: Literal["lower", "upper"] | None = None
    holds: (
        Literal["in expectation", "with infinite data", "if q is exact", "if margins are Gaussian"] | None
    ) = None


class Estimator(ABC):
    """How the mutual information is read, in nats.

    A subclass is a frozen dataclass: its fields are its options, checked in `__post_init__`.

    Attributes:
        name: what users type.
        version: raised when a formula changes, so that old results are not reused.
        formula: the objective and, where it differs, the estimate.
        direction: on which side of I(X;Y) the estimate lies, in words.
        bound: the same, for programs.
        oracle_is_best: no model can do better, in expectation, than the exact density ratio.
        unbiased_at_exact_ratio: at the exact density ratio its expectation is I(X;Y), at every n.
        reads_anchors: it can be read from a part of a batch's rows against all others (`mibench.tiles`).
        needs_distinct_values: equal values of a coordinate distort the estimate, as data that are continuous
            have none.
        ceiling_formula: the largest value that the estimate can have, in words.
        reference: authors, year and arXiv number.
        bibtex: the same for a paper.
        conformance_exceptions: properties of `mibench.testing` that do not hold, each with the reason.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    formula: ClassVar[str]
    direction: ClassVar[str]
    bound: ClassVar[Bound] = Bound()
    oracle_is_best: ClassVar[bool] = False
    unbiased_at_exact_ratio: ClassVar[bool] = False
    reads_anchors: ClassVar[bool] = True
    needs_distinct_values: ClassVar[bool] = False
    ceiling_formula: ClassVar[str] = "none"
    reference: ClassVar[str]
    bibtex: ClassVar[str]
    conformance_exceptions: ClassVar[Mapping[str, str]] = {}

    @property
    def objective(self) -> Objective | None:
        """What is trained; None where nothing is."""
        return None

    @abstractmethod
    def read(self, outputs: Tensors, batch: Batch) -> Tensor:
        """Return the estimate of every run in float64, (R,).

        `outputs` are those of the objective; there are none where nothing is trained.
        """

    def exact(self, pair: Pair, batch: Batch) -> Tensors | None:
        """Return the outputs of a perfect model on batches of one pair, None where they are not known.

        The leading axis of `batch` counts batches here, not runs.
        """
        return None

    def ceiling(self, n: int) -> float | None:
        """Return the largest value that the estimate can have at this n in nats, None for none."""
        return None

    def check(self, n: int, pair: Pair | None = None) -> None:  # noqa: B027 - most work everywhere
        """Raise a UsageError where the estimator cannot work on batches of n of a pair.

        Of a representation whose encoder is still to be trained, only the dimensions are known; without a
        pair, only what holds for every pair is checked.
        """


class FromScores(Estimator):
    """An estimator that is read from a critic's score matrices."""

    @property
    @abstractmethod
    def objective(self) -> OfScores:
        """What trains the critic."""

    @abstractmethod
    def estimate(self, scores: Tensor) -> Tensor:
        """Return the estimate of each score matrix in nats and float64, shape (..., n, n) -> (...)."""

    def optimal_critic(self, log_ratio: Tensor) -> Tensor:
        """Return what a perfect critic would output where the log density ratio is `log_ratio`."""
        return self.objective.optimal_critic(log_ratio)

    def read(self, outputs: Tensors, batch: Batch) -> Tensor:
        """Return the estimate of every run's scores."""
        return self.estimate(outputs["scores"])

    def exact(self, pair: Pair, batch: Batch) -> Tensors | None:
        """Return the scores of the optimal critic."""
        if pair.log_ratio is None:
            return None
        return {"scores": self.optimal_critic(pair.log_ratio(batch.x, batch.y))}


class Maximised(OfScores, FromScores):
    """An estimator from scores whose critic is trained by the estimate itself: it is its own objective."""

    @property
    def title(self) -> str:
        """The estimator's name."""
        return self.name

    @property
    def objective(self) -> OfScores:
        """The estimator itself."""
        return self

    def estimate(self, scores: Tensor) -> Tensor:
        """Return the objective of each score matrix, in float64."""
        return self.of(scores.double(), {})


class FromSamples(Estimator):
    """An estimator that trains nothing: it is read from the pairs of a batch."""

    @abstractmethod
    def estimate_from(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the estimate in nats and float64: x (..., n, dim_x), y (..., n, dim_y) -> (...)."""

    def read(self, outputs: Tensors, batch: Batch) -> Tensor:
        """Return the estimate of every run's pairs."""
        return self.estimate_from(batch.x.double(), batch.y.double())

    def check(self, n: int, pair: Pair | None = None) -> None:
        """Raise a UsageError where the data are tokens, whose numbers have no meaning."""
        if pair is not None and pair.dims.vocabulary is not None:
            raise UsageError(
                f"Estimator {self.name!r} takes real numbers, and this task has tokens.",
                "Give an estimator with a critic, such as nce or infonce.",
            )
