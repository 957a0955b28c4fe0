"""Small classes as third parties write them; the fixture `register` lets tests choose them by name."""

import math
import multiprocessing
import os
from abc import abstractmethod
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from mibench.batch import Dims
from mibench.engine.backends.base import Backend
from mibench.engine.protocols.samples import Samples
from mibench.engine.protocols.stream import Stream
from mibench.estimators.base import Estimator, FromSamples, FromScores, Maximised
from mibench.models.base import Critic, Model, ModuleCritic
from mibench.objectives import JensenShannon, Objective
from mibench.registry import option
from mibench.tasks import get as task_of
from mibench.tasks.base import Task
from mibench.tasks.pair import Pair, Truth

ABOUT = {"formula": "", "direction": "", "reference": "", "bibtex": ""}


# ---- Estimators that train nothing


@dataclass(frozen=True)
class Correlation(FromSamples):
    """-1/2 sum_c log(1 - r_c^2), r_c the correlation of the c-th coordinates."""

    name = "correlation"
    formula: ClassVar[str] = "-1/2 sum_c log(1 - r_c^2)"

    def estimate_from(self, x, y):
        x, y = (side - side.mean(-2, keepdim=True) for side in (x, y))
        square = (x * y).sum(-2).square() / (x.square().sum(-2) * y.square().sum(-2))
        return -(-square).log1p().sum(-1) / 2


@dataclass(frozen=True)
class RowCount(FromSamples):
    """The number of rows that are read."""

    name = "row-count"

    def estimate_from(self, x, y):
        return torch.full(x.shape[:-2], float(x.shape[-2]), dtype=torch.float64)


@dataclass(frozen=True)
class FirstNumber(FromSamples):
    """The first coordinate of the first x, `scale` times."""

    scale: float = option(1.0, "factor")

    name = "first-number"

    def estimate_from(self, x, y):
        return self.scale * x[..., 0, 0]


# ---- Estimators that raise


@dataclass(frozen=True)
class BrokenReading(FromScores):
    """Trained as JS is; its read-out raises."""

    name = "broken-reading"

    @property
    def objective(self):
        return JensenShannon()

    def estimate(self, scores):
        raise RuntimeError("a mistake\nin a plug-in")


@dataclass(frozen=True)
class BrokenObjective(Maximised):
    """Its objective raises."""

    name = "broken-objective"

    def of(self, scores, state):
        raise RuntimeError("a mistake\nin a plug-in")


# ---- An objective that draws random numbers at each step


@dataclass(frozen=True)
class Denoising(Objective):
    """-E |e(z, y) - e|^2 at a random log-SNR; y is shown or hidden, of whole batches in turn."""

    low: float = -5.0
    high: float = 7.0

    title: ClassVar[str] = "denoising of a plug-in"
    model: ClassVar[str] = "denoiser"

    def draw(self, n, dims, generator, dtype):
        share = torch.rand(n, 1, generator=generator, dtype=dtype)
        return {
            "log_snr": self.low + (self.high - self.low) * share,
            "noise": torch.randn(n, dims.x, generator=generator, dtype=dtype),
        }

    def _errors(self, model, parameters, batch):
        log_snr, noise = batch.drawn["log_snr"], batch.drawn["noise"]
        snr = log_snr.exp()
        z = (snr.sqrt() * batch.x + noise) / (1 + snr).sqrt()
        seen, blind = (model.noise(parameters, z, log_snr, y) for y in (batch.y, None))
        return seen, blind, noise

    def value(self, model, parameters, state, batch):
        seen, blind, noise = self._errors(model, parameters, batch)
        return -((seen - noise).square() + (blind - noise).square()).sum(-1).mean(-1), None

    def outputs(self, model, parameters, batch):
        seen, blind, noise = self._errors(model, parameters, batch)
        gap = (blind - noise).square().sum(-1) - (seen - noise).square().sum(-1)
        return {"integrand": (self.high - self.low) / 2 * gap}

    def criterion(self, outputs):
        return outputs["integrand"].mean(-1)


