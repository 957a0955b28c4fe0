"""Sums over a score matrix that many objectives and estimators share.

Everywhere, `scores[..., i, j] = f(x_i, y_j)`: the diagonal holds joint samples, the rest samples of the
product of the marginals. Leading axes are runs or batches and never mix. All works on `Tiles` as well, which
stand for a matrix that is never formed: there n - 1 others are read for each of m anchors, and means are over
these.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import softplus

from mibench.tiles import LARGEST_MATRIX, Tiles, zeros

Scores = Tensor | Tiles
"""A score matrix (..., n, n), or what stands for one."""


def constant(n: int) -> Tensor:
    """Return the scores 0 of one run, (1, n, n) in float64; as tiles where n is large."""
    if n > LARGEST_MATRIX:
        return cast("Tensor", zeros(n))
    return torch.zeros(1, n, n, dtype=torch.float64)


def positives(scores: Scores) -> Tensor:
    """Return the scores of the joint samples, shape (..., n, n) -> (..., n)."""
    if isinstance(scores, Tiles):
        return scores.diagonal()
    return scores.diagonal(dim1=-2, dim2=-1)


def following(scores: Scores) -> Tensor:
    """Return f(x_i, y_(i+1)), one noise sample for each x, indices modulo n: (..., n, n) -> (..., n)."""
    if isinstance(scores, Tiles):
        return scores.following()
    return positives(scores.roll(-1, dims=-1))


def off_diagonal(scores: Tensor) -> Tensor:
    """Return the scores with -inf on the diagonal, so that exp sums over samples of the marginals alone."""
    return scores.masked_fill(_diagonal(scores), -math.inf)


def log_sum_exp_rows(scores: Scores) -> Tensor:
    """Return log sum_j exp f(x_i, y_j), the row's own included: (..., n, n) -> (..., n)."""
    return scores.logsumexp_rows(with_own=True) if isinstance(scores, Tiles) else scores.logsumexp(-1)


def log_sum_exp_columns(scores: Scores) -> Tensor:
    """Return log sum_i exp f(x_i, y_j), the column's own included: (..., n, n) -> (..., n)."""
    return scores.logsumexp_columns(with_own=True) if isinstance(scores, Tiles) else scores.logsumexp(-2)


def log_sum_exp_other_rows(scores: Scores) -> Tensor:
    """Return log sum_(i != j) exp f(x_i, y_j) of each column: (..., n, n) -> (..., n)."""
    if isinstance(scores, Tiles):
        return scores.logsumexp_columns(with_own=False)
    return off_diagonal(scores).logsumexp(-2)


def mean_negatives(scores: Scores) -> Tensor:
    """Return the mean over the n (n - 1) off-diagonal scores, (..., n, n) -> (...)."""
    if isinstance(scores, Tiles):
        return scores.mean_following(scores.n - 1)
    n = scores.shape[-1]
    return scores.masked_fill(_diagonal(scores), 0).sum((-2, -1)) / (n * (n - 1))


def mean_following(scores: Scores, k: int, of: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the mean of a function of f(x_i, y_(i+1)) ... f(x_i, y_(i+k)), indices modulo n.

    (..., n, n) -> (...); these are the k noise samples of each x.
    """
    if isinstance(scores, Tiles):
        return scores.map(of).mean_following(k)
    n = scores.shape[-1]
    anchor = torch.arange(n, device=scores.device)[:, None]
    columns = (anchor + torch.arange(1, k + 1, device=scores.device)) % n
    return of(scores.gather(-1, columns.expand(*scores.shape[:-2], n, k))).mean((-2, -1))


def log_mean_exp_negatives(scores: Scores) -> Tensor:
    """Return log of the mean of exp over the n (n - 1) off-diagonal scores, (..., n, n) -> (...)."""
    if isinstance(scores, Tiles):
        return scores.logsumexp_rows(with_own=False).logsumexp(-1) - math.log(scores.pairs)
    n = scores.shape[-1]
    return off_diagonal(scores).logsumexp((-2, -1)) - math.log(n * (n - 1))


def extremes(scores: Scores) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest score of each matrix, (..., n, n) -> (...), (...)."""
    if isinstance(scores, Tiles):
        return scores.extremes()
    lowest, highest = scores.aminmax(dim=-1)
    return lowest.amin(-1), highest.amax(-1)


def donsker_varadhan(scores: Scores) -> Tensor:
    """Return E_P f - log E_Q exp f of each score matrix, (..., n, n) -> (...)."""
    return positives(scores).mean(-1) - log_mean_exp_negatives(scores)


def jensen_shannon(scores: Scores) -> Tensor:
    """Return E_P[-softplus(-f)] - E_Q[softplus(f)] of each score matrix, (..., n, n) -> (...)."""
    each = scores.map(softplus) if isinstance(scores, Tiles) else softplus(scores)
    return -softplus(-positives(scores)).mean(-1) - mean_negatives(each)


def _diagonal(scores: Tensor) -> Tensor:
    return torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)
