"""Batches of which the score matrix is too large to be formed: models and pairs that return tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from mibench.batch import Tensors
from mibench.models.base import Conditional, Critic, Model
from mibench.tasks.pair import Pair, Pairwise
from mibench.tiles import LARGEST_MATRIX, TILE_PAIRS, Operand, Tiles

ANCHORS = 1024
"""Of a larger batch, this many rows are read against all n."""

FEATURE_ROWS = 2**13
"""Features are computed of this many rows at a time."""


def anchors_at(n: int) -> int:
    """Return how many rows of a batch of n are read."""
    return n if n <= LARGEST_MATRIX else ANCHORS


@dataclass(frozen=True)
class Tiling:
    """How a score matrix is tiled.

    Attributes:
        anchors: how many rows of a batch are read.
        dtype: that of scores and what is reduced from them; None for the model's own.
        most_pairs: how many pairs a tile has at most, all runs together.
    """

    anchors: int
    dtype: torch.dtype | None = torch.float64
    most_pairs: int = TILE_PAIRS

    def of(self, of_pairs: Callable[..., Tensor], x: Tensor, y: Tensor, parameters: Tensors) -> Tensor:
        """Return a function of parameters and all pairs of rows, as tiles in place of a tensor.

        x (R, n, any), y (R, n, any). Estimators and objectives use of a matrix only what `Tiles` and
        `mibench.scores` offer.
        """
        dtype = self.dtype or x.dtype

        def block(parts: Sequence[Tensor]) -> Tensor:
            some_x, some_y, *values = parts
            return of_pairs(dict(zip(parameters, values, strict=True)), some_x, some_y).to(dtype)

        operands = (Operand(x, rows=1), Operand(y, columns=1), *map(Operand, parameters.values()))
        return cast(
            "Tensor", Tiles(block, operands, len(x), x.shape[1], self.anchors, self.most_pairs, dtype)
        )


@dataclass(frozen=True)
class TiledCritic:
    """A critic whose scores are tiles."""

    critic: Critic
    tiling: Tiling

    def scores(self, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return f(x_i, y_j) of every run, as tiles in place of a tensor."""
        return self.tiling.of(self.critic.scores_of, *_features(self.critic, parameters, x, y), parameters)


@dataclass(frozen=True)
class TiledConditional:
    """A conditional density whose log density of all pairs is tiles."""

    density: Conditional
    tiling: Tiling

    def log_prob(self, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return log q(y_j | x_i) of every run, as tiles in place of a tensor."""
        return self.tiling.of(self.density.log_prob, x, y, parameters)

    def log_prob_of_pairs(self, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return log q(y_i | x_i)."""
        return self.density.log_prob_of_pairs(parameters, x, y)

    def log_marginal(self, parameters: Tensors, y: Tensor) -> Tensor:
        """Return log q(y_j)."""
        return self.density.log_marginal(parameters, y)


def forms_pairs(kind: type[Model]) -> bool:
    """Return whether a model computes something of all pairs of rows, so that there are anchors."""
    return issubclass(kind, Critic | Conditional)


def tiled_model(model: Model | None, tiling: Tiling) -> object:
    """Return a model that returns tiles where it would form n x n numbers, others as they are."""
    if isinstance(model, Critic):
        return TiledCritic(model, tiling)
    if isinstance(model, Conditional):
        return TiledConditional(model, tiling)
    return model


def tiled_pair(pair: Pair, tiling: Tiling) -> Pair:
    """Return a pair whose log density ratio and conditional are tiles."""

    def tiled(known: Pairwise | None) -> Pairwise | None:
        if known is None:
            return None
        of_pairs: Pairwise = known
        return lambda x, y: tiling.of(lambda _, some_x, some_y: of_pairs(some_x, some_y), x, y, {})

    return replace(pair, log_ratio=tiled(pair.log_ratio), log_conditional=tiled(pair.log_conditional))


def _features(critic: Critic, parameters: Tensors, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features of all rows, a few at a time: hidden layers are wider than what they lead to."""
    rows = zip(torch.split(x, FEATURE_ROWS, 1), torch.split(y, FEATURE_ROWS, 1), strict=True)
    parts = [critic.features(parameters, some_x, some_y) for some_x, some_y in rows]
    of_x, of_y = zip(*parts, strict=True)
    return torch.cat(of_x, 1), torch.cat(of_y, 1)
