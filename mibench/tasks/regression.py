"""A lower bound at 99.9% confidence on the information of a representation, by a regression."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mibench.tasks.normal import entropy
from mibench.tasks.pair import Draw

FITTED_ROWS = 20_000
JUDGED_ROWS = 40_000
STANDARD_ERRORS = 3.0
"""This many are subtracted from the mean: the bound then fails with a probability near 0.001."""

REGRESSION_CONFIDENCE = 0.999


def barber_agakov(draw: Draw, covariance: Tensor, generator: torch.Generator) -> float:
    """Return a lower bound in nats on I(C;Y) for Gaussian y of that covariance and any c.

        I(C;Y) = h(Y) - h(Y|C) >= h(Y) + E log q(Y | C)

    with q a Gaussian whose mean is linear in c and whose covariance is that of the residuals, fitted on some
    rows; the expectation is a mean over other rows, less three of its standard errors.

    Reference: Barber & Agakov 2003, NeurIPS.
    """
    inputs, outputs = draw(FITTED_ROWS, generator, torch.float64)
    fitted = torch.linalg.lstsq(_with_constant(inputs), outputs, driver="gelsd").solution
    residuals = outputs - _with_constant(inputs) @ fitted
    root = torch.linalg.cholesky(residuals.mT @ residuals / len(residuals))
    inputs, outputs = draw(JUDGED_ROWS, generator, torch.float64)
    errors = outputs - _with_constant(inputs) @ fitted
    white = torch.linalg.solve_triangular(root, errors.mT, upper=False)
    constant = root.diagonal().log().sum() + len(root) * math.log(2 * math.pi) / 2
    log_q = -white.square().sum(0) / 2 - constant
    error = log_q.std() / math.sqrt(len(log_q))
    return entropy(covariance) + float(log_q.mean() - STANDARD_ERRORS * error)


def _with_constant(inputs: Tensor) -> Tensor:
    return torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1)
