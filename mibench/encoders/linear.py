"""Linear encoders of both sides of a pair, trained by an estimator's objective."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from mibench import estimators
from mibench.encoders.base import Encoder, Tensors, check_training
from mibench.errors import UsageError
from mibench.estimators.base import Estimator
from mibench.networks import Shape, check_sizes, initialise
from mibench.registry import option
from mibench.tasks.base import Task


@dataclass(frozen=True)
class Linear(Encoder):
    r"""z = A x and z' = B y, trained together with a critic by an estimator's objective on fresh pairs.

        f(z, z') = z' W z' + z' P z + z' Q z' + b

    is the quadratic critic that holds the log density ratio of every jointly Gaussian pair. Its own estimate
    is the estimator's read-out on batches that training has not met, with the ceiling of the estimator.

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
        check_sizes(self.name, dim=self.dim)
        if self.batch < 2:
            raise UsageError(
                f"batch of {self.name!r} must be at least 2, not {self.batch}.", "Give 2 or more."
            )
        check_training(self)
        self._estimator.check(self.batch)
        if self._estimator.learned_tensors(self.dim, torch.Generator()):
            raise UsageError(
                f"{self.name!r} cannot be trained by {self.objective!r}, which learns more than a critic.",
                "Give another objective, such as infonce or nwj.",
            )

    @cached_property
    def _estimator(self) -> Estimator:
        return estimators.registry.get(self.objective)

    def check(self, task: Task) -> None:
        """Raise a UsageError where the encoders are wider than the data: their pair has no density."""
        super().check(task)
        if self.dim > min(task.dim_x, task.dim_y):
            raise UsageError(
                f"Encoders of dim {self.dim} are wider than task {task.name!r}, which has "
                f"{min(task.dim_x, task.dim_y)} coordinates.",
                f"Give --encoder linear[dim={min(task.dim_x, task.dim_y)}] or less.",
            )

    def dims(self, task: Task) -> tuple[int, int]:
        """Return the dimension of z and z'."""
        return self.dim, self.dim

    def initialise(self, task: Task, generator: torch.Generator) -> Tensors:
        """Return A, B and the critic of one run."""
        shapes: dict[str, Shape] = {
            "a": (task.dim_x, self.dim, task.dim_x),
            "b": (task.dim_y, self.dim, task.dim_y),
            "w": (self.dim, self.dim, self.dim),
            "p": (self.dim, self.dim, self.dim),
            "q": (self.dim, self.dim, self.dim),
            "bias": (1, 1, 1),
        }
        return initialise(shapes, generator, torch.float32)

    def carried_tensors(self, trained: Tensors, generator: torch.Generator) -> Tensors:
        """Return what the estimator's objective carries."""
        return self._estimator.carried_tensors()

    def draw(self, task: Task, generator: torch.Generator) -> Tensors:
        """Return a batch of pairs."""
        x, y = task.sample(self.batch, generator, torch.float32)
        return {"x": x, "y": y}

    def encode_x(self, trained: Tensors, x: Tensor) -> Tensor:
        """Return A x."""
        return x @ trained["a"]

    def encode_y(self, trained: Tensors, y: Tensor) -> Tensor:
        """Return B y."""
        return y @ trained["b"]

    def _scores(self, trained: Tensors, batch: Tensors) -> Tensor:
        z, other = self.encode_x(trained, batch["x"]), self.encode_y(trained, batch["y"])
        of_z = (z @ trained["p"] * z).sum(-1)
        of_other = (other @ trained["q"] * other).sum(-1)
        return z @ trained["w"] @ other.mT + of_z[..., :, None] + of_other[..., None, :] + trained["bias"]

    def loss(self, trained: Tensors, carried: Tensors, batch: Tensors) -> Tensor:
        """Return the negative objective."""
        return -self._estimator.objective(self._scores(trained, batch), carried)

    def own_estimate(self, task: Any, trained: Tensors, carried: Tensors, batch: Tensors) -> Tensor:  # noqa: ANN401
        """Return the estimator's read-out of the critic that was trained with the encoders."""
        return self._estimator.estimate(self._scores(trained, batch))

    def own_ceiling(self, task: Task) -> float | None:
        """Return the estimator's ceiling at the size of a batch."""
        return self._estimator.ceiling(self.batch)
