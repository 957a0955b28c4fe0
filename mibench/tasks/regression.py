"""A certified lower bound on the information of a representation by a regression: Barber & Agakov 2003."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mibench.tasks.normal import entropy

FITTED_ROWS = 20_000
JUDGED_ROWS = 40_000
STANDARD_ERRORS = 3.0
"""So many are taken off the mean: the bound then fails with a probability near 0.001."""

Sample = Callable[[int, torch.Generator, torch.dtype], tuple[Tensor, Tensor]]


def barber_agakov(sample: Sample, covariance: Tensor, generator: torch.Generator) -> float:
    """Return a lower bound in nats on I(C;Y) for Gaussian y of that covariance and any c.

        I(C;Y) = h(Y) - h(Y|C) >= h(Y) + E log q(Y | C)

    with q a Gaussian whose mean is linear in c and whose covariance is that of the residuals, fitted on some
    rows; the expectation is a mean over other rows, less three of its standard errors.

    Reference: Barber & Agakov 2003, NeurIPS.
    """
    inputs, outputs = sample(FITTED_ROWS, generator, torch.float64)
    fitted = torch.linalg.lstsq(_with_constant(inputs), outputs, driver="gelsd").solution
    residuals = outputs - _with_constant(inputs) @ fitted
    root = torch.linalg.cholesky(residuals.mT @ residuals / len(residuals))
    inputs, outputs = sample(JUDGED_ROWS, generator, torch.float64)
    errors = outputs - _with_constant(inputs) @ fitted
    white = torch.linalg.solve_triangular(root, errors.mT, upper=False)
    constant = root.diagonal().log().sum() + len(root) * math.log(2 * math.pi) / 2
    log_q = -white.square().sum(0) / 2 - constant
    error = log_q.std() / math.sqrt(len(log_q))
    return entropy(covariance) + float(log_q.mean() - STANDARD_ERRORS * error)


def _with_constant(inputs: Tensor) -> Tensor:
    return torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1)
