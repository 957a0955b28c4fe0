"""Linear encoders of both sides of a pair, trained by an estimator's objective."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, cast

import torch
from torch import Tensor

from mibench import estimators
from mibench.batch import Dims, Tensors
from mibench.encoders.base import Encoder
from mibench.errors import UsageError
from mibench.estimators.base import FromScores
from mibench.networks import Shape, initialise
from mibench.registry import option
from mibench.tasks.base import Task
from mibench.tasks.pair import Pair
from mibench.validation import check_sizes, check_training


@dataclass(frozen=True)
class Linear(Encoder[Pair]):
    r"""z = A x and z' = B y, trained together with a critic by an estimator's objective on fresh pairs.

        f(z, z') = z' W z' + z' P z + z' Q z' + b

    is the quadratic critic that holds the log density ratio of every jointly Gaussian pair. Its own estimate
    is the estimator's on unseen batches, with the ceiling of the estimator.

    Raises:
        UsageError: sizes below 1, a rate that is not positive, an unknown objective or one that learns more
            than a critic.

    Reference: van den Oord et al. 2018, arXiv 1807.03748 (InfoNCE).
    """

    dim: int = option(8, "dimension of z and of z'")
    objective: str = option("infonce", "the estimator whose objective is trained by")
    batch: int = option(256, "pairs in a batch: the n of its own estimate")
    steps: int = option(500, "training steps")
    lr: float = option(5e-3, "Adam's rate, constant")

    name = "linear"
    formula: ClassVar[str] = "the objective of an estimator, with a quadratic critic on (Ax, By)"
    ceiling_formula: ClassVar[str] = "the estimator's: log batch for infonce"
    source: ClassVar[str] = "pairs"
    reference: ClassVar[str] = "van den Oord, Li, Vinyals 2018, arXiv 1807.03748"

    def __post_init__(self) -> None:
        check_sizes(self.name, dim=self.dim, batch=self.batch)
        if self.batch < 2:
            raise UsageError(
                f"batch of {self.name!r} must be at least 2, not {self.batch}.", "Give 2 or more."
            )
        check_training(self.name, self.steps, self.lr)
        if not isinstance(estimators.registry.get(self.objective), FromScores):
            raise UsageError(
                f"{self.name!r} cannot be trained by {self.objective!r}, which trains no critic.",
                "Give another objective, such as infonce or nwj.",
            )
        self._estimator.check(self.batch)
        if self._estimator.objective.learned(Dims(self.dim, self.dim), torch.Generator()):
            raise UsageError(
                f"{self.name!r} cannot be trained by {self.objective!r}, which learns more than a critic.",
                "Give another objective, such as infonce or nwj.",
            )

    @cached_property
    def _estimator(self) -> FromScores:
        return cast("FromScores", estimators.registry.get(self.objective))

    def check(self, task: Task) -> None:
        """Raise a UsageError where the encoders are wider than the data: their pair has no density."""
        super().check(task)
        narrower = min(task.dim_x, task.dim_y)
        if self.dim > narrower:
            raise UsageError(
                f"Encoders of dim {self.dim} are wider than task {task.name!r}, which has "
                f"{narrower} coordinates.",
                f"Give --encoder linear[dim={narrower}] or less.",
            )

    def dims(self, source: Pair) -> tuple[int, int]:
        """Return the dimension of z and z'."""
        return self.dim, self.dim

    def initialise(self, source: Pair, generator: torch.Generator) -> Tensors:
        """Return A, B and the critic of one run."""
        shapes: dict[str, Shape] = {
            "a": (source.dims.x, self.dim, source.dims.x),
            "b": (source.dims.y, self.dim, source.dims.y),
            "w": (self.dim, self.dim, self.dim),
            "p": (self.dim, self.dim, self.dim),
            "q": (self.dim, self.dim, self.dim),
            "bias": (1, 1, 1),
        }
        return initialise(shapes, generator, torch.float32)

    def state(self, parameters: Tensors, generator: torch.Generator) -> Tensors:
        """Return what the estimator's objective carries."""
        return self._estimator.objective.state()

    def draw(self, source: Pair, generator: torch.Generator) -> Tensors:
        """Return a batch of pairs."""
        x, y = source.draw(self.batch, generator, torch.float32)
        return {"x": x, "y": y}

    def encode_x(self, parameters: Tensors, x: Tensor) -> Tensor:
        """Return A x."""
        return x @ parameters["a"]

    def encode_y(self, parameters: Tensors, y: Tensor) -> Tensor:
        """Return B y."""
        return y @ parameters["b"]

    def _scores(self, parameters: Tensors, batch: Tensors) -> Tensor:
        z, other = self.encode_x(parameters, batch["x"]), self.encode_y(parameters, batch["y"])
        of_z = (z @ parameters["p"] * z).sum(-1)
        of_other = (other @ parameters["q"] * other).sum(-1)
        return (
            z @ parameters["w"] @ other.mT + of_z[..., :, None] + of_other[..., None, :] + parameters["bias"]
        )

    def loss(self, parameters: Tensors, state: Tensors, batch: Tensors) -> Tensor:
        """Return the negative objective."""
        return -self._estimator.objective.of(self._scores(parameters, batch), state)

    def own_estimate(self, source: Pair, parameters: Tensors, state: Tensors, batch: Tensors) -> Tensor:
        """Return the estimate by the critic that was trained with the encoders."""
        return self._estimator.estimate(self._scores(parameters, batch))

    def own_ceiling(self, source: Pair) -> float | None:
        """Return the estimator's ceiling at the size of a batch."""
        return self._estimator.ceiling(self.batch)
