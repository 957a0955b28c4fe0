"""What a model is: a family of functions with parameters. Each kind says what its functions compute.

A new kind is an abstract subclass of `Model` such as `Critic`, in a file of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from mibench.batch import Dims, Tensors
from mibench.errors import UsageError


class Model(ABC):
    """A family of functions with parameters, many runs at once.

    A subclass is a frozen dataclass: its fields are its options, checked in `__post_init__`. Parameters are
    drawn for one run at a time, from a generator of its own; methods are given those of R runs, stacked along
    a leading run axis.

    Attributes:
        name: what users type.
        version: raised when the function behind the name changes, so that old results are not reused.
        kind: what the functions compute, such as `critic`: objectives name it. Own models of a kind stand in
            the folder with its plural, such as `critics`, and `mibench list` has them under that.
        default: the model of the kind that is used where nobody names one.
        small: one that objectives of the kind are tested with.
        instead_for_tokens: what to give in place of a model that takes real numbers, where data are tokens.
        conformance_exceptions: properties of `mibench.testing` that do not hold, each with the reason.

    An abstract subclass declares a kind: its `kind`, `default` and `small`, and for `mibench.testing` what
    its functions are given (`inputs`), what they compute (`outputs`), and in which shape (`shapes`).
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    kind: ClassVar[str]
    default: ClassVar[str]
    small: ClassVar[str]
    instead_for_tokens: ClassVar[str] = "Give an estimator with a critic, such as nce or infonce."
    conformance_exceptions: ClassVar[Mapping[str, str]] = {}

    def check(self, dims: Dims) -> None:
        """Raise a UsageError where the model cannot be given data of these dimensions."""
        if dims.vocabulary is not None:
            raise UsageError(
                f"Model {self.name!r} takes real numbers, and this task has tokens.", self.instead_for_tokens
            )

    @abstractmethod
    def initialise(self, dims: Dims, generator: torch.Generator, dtype: torch.dtype) -> Tensors:
        """Return the parameters of one run, without the run axis."""

    def inputs(self, dims: Dims) -> dict[str, int]:
        """Return the arguments of `outputs` with their number of columns; each is (R, n, columns)."""
        return {"x": dims.x, "y": dims.y}

    @abstractmethod
    def outputs(self, parameters: Tensors, *inputs: Tensor) -> Tensors:
        """Return everything that the functions compute of the inputs, by name."""

    @abstractmethod
    def shapes(self, n: int, dims: Dims) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the outputs of n rows, without the run axis."""


class Critic(Model):
    """A function f(x, y) of every pair.

    Attributes:
        pair_by_pair: most of the work is done for every pair, so that a batch of n costs n^2 of it.
    """

    kind: ClassVar[str] = "critic"
    default: ClassVar[str] = "separable"
    small: ClassVar[str] = "separable[hidden=16]"
    instead_for_tokens: ClassVar[str] = "Give --critic embedding, or leave --critic out."
    pair_by_pair: ClassVar[bool] = False

    @abstractmethod
    def scores(self, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return f(x_i, y_j) of every run: (R, n, dim_x), (R, m, dim_y) -> (R, n, m)."""

    def features(self, parameters: Tensors, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is computed of each x and each y alone, before pairs are formed.

        (R, n, dim_x), (R, n, dim_y) -> (R, n, any), (R, n, any); by default x and y themselves.
        """
        return x, y

    def scores_of(self, parameters: Tensors, of_x: Tensor, of_y: Tensor) -> Tensor:
        """Return the scores of features: `scores` is `scores_of` of `features`."""
        return self.scores(parameters, of_x, of_y)

    def outputs(self, parameters: Tensors, *inputs: Tensor) -> Tensors:
        """Return the scores."""
        return {"scores": self.scores(parameters, *inputs)}

    def shapes(self, n: int, dims: Dims) -> dict[str, tuple[int, ...]]:
        """Return the shape of the scores."""
        return {"scores": (n, n)}


class Conditional(Model):
    """A conditional density q(y | x), and a marginal q(y) of the same family with parameters of its own."""

    kind: ClassVar[str] = "conditional"
    default: ClassVar[str] = "gaussian-mlp"
    small: ClassVar[str] = "gaussian-mlp[hidden=16]"

    @abstractmethod
    def log_prob(self, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return log q(y_j | x_i) in nats: (R, n, dim_x), (R, m, dim_y) -> (R, n, m)."""

    @abstractmethod
    def log_prob_of_pairs(self, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return log q(y_i | x_i), the diagonal of `log_prob`: (R, n)."""

    @abstractmethod
    def log_marginal(self, parameters: Tensors, y: Tensor) -> Tensor:
        """Return log q(y_j): (R, n, dim_y) -> (R, n)."""

    def outputs(self, parameters: Tensors, *inputs: Tensor) -> Tensors:
        """Return the three log densities."""
        return {
            "log_prob": self.log_prob(parameters, *inputs),
            "log_prob_of_pairs": self.log_prob_of_pairs(parameters, *inputs),
            "log_marginal": self.log_marginal(parameters, inputs[1]),
        }

    def shapes(self, n: int, dims: Dims) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the log densities."""
        return {"log_prob": (n, n), "log_prob_of_pairs": (n,), "log_marginal": (n,)}


class Denoiser(Model):
    """A prediction of the noise in a noisy x, with or without y."""

    kind: ClassVar[str] = "denoiser"
    default: ClassVar[str] = "noise-mlp"
    small: ClassVar[str] = "noise-mlp[hidden=16]"

    @abstractmethod
    def noise(self, parameters: Tensors, z: Tensor, log_snr: Tensor, y: Tensor | None) -> Tensor:
        """Return the predicted noise: z (R, n, dim_x), log_snr (R, n, 1), y (R, n, dim_y) -> (R, n, dim_x).

        Where y is None the prediction is unconditional.
        """

    def inputs(self, dims: Dims) -> dict[str, int]:
        """Return the columns of z, y and the log signal-to-noise ratio."""
        return {"z": dims.x, "y": dims.y, "log_snr": 1}

    def outputs(self, parameters: Tensors, *inputs: Tensor) -> Tensors:
        """Return the noise predicted with y and without."""
        z, y, log_snr = inputs
        return {
            "noise given y": self.noise(parameters, z, log_snr, y),
            "noise": self.noise(parameters, z, log_snr, None),
        }

    def shapes(self, n: int, dims: Dims) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the predictions."""
        return dict.fromkeys(("noise given y", "noise"), (n, dims.x))


class ModuleCritic(Critic):
    """A critic that is an ordinary `torch.nn.Module`: subclasses say which one.

    Its `forward` is given x (n, dim_x) and y (n, dim_y) of one run and returns the scores (n, n). The runs of
    a pack are stacked and mapped over by `torch.func.vmap`. A module with buffers (such as the running
    statistics of a batch normalisation) is refused: runs would have to carry them from step to step.
    """

    @abstractmethod
    def module(self, dims: Dims) -> nn.Module:
        """Return the module of one run, initialised from torch's global random numbers."""

    def initialise(self, dims: Dims, generator: torch.Generator, dtype: torch.dtype) -> Tensors:
        """Return the parameters of one run; the global random numbers are left as they were."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            made = self.module(dims)
        if dict(made.named_buffers()):
            raise UsageError(
                f"The module of critic {self.name!r} has buffers: {', '.join(dict(made.named_buffers()))}.",
                "Use layers without running statistics, such as LayerNorm.",
            )
        return {key: value.detach().to(dtype) for key, value in made.named_parameters()}

    def scores(self, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return f(x_i, y_j) of every run, and refuse a result of another shape than (R, n, n)."""
        made = _skeleton(self, Dims(x.shape[-1], y.shape[-1]))

        def of_run(own: Tensors, own_x: Tensor, own_y: Tensor) -> Tensor:
            found: Tensor = functional_call(made, own, (own_x, own_y))
            return found

        own = {key: parameters[key] for key, _ in made.named_parameters()}
        scores = vmap(of_run, randomness="error")(own, x, y)
        expected = (len(x), x.shape[1], y.shape[1])
        if scores.shape != expected:
            raise ValueError(
                f"critic {self.name!r} returned scores of shape {tuple(scores.shape[1:])} for one run; "
                f"expected {expected[1:]}"
            )
        return scores


@cache
def _skeleton(critic: ModuleCritic, dims: Dims) -> nn.Module:
    """Return a module without storage, into which parameters are called."""
    with torch.device("meta"):
        return critic.module(dims)
