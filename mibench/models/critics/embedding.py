"""The embedding critic: a vector for every token and for every context."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mibench.batch import Dims, Tensors
from mibench.errors import UsageError
from mibench.models.base import Critic
from mibench.networks import initialise
from mibench.registry import option
from mibench.validation import check_sizes

STRETCH = 3.0
"""Vectors are their parameters times this: each token is rarely updated, and Adam's step per update is as
small as for dense weights."""


@dataclass(frozen=True)
class Embedding(Critic):
    """f(x, y) = u_x . v_y + b_y for tokens x and y, as word embeddings are trained.

    x and y are the numbers of tokens, one coordinate each.
    """

    vocabulary: int = option(1000, "number of tokens")
    embedding: int = option(32, "dimension of u and v")

    name = "embedding"

    def __post_init__(self) -> None:
        check_sizes(self.name, vocabulary=self.vocabulary, embedding=self.embedding)

    def check(self, dims: Dims) -> None:
        """Raise a UsageError where there are no tokens, or more of them than embeddings."""
        if dims.vocabulary is None:
            raise UsageError(
                f"Critic {self.name!r} takes tokens, and the data here are real numbers.",
                "Give --critic separable, or --task bigram.",
            )
        if dims.vocabulary > self.vocabulary:
            raise UsageError(
                f"Critic {self.name!r} has vectors for {self.vocabulary} tokens; the task has "
                f"{dims.vocabulary}.",
                f"Give --critic 'embedding[vocabulary={dims.vocabulary}]', or leave --critic out.",
            )

    def initialise(self, dims: Dims, generator: torch.Generator, dtype: torch.dtype) -> Tensors:
        """Return u, v and b."""
        shapes = {
            "u": (self.vocabulary, self.embedding, self.embedding),
            "v": (self.vocabulary, self.embedding, self.embedding),
            "b": (self.vocabulary, 1, self.embedding),
        }
        return initialise(shapes, generator, dtype)

    def scores(self, parameters: Tensors, x: Tensor, y: Tensor) -> Tensor:
        """Return u_(x_i) . v_(y_j) + b_(y_j)."""
        left = _looked_up(parameters["u"], x)
        return left @ _looked_up(parameters["v"], y).mT + _looked_up(parameters["b"], y).mT


def _looked_up(table: Tensor, tokens: Tensor) -> Tensor:
    """Return the rows of tokens: (R, vocabulary, dim), (R, n, 1) -> (R, n, dim)."""
    return STRETCH * table.gather(1, tokens.long().expand(-1, -1, table.shape[-1]))