@dataclass(frozen=True)
class Denoised(Estimator):
    """I = 1/2 int mmse(x) - mmse(x given y) d log-SNR."""

    name = "denoised"

    @property
    def objective(self):
        return Denoising()

    def read(self, outputs, batch):
        return outputs["integrand"].double().mean(-1)


# ---- Critics


@dataclass(frozen=True)
class ExactCritic(Critic):
    """`scale` times the log density ratio of a Gaussian pair."""

    dim: int = option(4, "of the Gaussian")
    mi: float = option(2.0, "of the Gaussian")

    name = "exact-critic"

    def initialise(self, dims, generator, dtype):
        return {"scale": torch.ones(1, 1, dtype=dtype)}

    def scores(self, parameters, x, y):
        return parameters["scale"] * task_of("gaussian", dim=self.dim, mi=self.mi).log_density_ratio(x, y)


@dataclass(frozen=True)
class ConstantCritic(Critic):
    """One number, whatever the pair."""

    name = "constant-critic"

    def initialise(self, dims, generator, dtype):
        return {"score": torch.zeros(1, 1, dtype=dtype)}

    def scores(self, parameters, x, y):
        return parameters["score"].expand(-1, x.shape[1], y.shape[1])


class Bilinear(nn.Module):
    """An ordinary module: x' W y of a hidden layer of each side."""

    def __init__(self, dims: Dims, hidden: int, normalisation: type[nn.Module] = nn.LayerNorm) -> None:
        super().__init__()
        self.g = nn.Sequential(nn.Linear(dims.x, hidden), normalisation(hidden), nn.Tanh())
        self.h = nn.Sequential(nn.Linear(dims.y, hidden), nn.Tanh(), nn.Linear(hidden, hidden))

    def forward(self, x, y):
        return self.g(x) @ self.h(y).T


@dataclass(frozen=True)
class OwnModule(ModuleCritic):
    """A critic that is an ordinary module."""

    hidden: int = option(16, "width of the hidden layers")

    name = "own-module"

    def module(self, dims):
        return Bilinear(dims, self.hidden)


@dataclass(frozen=True)
class WithBuffers(ModuleCritic):
    """A critic with running statistics."""

    name = "with-buffers"

    def module(self, dims):
        return Bilinear(dims, 16, nn.BatchNorm1d)


