"""What a task makes: a pair (X, Y) that can be sampled, with what is known of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self

import torch
from torch import Tensor

from mibench.batch import Dims

SCALED_BY_ROWS = 4096
"""Coordinates are standardised by the mean and standard deviation of this many training rows."""

MONTE_CARLO_AT_ONCE = 2**12

Encode = Callable[[Tensor], Tensor]
"""Rows (n, dim) to representations (n, dim of the representation), in the type of the rows."""

Pairwise = Callable[[Tensor, Tensor], Tensor]
"""x (..., n, dim_x) and y (..., n, dim_y) to a matrix (..., n, n) in float64, one row per x."""


class Draw(Protocol):
    """A sampler: n independent pairs x (n, dim_x), y (n, dim_y), on the generator's device."""

    def __call__(
        self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw n pairs in `dtype`; NaN where the dtype cannot hold the distribution."""


@dataclass(frozen=True)
class Truth:
    """An interval that holds I(X;Y) in nats: a point where it is exact.

    Attributes:
        how: how it is known, such as "closed form".
        confidence: the probability with which the interval holds I.
    """

    low: float
    high: float
    how: str
    confidence: float = 1.0

    @property
    def value(self) -> float | None:
        """I(X;Y) where it is exact, else None."""
        return self.low if self.low == self.high else None

    @property
    def is_known(self) -> bool:
        """Whether anything is known beyond I >= 0."""
        return math.isfinite(self.high)

    @property
    def middle(self) -> float | None:
        """The middle of the interval, I itself where it is exact; None where nothing is known."""
        return (self.low + self.high) / 2 if self.is_known else None

    @classmethod
    def exactly(cls, nats: float, how: str = "closed form") -> Self:
        """Return the truth of a pair whose information is known."""
        return cls(nats, nats, how)

    @classmethod
    def unknown(cls) -> Self:
        """Return the truth of a pair of which nothing is known."""
        return cls(0.0, math.inf, "unknown")

    @classmethod
    def monte_carlo(
        cls,
        log_ratio: Pairwise,
        draw: Draw,
        generator: torch.Generator,
        rows: int,
        standard_errors: float = 4,
    ) -> Self:
        """Return an interval around the mean of the exact log density ratio over freshly drawn pairs.

        The mean is unbiased for I; the interval is `standard_errors` to both sides, never below 0.
        """
        values = []
        for start in range(0, rows, MONTE_CARLO_AT_ONCE):
            x, y = draw(min(MONTE_CARLO_AT_ONCE, rows - start), generator, torch.float64)
            values.append(log_ratio(x[:, None], y[:, None]).flatten())
        joint = torch.cat(values)
        mean, error = joint.mean().item(), joint.std().item() / math.sqrt(len(joint))
        confidence = math.erf(standard_errors / math.sqrt(2))
        low, high = max(0.0, mean - standard_errors * error), mean + standard_errors * error
        return cls(low, high, f"Monte Carlo, {rows:,} pairs", confidence)


@dataclass(frozen=True, eq=False)
class Pair:
    """A pair (X, Y): a sampler, its truth, and what is known of it exactly; None is not known.

    Attributes:
        log_ratio: log p(x_i, y_j) / p(x_i)p(y_j), NaN where float64 cannot resolve it.
        log_conditional: log p(y_j | x_i) in nats.
        entropy_y: the differential entropy h(Y) in nats.
        facts: what else is known, such as a representation's alignment; fields of a record.
        training: the pair that models train on, where data are finite and were split; None for this one.
    """

    dims: Dims
    truth: Truth
    draw: Draw
    log_ratio: Pairwise | None = None
    log_conditional: Pairwise | None = None
    entropy_y: float | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    training: Pair | None = None

    @property
    def for_training(self) -> Pair:
        """The pair that models train on."""
        return self if self.training is None else self.training


@dataclass(frozen=True)
class _Scale:
    """The mean and the standard deviation of each coordinate, (dim), in float64."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> Self:
        """Return that of rows; a constant coordinate is only centred."""
        deviation = rows.std(0)
        return cls(rows.mean(0), torch.where(deviation > 0, deviation, 1.0))

    def to(self, rows: Tensor) -> Tensor:
        return (rows - self.mean.to(rows)) / self.deviation.to(rows)

    def back(self, rows: Tensor) -> Tensor:
        return rows.double() * self.deviation.to(rows.device) + self.mean.to(rows.device)


def scaled(pair: Pair, generator: torch.Generator) -> Pair:
    """Return a pair with every coordinate centred and scaled by what models train on.

    Information and log density ratio stay as they are; densities of y change by the scale of y.
    """
    x, y = pair.for_training.draw(SCALED_BY_ROWS, generator, torch.float64)
    return _on_scales(pair, _Scale.of(x), _Scale.of(y))


def _on_scales(pair: Pair, scale_x: _Scale, scale_y: _Scale) -> Pair:
    log_volume = scale_y.deviation.log().sum().item()

    def draw(
        n: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        x, y = pair.draw(n, generator, dtype)
        return scale_x.to(x), scale_y.to(y)

    def on_own_scales(known: Pairwise | None, plus: float) -> Pairwise | None:
        if known is None:
            return None
        return lambda x, y: known(scale_x.back(x), scale_y.back(y)) + plus

    return Pair(
        pair.dims,
        pair.truth,
        draw,
        on_own_scales(pair.log_ratio, 0.0),
        on_own_scales(pair.log_conditional, log_volume),
        None if pair.entropy_y is None else pair.entropy_y - log_volume,
        pair.facts,
        None if pair.training is None else _on_scales(pair.training, scale_x, scale_y),
    )


def encoded(
    pair: Pair, encode_x: Encode, encode_y: Encode, truth: Truth, log_ratio: Pairwise | None = None
) -> Pair:
    """Return the pair (encode_x(x), encode_y(y)) of a pair that can be sampled indefinitely."""

    def draw(
        n: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        x, y = pair.draw(n, generator, dtype)
        return encode_x(x), encode_y(y)

    x, y = draw(2, torch.Generator())
    return Pair(Dims(x.shape[1], y.shape[1]), truth, draw, log_ratio)


def of_rows(x: Tensor, y: Tensor, shuffled: bool = False) -> Pair:
    """Return the pair of one's own data, rows x (rows, dim_x) and y (rows, dim_y); nothing is known of it.

    Rows are drawn without replacement. `shuffled` gives each x a y drawn independently, so that their mutual
    information is 0.
    """

    def draw(
        n: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        rows = torch.randperm(len(x), generator=generator)[:n]
        partners = torch.randperm(len(x), generator=generator)[:n] if shuffled else rows
        return x[rows].to(dtype), y[partners].to(dtype)

    return Pair(Dims(x.shape[1], y.shape[1]), Truth.unknown(), draw)
