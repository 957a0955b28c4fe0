"""Pairs of finitely many rows whose classes are known: equal rows, and what they tell of each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mibench.tasks.pair import Pairwise

RESOLUTION = 2.0**-20
"""A coordinate differs in two rows if by more than this times its largest magnitude.

That is 16 of float32's rounding errors there, so that rows that differ are still told apart once they were
rounded to float32, centred and scaled.
"""

MOST_CELLS = 2**22
"""Tables of pairs of rows are computed a few rows at a time, with at most this many cells."""


def equal_rows(rows: Tensor) -> Tensor:
    """Return the group of each row (N, dim), such that equal rows are of one group, (N).

    Rows are equal where no coordinate differs by more than `RESOLUTION` times its largest magnitude. As that
    is not transitive, rows are of one group as well if a chain of equal rows connects them: groups are split
    wherever the sorted values of a coordinate leave a larger gap, coordinate by coordinate until none does.
    """
    values, same = np.unique(rows.double().numpy(), axis=0, return_inverse=True)
    gaps = RESOLUTION * np.abs(values).max(0)
    groups, count = np.zeros(len(values), dtype=np.int64), 0
    while groups.max() >= count:
        count = int(groups.max()) + 1
        for column, gap in zip(values.T, gaps, strict=True):
            shared = np.flatnonzero(np.bincount(groups)[groups] > 1)
            if len(shared):
                groups[shared] = _split(groups[shared], column[shared], gap) + len(values)
                groups = np.unique(groups, return_inverse=True)[1]
    return torch.from_numpy(groups[same.reshape(-1)])


def _split(groups: NDArray[np.int64], values: NDArray[np.float64], gap: float) -> NDArray[np.int64]:
    """Return the groups of values once they are split at gaps."""
    order = np.lexsort((values, groups))
    begins = (np.diff(groups[order]) > 0) | (np.diff(values[order]) > gap)
    found = np.empty_like(groups)
    found[order] = np.concatenate([[0], np.cumsum(begins)])
    return found


@dataclass(frozen=True, eq=False)
class Nearest:
    """What is known of the nearest of some rows.

    Coordinates are divided by their largest magnitude, so that a small one counts as much as a large one.

    Attributes:
        rows: (N, dim), in float64.
        labels: of each row, (N).
    """

    rows: Tensor
    labels: Tensor

    @cached_property
    def _center_and_scale(self) -> tuple[Tensor, Tensor]:
        largest = self.rows.abs().amax(0)
        return self.rows.mean(0), torch.where(largest > 0, largest, 1.0)

    def _scaled(self, rows: Tensor) -> Tensor:
        """Return rows on that scale, centred: what they have in common would hide how they differ."""
        center, scale = (kept.to(rows.device) for kept in self._center_and_scale)
        return (rows.double() - center) / scale

    @cached_property
    def _known(self) -> Tensor:
        return self._scaled(self.rows)

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the label of the row that is nearest to each of `rows`: (..., dim) -> (...)."""
        known = self._known.to(rows.device)
        squares = known.square().sum(-1)
        flat = self._scaled(rows).reshape(-1, rows.shape[-1])
        nearest = [
            (squares - 2 * some @ known.mT).argmin(-1)
            for some in torch.split(flat, max(1, MOST_CELLS // len(known)))
        ]
        return self.labels.to(rows.device)[torch.cat(nearest)].view(rows.shape[:-1])


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a pair: rows, drawn with given probabilities, and what they tell of the class.

    Rows that tell the same of the class need not be told apart: no information is lost without that.

    Attributes:
        posteriors: P(class | row), each once, (K, M).
        probabilities: of a row that has each of them, (K).
        places: which of them a row has, by the nearest row.
    """

    posteriors: Tensor
    probabilities: Tensor
    places: Nearest

    @classmethod
    def of(cls, rows: Tensor, classes: Tensor, probabilities: Tensor) -> Side:
        """Return the side of rows (N, dim), drawn with `probabilities`; equal rows are one."""
        groups = equal_rows(rows)
        joint = torch.zeros(int(groups.max()) + 1, int(classes.max()) + 1, dtype=torch.float64)
        joint.index_put_((groups, classes), probabilities, accumulate=True)
        each = joint.sum(1)
        posteriors, places = torch.unique(joint / each[:, None], dim=0, return_inverse=True)
        found = torch.zeros(len(posteriors), dtype=torch.float64).index_add_(0, places, each)
        return cls(posteriors, found, Nearest(rows, places[groups]))

    @property
    def tells_class(self) -> bool:
        """Whether each row is of one class alone."""
        return bool((self.posteriors.amax(1) == 1).all())


def joint_information(x: Side, y: Side, ratio: Tensor) -> float:
    """Return I(X;Y) in nats, for rows that depend on each other through their classes alone.

    `ratio` is p(c, c') / p(c) p(c'), (M, M). With a_x = P(c | x) and b_y = P(c' | y),

        I(X;Y) = sum over x, y of p(x) p(y) r log r,   r = a_x' R b_y.
    """
    total = 0.0
    at_once = max(1, MOST_CELLS // len(y.posteriors))
    parts = (torch.split(kept, at_once) for kept in (x.posteriors @ ratio, x.probabilities))
    for of_x, probabilities in zip(*parts, strict=True):
        density = of_x @ y.posteriors.mT
        total += (probabilities @ torch.xlogy(density, density) @ y.probabilities).item()
    return max(0.0, total)


def log_ratio(x: Side, y: Side, ratio: Tensor, tiles: int) -> Pairwise:
    """Return the log density ratio of `tiles` rows side by side: the sum of log a_x' R b_y."""
    table = (x.posteriors @ ratio @ y.posteriors.mT).log()
    return of_table(x.places, y.places, table, tiles)


def of_table(of_x: Nearest, of_y: Nearest, table: Tensor, tiles: int) -> Pairwise:
    """Return the function that sums the cells of a table at the labels of x and of y, tile by tile."""

    def summed(x: Tensor, y: Tensor) -> Tensor:
        labels = (find(side.reshape(*side.shape[:-1], tiles, -1)) for find, side in ((of_x, x), (of_y, y)))
        here = table.to(x.device)
        terms = [
            here[a[..., :, None], b[..., None, :]]
            for a, b in zip(*(found.unbind(-1) for found in labels), strict=True)
        ]
        return torch.stack(terms).sum(0)

    return summed