class Pairwise(nn.Module):
    """One score per pair of rows, not one per x and y."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.layer = nn.Linear(dims.x + dims.y, 1)

    def forward(self, x, y):
        return self.layer(torch.cat([x, y], 1))[:, 0]


@dataclass(frozen=True)
class WrongShape(ModuleCritic):
    """A critic that returns n scores in place of n x n."""

    name = "wrong-shape"

    def module(self, dims):
        return Pairwise(dims)


# ---- A kind of model of its own


class Regression(Model):
    """A prediction of y from x."""

    kind: ClassVar[str] = "regression"
    default: ClassVar[str] = "linear-regression"
    small: ClassVar[str] = "linear-regression[scale=0.1]"

    @abstractmethod
    def predict(self, parameters, x):
        """Return the prediction of y: (R, n, dim_x) -> (R, n, dim_y)."""

    def inputs(self, dims):
        return {"x": dims.x}

    def outputs(self, parameters, *inputs):
        return {"prediction": self.predict(parameters, *inputs)}

    def shapes(self, n, dims):
        return {"prediction": (n, dims.y)}


@dataclass(frozen=True)
class LinearRegression(Regression):
    """A x."""

    scale: float = option(1.0, "of the initial A")

    name = "linear-regression"

    def initialise(self, dims, generator, dtype):
        return {"a": self.scale * torch.randn(dims.x, dims.y, generator=generator, dtype=dtype)}

    def predict(self, parameters, x):
        return x @ parameters["a"]


@dataclass(frozen=True)
class QuadraticRegression(Regression):
    """A x + B x^2."""

    name = "quadratic-regression"

    def initialise(self, dims, generator, dtype):
        return {key: torch.randn(dims.x, dims.y, generator=generator, dtype=dtype) for key in "ab"}

    def predict(self, parameters, x):
        return x @ parameters["a"] + x.square() @ parameters["b"]


@dataclass(frozen=True)
class LeastSquares(Objective):
    """Minus the squared error."""

    title: ClassVar[str] = "least squares"
    model: ClassVar[str] = "regression"

    def outputs(self, model, parameters, batch):
        return {"residual": batch.y - model.predict(parameters, batch.x)}

    def value(self, model, parameters, state, batch):
        outputs = self.outputs(model, parameters, batch)
        return self.criterion(outputs), outputs

    def criterion(self, outputs):
        return -outputs["residual"].square().sum(-1).mean(-1)


class LeastSquaresByQuadratics(LeastSquares):
    """The same, with a default model of its own."""

    default_model: ClassVar[str] = "quadratic-regression"


@dataclass(frozen=True)
class Explained(Estimator):
    """-1/2 sum_c log(var(y_c - prediction) / var(y_c))."""

    name = "explained"
    formula: ClassVar[str] = "-1/2 sum_c log(var(y_c - prediction) / var(y_c))"
    direction: ClassVar[str] = "no bound"
    reference: ClassVar[str] = "this test"
    bibtex: ClassVar[str] = "@misc{this}"

    @property
    def objective(self):
        return LeastSquares()

    def read(self, outputs, batch):
        left, whole = (side.double().var(-2) for side in (outputs["residual"], batch.y))
        return -(left / whole).log().sum(-1) / 2


@dataclass(frozen=True)
class ExplainedByQuadratics(Explained):
    """The same, with the default model of its objective."""

    name = "explained-by-quadratics"

    @property
    def objective(self):
        return LeastSquaresByQuadratics()


# ---- Protocols


@dataclass(frozen=True)
class Leisurely(Stream):
    """The stream, which says something else of itself."""

    share: float = option(0.25, "of nothing")

    name = "leisurely"
    methods: ClassVar[str] = "Trained with {{ '{:.0%}'.format(share) }} leisure on {{ batches | spread }}."


@dataclass(frozen=True)
class OtherSamples(Samples):
    """A data set under another name."""

    name = "other-samples"


# ---- A backend


@dataclass(frozen=True)
class Elsewhere(Backend):
    """Another process, to which jobs are pickled."""

    name = "elsewhere"
    processes: ClassVar[set[int]] = set()

    def run(self, jobs, device, report):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
            self.processes.add(executor.submit(os.getpid).result())
            for job in jobs:
                try:
                    yield job, executor.submit(job.run, device, float).result()
                except Exception as error:
                    yield job, error


# ---- Tasks


def _signs(n, generator=None, dtype=None):
    """x = (s, noise), y = (s', noise), s a random sign that s' shares with probability 0.9."""
    shared, flip = torch.rand(2, n, generator=generator)
    x, y = torch.randn(2, n, 2, generator=generator, dtype=dtype)
    x[:, 0] = torch.where(shared < 0.5, 1.0, -1.0)
    y[:, 0] = torch.where(flip < 0.9, x[:, 0], -x[:, 0])
    return x, y


SIGNS_NATS = math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1)


@dataclass(frozen=True)
class Enclosed(Task):
    """A pair whose information is known to lie in an interval, and whose density ratio is not known."""

    name = "enclosed"
    reference: ClassVar[str] = "this test"

    def pair(self):
        return Pair(Dims(2, 2), Truth(0.0, math.log(2), "data processing", 0.999), _signs)


@dataclass(frozen=True)
class Unknown(Task):
    """A pair of which nothing is known."""

    name = "unknown"
    reference: ClassVar[str] = "this test"

    def pair(self):
        return Pair(Dims(2, 2), Truth.unknown(), _signs)


for kind in (Correlation, RowCount, FirstNumber, BrokenReading, BrokenObjective, Denoised):
    for attribute, text in ABOUT.items():
        if not hasattr(kind, attribute):
            setattr(kind, attribute, text)
