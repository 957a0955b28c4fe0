"""Sums over a score matrix that many objectives and estimators share.

Everywhere, `scores[..., i, j] = f(x_i, y_j)`: the diagonal holds joint samples, the rest samples of the
product of the marginals. Leading axes are runs or batches and never mix.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus


def positives(scores: Tensor) -> Tensor:
    """Return the scores of the joint samples, shape (..., n, n) -> (..., n)."""
    return scores.diagonal(dim1=-2, dim2=-1)


def off_diagonal(scores: Tensor) -> Tensor:
    """Return the scores with -inf on the diagonal, so that exp sums over samples of the marginals alone."""
    return scores.masked_fill(_diagonal(scores), -math.inf)


def mean_negatives(scores: Tensor) -> Tensor:
    """Return the mean over the n (n - 1) off-diagonal scores, (..., n, n) -> (...)."""
    n = scores.shape[-1]
    return scores.masked_fill(_diagonal(scores), 0).sum((-2, -1)) / (n * (n - 1))


def log_mean_exp_negatives(scores: Tensor) -> Tensor:
    """Return log of the mean of exp over the n (n - 1) off-diagonal scores, (..., n, n) -> (...)."""
    n = scores.shape[-1]
    return off_diagonal(scores).logsumexp((-2, -1)) - math.log(n * (n - 1))


def donsker_varadhan(scores: Tensor) -> Tensor:
    """Return E_P f - log E_Q exp f of each score matrix, (..., n, n) -> (...)."""
    return positives(scores).mean(-1) - log_mean_exp_negatives(scores)


def jensen_shannon(scores: Tensor) -> Tensor:
    """Return E_P[-softplus(-f)] - E_Q[softplus(f)] of each score matrix, (..., n, n) -> (...)."""
    return -softplus(-positives(scores)).mean(-1) - mean_negatives(softplus(scores))


def _diagonal(scores: Tensor) -> Tensor:
    return torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)
