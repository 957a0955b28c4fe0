"""Reading batches of which the score matrix is too large to be formed: models and pairs that return tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor

from mibench.batch import Tensors
from mibench.models.base import Conditional, Critic, Model
from mibench.tasks.pair import Pair, Pairwise
from mibench.tiles import TILE_PAIRS, Tiles

LARGEST_MATRIX = 2048
"""Up to this n the score matrix is formed."""

ANCHORS = 1024
"""Of a larger batch, this many rows are read against all n."""

FEATURE_ROWS = 2**13
"""Features are computed of this many rows at a time."""


def anchors_at(n: int) -> int:
    """Return how many rows of a batch of n are read."""
    return n if n <= LARGEST_MATRIX else ANCHORS


@dataclass(frozen=True)
class TiledCritic:
    """A critic whose scores are tiles."""

    critic: Critic
    anchors: int
    most_pairs: int

    def scores(self, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return f(x_i, y_j) of every run, as tiles in place of a tensor."""
        of_x, of_y = _features(self.critic, parameters, x, y)
        return _tiles(partial(self.critic.scores_of, parameters), of_x, of_y, self.anchors, self.most_pairs)


@dataclass(frozen=True)
class TiledConditional:
    """A conditional density whose log density of all pairs is tiles."""

    density: Conditional
    anchors: int
    most_pairs: int

    def log_prob(self, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return log q(y_j | x_i) of every run, as tiles in place of a tensor."""
        return _tiles(partial(self.density.log_prob, parameters), x, y, self.anchors, self.most_pairs)

    def log_prob_of_pairs(self, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return log q(y_i | x_i)."""
        return self.density.log_prob_of_pairs(parameters, x, y)

    def log_marginal(self, parameters: Tensors, y: Tensor) -> Tensor:
        """Return log q(y_j)."""
        return self.density.log_marginal(parameters, y)


def tiled_model(model: Model | None, anchors: int, numbers_a_pair: float) -> object:
    """Return a model that returns tiles where it would form n x n numbers, others as they are.

    `numbers_a_pair` are the numbers that a forward pass holds for each pair.
    """
    most_pairs = max(1, int(TILE_PAIRS / max(1.0, numbers_a_pair)))
    if isinstance(model, Critic):
        return TiledCritic(model, anchors, most_pairs)
    if isinstance(model, Conditional):
        return TiledConditional(model, anchors, most_pairs)
    return model


def tiled_pair(pair: Pair, anchors: int) -> Pair:
    """Return a pair whose log density ratio and conditional are tiles."""

    def tiled(known: Pairwise | None) -> Pairwise | None:
        if known is None:
            return None
        of_pairs: Pairwise = known
        return lambda x, y: _tiles(of_pairs, x, y, anchors)

    return replace(pair, log_ratio=tiled(pair.log_ratio), log_conditional=tiled(pair.log_conditional))


def _features(critic: Critic, parameters: Tensors, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features of all rows, a few at a time: hidden layers are wider than what they lead to."""
    rows = zip(torch.split(x, FEATURE_ROWS, 1), torch.split(y, FEATURE_ROWS, 1), strict=True)
    parts = [critic.features(parameters, some_x, some_y) for some_x, some_y in rows]
    of_x, of_y = zip(*parts, strict=True)
    return torch.cat(of_x, 1), torch.cat(of_y, 1)


def _tiles(of_pairs: Pairwise, x: Tensor, y: Tensor, anchors: int, most_pairs: int = TILE_PAIRS) -> Tensor:
    """Return a function of all pairs of rows, x (R, n, any) and y (R, n, any), as tiles in place of a tensor.

    Estimators and objectives use of a matrix only what `Tiles` and `mibench.scores` offer.
    """

    def block(rows: slice, columns: slice) -> Tensor:
        return of_pairs(x[:, rows], y[:, columns])

    return cast("Tensor", Tiles(block, len(x), x.shape[1], anchors, most_pairs))
