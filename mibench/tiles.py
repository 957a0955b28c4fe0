"""Score matrices that are never formed: what estimators ask of a matrix is reduced tile by tile.

An n x n matrix of scores takes 8 n^2 bytes: 34 GB at n = 65,536. `Tiles` stands for one in float64 and offers
the operations of a tensor that estimators use: arithmetic, clamping, the diagonal, sums and log-sum-exps over
rows, columns or all. Each is reduced over tiles that are computed when they are needed, so memory is O(n).

With `anchors` m < n, only the first m rows are read, each against all n candidates; for columns, the first m
columns against all n rows. Rows of a batch are independent and identically distributed, so a mean over m rows
has the same expectation as that over n.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product

import torch
from torch import Tensor

TILE_PAIRS = 2**18
"""Pairs of a tile, all runs together: 2 MiB in float64."""

Block = Callable[[slice, slice], Tensor]
"""Rows and columns to the scores f(x_i, y_j) of every run: (R, rows, columns)."""

Change = Callable[[Tensor, slice, slice], Tensor]
"""A tile with its rows and columns to the changed tile."""


@dataclass(frozen=True)
class Tiles:
    """The scores f(x_i, y_j) of R runs on n x n pairs, computed tile by tile.

    Attributes:
        block: computes a tile.
        runs: R.
        n: rows and columns.
        anchors: how many rows (or columns) are reduced: the first of them.
        most_pairs: how many pairs a tile has at most, all runs together.
        changes: what is done to each tile after it was computed.
        offset: what is added to all scores; reductions need no new tiles for it.
    """

    block: Block
    runs: int
    n: int
    anchors: int
    most_pairs: int = TILE_PAIRS
    changes: tuple[Change, ...] = ()
    offset: float = 0.0
    _sums: dict[object, Tensor] = field(default_factory=dict, compare=False, repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of the matrix that it stands for."""
        return self.runs, self.n, self.n

    @property
    def pairs(self) -> int:
        """How many pairs off the diagonal are reduced: m (n - 1)."""
        return self.anchors * (self.n - 1)

    # ---- elementwise, when a tile is computed

    def _changed(self, change: Change) -> Tiles:
        offset = self.offset

        def after(tile: Tensor, rows: slice, columns: slice) -> Tensor:
            return change(tile + offset if offset else tile, rows, columns)

        return replace(self, changes=(*self.changes, after), offset=0.0, _sums={})

    def _with(self, operation: Callable[[Tensor, Tensor | float], Tensor], other: Tensor | float) -> Tiles:
        if not isinstance(other, Tensor):
            return self._changed(lambda tile, rows, columns: operation(tile, other))
        value = other.double()
        return self._changed(lambda tile, rows, columns: operation(tile, _part(value, rows, columns, self.n)))

    def double(self) -> Tiles:
        """Return itself: tiles are in float64."""
        return self

    def __add__(self, other: Tensor | float) -> Tiles:
        if isinstance(other, Tensor):
            return self._with(torch.add, other)
        return replace(self, offset=self.offset + other)  # with the same sums

    __radd__ = __add__

    def __sub__(self, other: Tensor | float) -> Tiles:
        return self._with(torch.sub, other) if isinstance(other, Tensor) else self + -other

    def __mul__(self, other: Tensor | float) -> Tiles:
        return self if is_one(other) else self._with(torch.mul, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Tensor | float) -> Tiles:
        return self if is_one(other) else self._with(torch.div, other)

    def clamp(self, low: float, high: float) -> Tiles:
        """Return the scores clamped to an interval."""
        return self._changed(lambda tile, rows, columns: tile.clamp(low, high))

    # ---- reductions

    def diagonal(self) -> Tensor:
        """Return the scores of the joint samples of the anchors, (R, m)."""
        return self._kept("diagonal", lambda: self._along(0)) + self.offset

    def following(self) -> Tensor:
        """Return f(x_i, y_(i+1)) of the anchors, (R, m); the last row's is f(x_(n-1), y_0)."""
        return self._kept("following", lambda: self._along(1)) + self.offset

    def logsumexp_rows(self, with_own: bool) -> Tensor:
        """Return the log of the sum of exp of each anchor's row, with or without the diagonal: (R, m)."""
        return self._log_sums(with_own, over_columns=True)

    def logsumexp_columns(self, with_own: bool) -> Tensor:
        """Return the log of the sum of exp of the first m columns, with or without the diagonal: (R, m)."""
        return self._log_sums(with_own, over_columns=False)

    def sum_negatives(self) -> Tensor:
        """Return the sum of the scores of the anchors off the diagonal, (R,)."""
        return self._kept("sum", self._sum) + self.offset * self.pairs

    def extremes(self) -> tuple[Tensor, Tensor]:
        """Return the lowest and the highest score of the anchors of each run, (R,)."""
        lows, highs = [], []
        for rows, columns in self._tiles(over_columns=True):
            tile = self._tile(rows, columns)
            lows.append(tile.amin((-2, -1)))
            highs.append(tile.amax((-2, -1)))
        return torch.stack(lows).amin(0) + self.offset, torch.stack(highs).amax(0) + self.offset

    def _tile(self, rows: slice, columns: slice) -> Tensor:
        """Return the scores of some rows and columns less the offset, (R, rows, columns)."""
        found = self.block(rows, columns).double()
        for change in self.changes:
            found = change(found, rows, columns)
        return found

    def _kept(self, name: object, compute: Callable[[], Tensor]) -> Tensor:
        """Return a reduction; several estimators ask for the same."""
        if name not in self._sums:
            self._sums[name] = compute()
        return self._sums[name]

    def _tiles(self, over_columns: bool) -> Iterator[tuple[slice, slice]]:
        """Yield the tiles of the anchors' rows, or of the first columns."""
        pairs = max(1, self.most_pairs // self.runs)
        side = min(self.anchors, math.isqrt(pairs))
        short = list(_slices(self.anchors, side))
        long = list(_slices(self.n, pairs // side))
        for anchors, others in product(short, long):
            yield (anchors, others) if over_columns else (others, anchors)

    def _along(self, offset: int) -> Tensor:
        side = max(1, math.isqrt(self.most_pairs // self.runs))
        parts = []
        for rows in _slices(self.anchors, side):
            columns = slice(rows.start + offset, min(rows.stop + offset, self.n))
            tile = self._tile(slice(rows.start, columns.stop - offset), columns)
            parts.append(tile.diagonal(dim1=-2, dim2=-1))
            if columns.stop - offset < rows.stop:  # the last row's next column is the first
                parts.append(self._tile(slice(self.n - 1, self.n), slice(0, 1))[..., 0])
        return torch.cat(parts, -1)

    def _log_sums(self, with_own: bool, over_columns: bool) -> Tensor:
        others = self._kept(over_columns, lambda: self._log_sums_of_others(over_columns)) + self.offset
        return torch.logaddexp(others, self.diagonal()) if with_own else others

    def _log_sums_of_others(self, over_columns: bool) -> Tensor:
        sums: dict[int, Tensor] = {}
        for rows, columns in self._tiles(over_columns):
            tile = _without_diagonal(self._tile(rows, columns), rows, columns, -math.inf)
            place, part = (
                (rows.start, tile.logsumexp(-1)) if over_columns else (columns.start, tile.logsumexp(-2))
            )
            sums[place] = torch.logaddexp(sums[place], part) if place in sums else part
        return torch.cat(list(sums.values()), -1)

    def _sum(self) -> Tensor:
        parts = [
            _without_diagonal(self._tile(rows, columns), rows, columns, 0.0).sum((-2, -1))
            for rows, columns in self._tiles(over_columns=True)
        ]
        return torch.stack(parts).sum(0)


def is_one(value: Tensor | float) -> bool:
    """Return whether a factor is the number 1."""
    return not isinstance(value, Tensor) and value == 1


def _slices(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _part(value: Tensor, rows: slice, columns: slice, n: int) -> Tensor:
    """Return the part of a tensor that broadcasts to (R, n, n) which belongs to a tile."""
    if value.dim() < 2:
        return value
    if value.shape[-2] == n:
        value = value[..., rows, :]
    return value[..., columns] if value.shape[-1] == n else value


def _without_diagonal(tile: Tensor, rows: slice, columns: slice, fill: float) -> Tensor:
    """Return a tile with those of its scores filled that are on the diagonal of the matrix."""
    start, stop = max(rows.start, columns.start), min(rows.stop, columns.stop)
    if start >= stop:
        return tile
    own = torch.arange(start, stop, device=tile.device)
    tile = tile.clone()
    tile[..., own - rows.start, own - columns.start] = fill
    return tile
