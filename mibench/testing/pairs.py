"""Pairs of which everything is known, on which estimators are tested."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from mibench.batch import Batch, Dims
from mibench.engine.data import known
from mibench.seeding import stream
from mibench.tasks.normal import Normal
from mibench.tasks.pair import Pair, Truth

NUMBERS_AT_ONCE = 2**20
"""Matrices of this many numbers are formed at a time."""


class Setting(NamedTuple):
    """Jointly Gaussian x and y of these dimensions with this information in nats."""

    dim_x: int
    dim_y: int
    nats: float


@lru_cache(maxsize=64)
def gaussian(setting: Setting) -> Pair:
    """Return standard Gaussians, correlated coordinate by coordinate as far as both have coordinates."""
    dim_x, dim_y, nats = setting
    rho = (-torch.expm1(torch.tensor(-2 * nats / min(dim_x, dim_y), dtype=torch.float64))).sqrt()
    across = rho * torch.eye(dim_x, dim_y, dtype=torch.float64)
    one_x, one_y = (torch.eye(dim, dtype=torch.float64) for dim in (dim_x, dim_y))
    normal = Normal.of(one_x, one_y, across)

    def draw(
        n: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, dim_x, generator=generator, dtype=torch.float64)
        noise = torch.randn(n, dim_y, generator=generator, dtype=torch.float64)
        deviation = (1 - across.square().sum(0)).sqrt()
        return x.to(dtype), (x @ across + deviation * noise).to(dtype)

    return Pair(
        Dims(dim_x, dim_y),
        Truth.exactly(nats),
        draw,
        normal.log_ratio,
        normal.log_conditional,
        normal.entropy_y,
    )


def batch_of(pair: Pair, n: int, count: int, purpose: str) -> Batch:
    """Return `count` batches of n pairs in float64; equal arguments give equal data."""
    x, y = pair.draw(n * count, stream("conformance", purpose, n), torch.float64)
    return as_batch(pair, x.view(count, n, -1), y.view(count, n, -1))


def as_batch(pair: Pair, x: Tensor, y: Tensor) -> Batch:
    """Return x (count, n, dim_x) and y with what the pair knows of itself."""
    return Batch(x, y, known=known([pair] * len(x), x.device))


def in_parts(batch: Batch) -> Iterator[Batch]:
    """Yield a batch in pieces along its first axis, whose n x n matrices are of moderate size."""
    at_once = max(1, NUMBERS_AT_ONCE // batch.x.shape[1] ** 2)
    pieces = [torch.split(tensor, at_once) for tensor in batch.tensors()]
    for x, y, *rest in zip(*pieces, strict=True):
        named = dict(zip(itertools.chain(batch.drawn, batch.known), rest, strict=True))
        yield Batch(x, y, {key: named[key] for key in batch.drawn}, {key: named[key] for key in batch.known})
