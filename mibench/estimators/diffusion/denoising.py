"""What the estimators share that are read from a denoiser: the objective that trains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mibench.batch import Batch, Dims, Tensors
from mibench.models.base import Denoiser
from mibench.objectives import Objective


@dataclass(frozen=True)
class Denoising(Objective):
    """Minus the error of predicting the noise in a noisy x, with and without y.

        z = sqrt(s(a)) x + sqrt(s(-a)) e,   s(a) = 1 / (1 + exp(-a)),   e ~ N(0, 1)

    at a log signal-to-noise ratio a that is drawn uniformly between `low` and `high`. Outputs: both
    predictions and the noise, each (R, n, dim_x).
    """

    low: float = -8.0
    high: float = 10.0

    title: ClassVar[str] = "denoising"
    model: ClassVar[str] = "denoiser"

    def draw(self, n: int, dims: Dims, generator: torch.Generator, dtype: torch.dtype) -> Tensors:
        """Return a log signal-to-noise ratio for every row, stratified, and the noise."""
        place = (torch.arange(n)[:, None] + torch.rand(n, 1, generator=generator, dtype=torch.float64)) / n
        noise = torch.randn(n, dims.x, generator=generator, dtype=dtype)
        return {"log_snr": (self.low + (self.high - self.low) * place).to(dtype), "noise": noise}

    def outputs(self, model: Denoiser, parameters: Tensors, batch: Batch) -> Tensors:
        """Return the noise and its predictions with y and without, on the same noisy x."""
        log_snr, noise = batch.drawn["log_snr"], batch.drawn["noise"]
        z = log_snr.sigmoid().sqrt() * batch.x + (-log_snr).sigmoid().sqrt() * noise
        return {
            "noise": noise,
            "given": model.noise(parameters, z, log_snr, batch.y),
            "free": model.noise(parameters, z, log_snr, None),
        }

    def value(
        self, model: Denoiser, parameters: Tensors, state: Tensors, batch: Batch
    ) -> tuple[Tensor, Tensors | None]:
        """Return minus both mean squared errors of every run."""
        outputs = self.outputs(model, parameters, batch)
        return self.criterion(outputs), outputs

    def criterion(self, outputs: Tensors) -> Tensor:
        """Return minus the mean squared errors, summed over coordinates."""
        errors = (outputs[key] - outputs["noise"] for key in ("given", "free"))
        return -torch.stack([error.square().sum(-1).mean(-1) for error in errors]).sum(0)
