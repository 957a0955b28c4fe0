"""The embedding critic: a vector for every word and for every context."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mibench.errors import UsageError
from mibench.models.critics.base import Critic
from mibench.networks import Parameters, Shape, check_sizes
from mibench.registry import option

STRETCH = 3.0
"""Vectors are so many times their parameters: words are met seldom, and each time Adam moves them as little
as it moves a weight that it meets at every step."""


@dataclass(frozen=True)
class Embedding(Critic):
    """f(x, y) = u_x . v_y + b_y for words x and y, as word embeddings are trained.

    x and y are the numbers of words, one coordinate each.
    """

    vocabulary: int = option(1000, "number of words")
    embedding: int = option(32, "dimension of u and v")

    name = "embedding"

    def __post_init__(self) -> None:
        check_sizes(self.name, vocabulary=self.vocabulary, embedding=self.embedding)

    def check(self, vocabulary: int | None) -> None:
        """Raise a UsageError where there are no words, or more of them than embeddings."""
        if vocabulary is None:
            raise UsageError(
                f"Critic {self.name!r} sees words, and the pair here is of real numbers.",
                "Give --critic separable, or --task bigram.",
            )
        if vocabulary > self.vocabulary:
            raise UsageError(
                f"Critic {self.name!r} has vectors for {self.vocabulary} words; the task has {vocabulary}.",
                f"Give --critic 'embedding[vocabulary={vocabulary}]', or leave --critic out.",
            )

    def shapes(self, dim_x: int, dim_y: int) -> dict[str, Shape]:
        """Return the shapes of u, v and b."""
        return {
            "u": (self.vocabulary, self.embedding, self.embedding),
            "v": (self.vocabulary, self.embedding, self.embedding),
            "b": (self.vocabulary, 1, self.embedding),
        }

    def scores(self, parameters: Parameters, x: Tensor, y: Tensor) -> Tensor:
        """Return u_(x_i) . v_(y_j) + b_(y_j)."""
        left = _looked_up(parameters["u"], x)
        return left @ _looked_up(parameters["v"], y).mT + _looked_up(parameters["b"], y).mT

    def activations(self, n: int) -> int:
        """Return the vectors of both sides, and the scores; the gradient is as large as the tables."""
        return n * (2 * self.embedding + 1) + n * n

    def multiplications(self, dim_x: int, dim_y: int, n: int) -> int:
        """Return the products of the vectors, and the optimiser's passes over the tables."""
        return n * n * self.embedding + 4 * self.parameter_count(dim_x, dim_y)


def _looked_up(table: Tensor, words: Tensor) -> Tensor:
    """Return the rows of words: (R, vocabulary, dim), (R, n, 1) -> (R, n, dim)."""
    return STRETCH * table.gather(1, words.long().expand(-1, -1, table.shape[-1]))
