"""Score matrices that are never formed: what estimators and objectives ask of one is reduced tile by tile.

An n x n matrix of scores takes 8 n^2 bytes: 34 GB at n = 65,536. `Tiles` stands for one and offers the
operations of a tensor that are asked for: arithmetic, clamping, functions of each score, the diagonal, sums
and log-sum-exps over rows, columns or all. Each is reduced over tiles that are computed when they are needed,
so memory is O(n). Gradients are those of the matrix: the backward pass computes each tile again (Gao et al.
2021, arXiv 2101.06983; Cheng et al. 2024, arXiv 2410.17243).

With `anchors` m < n, only the first m rows are read, each against all n candidates; for columns, the first m
columns against all n rows. Rows of a batch are independent and identically distributed, so a mean over m rows
has the same expectation as that over n.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LARGEST_MATRIX = 2048
"""Up to this n the score matrix is formed."""

TILE_PAIRS = 2**18
"""Pairs of a tile, all runs together: 2 MiB in float64."""

Block = Callable[[Sequence[Tensor]], Tensor]
"""The parts of operands that belong to a tile to its scores f(x_i, y_j) of every run: (R, rows, columns)."""


@dataclass(frozen=True)
class Operand:
    """A tensor that scores are computed from.

    Attributes:
        rows, columns: the axes that run along the rows and the columns of the matrix, None for none.
    """

    value: Tensor
    rows: int | None = None
    columns: int | None = None

    def part(self, value: Tensor, rows: slice, columns: slice) -> Tensor:
        """Return the part of a tensor shaped like the operand that belongs to a tile, as a view."""
        for axis, own in ((self.rows, rows), (self.columns, columns)):
            if axis is not None:
                value = value.narrow(axis, own.start, own.stop - own.start)
        return value


@dataclass(frozen=True)
class Tiles:
    """The scores f(x_i, y_j) of R runs on n x n pairs, computed tile by tile.

    Attributes:
        block: computes a tile.
        operands: of what.
        runs: R.
        n: rows and columns.
        anchors: how many rows (or columns) are reduced: the first of them.
        most_pairs: how many pairs a tile has at most, all runs together.
        dtype: that of scores and reductions.
        offset: what is added to all scores; reductions need no new tiles for it.
    """

    block: Block
    operands: tuple[Operand, ...]
    runs: int
    n: int
    anchors: int
    most_pairs: int = TILE_PAIRS
    dtype: torch.dtype = torch.float64
    offset: float = 0.0
    _reduced: dict[tuple[_Reduction, bool], Tensor] = field(default_factory=dict, compare=False, repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """That of the matrix that it stands for."""
        return self.runs, self.n, self.n

    @property
    def pairs(self) -> int:
        """How many pairs off the diagonal are reduced: m (n - 1)."""
        return self.anchors * (self.n - 1)

    # ---- elementwise, when a tile is computed

    def map(self, function: Callable[..., Tensor], *operands: Operand) -> Tiles:
        """Return the scores with a function applied to each tile and the parts of operands."""
        before, count, offset = self.block, len(self.operands), self.offset

        def block(parts: Sequence[Tensor]) -> Tensor:
            tile = before(parts[:count])
            return function(tile + offset if offset else tile, *parts[count:])

        return replace(self, block=block, operands=(*self.operands, *operands), offset=0.0, _reduced={})

    def _with(self, operation: Callable[[Tensor, Tensor | float], Tensor], other: Tensor | float) -> Tiles:
        if isinstance(other, Tensor):
            return self.map(operation, _broadcast(other.to(self.dtype), self.n))
        return self.map(lambda tile: operation(tile, other))

    def double(self) -> Tiles:
        """Return the scores in float64."""
        return self if self.dtype == torch.float64 else replace(self.map(Tensor.double), dtype=torch.float64)

    def detach(self) -> Tiles:
        """Return the scores as they are now: without gradient, and apart from parameters that change."""
        kept = (replace(operand, value=operand.value.detach().clone()) for operand in self.operands)
        return replace(self, operands=tuple(kept), _reduced={})

    def __add__(self, other: Tensor | float) -> Tiles:
        if isinstance(other, Tensor):
            return self._with(torch.add, other)
        if isinstance(other, Tiles):
            return NotImplemented  # Python then says which types do not go together
        return replace(self, offset=self.offset + other)  # with the same reductions

    __radd__ = __add__

    def __neg__(self) -> Tiles:
        return self * -1.0

    def __rsub__(self, other: Tensor | float) -> Tiles:
        return -self + other

    def __sub__(self, other: Tensor | float) -> Tiles:
        return self._with(torch.sub, other) if isinstance(other, Tensor) else self + -other

    def __mul__(self, other: Tensor | float) -> Tiles:
        return self if is_one(other) else self._with(torch.mul, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Tensor | float) -> Tiles:
        return self if is_one(other) else self._with(torch.div, other)

    def clamp(self, low: float, high: float) -> Tiles:
        """Return the scores clamped to an interval."""
        return self.map(lambda tile: tile.clamp(low, high))

    # ---- reductions

    def diagonal(self) -> Tensor:
        """Return the scores of the joint samples of the anchors, (R, m)."""
        return self._reduce(_Along(0)) + self.offset

    def following(self) -> Tensor:
        """Return f(x_i, y_(i+1)) of the anchors, (R, m); the last row's is f(x_(n-1), y_0)."""
        return self._reduce(_Along(1)) + self.offset

    def logsumexp_rows(self, with_own: bool) -> Tensor:
        """Return the log of the sum of exp of each anchor's row, with or without the diagonal: (R, m)."""
        return self._log_sums(_LogSums(over_columns=True), with_own)

    def logsumexp_columns(self, with_own: bool) -> Tensor:
        """Return the log of the sum of exp of the first m columns, with or without the diagonal: (R, m)."""
        return self._log_sums(_LogSums(over_columns=False), with_own)

    def mean_following(self, count: int) -> Tensor:
        """Return the mean of f(x_i, y_(i+1)) ... f(x_i, y_(i+count)) of the anchors, modulo n: (R,)."""
        return self._reduce(_Sum(count, self.n)).squeeze(-1) / (self.anchors * count) + self.offset

    def extremes(self) -> tuple[Tensor, Tensor]:
        """Return the lowest and the highest score of the anchors of each run, (R,)."""
        lows, highs, values = [], [], [operand.value for operand in self.operands]
        for rows, columns in self.of_anchors(over_columns=True):
            tile = self.block(self.parts(values, rows, columns))
            lows.append(tile.amin((-2, -1)))
            highs.append(tile.amax((-2, -1)))
        return torch.stack(lows).amin(0) + self.offset, torch.stack(highs).amax(0) + self.offset

    def _log_sums(self, reduction: _LogSums, with_own: bool) -> Tensor:
        others = self._reduce(reduction) + self.offset
        return torch.logaddexp(others, self.diagonal()) if with_own else others

    def _reduce(self, reduction: _Reduction) -> Tensor:
        """Return a reduction less the offset; several estimators ask for the same."""
        key = reduction, torch.is_grad_enabled()  # a value without gradient is not one with it
        if key not in self._reduced:
            # The graph of a result holds the tiles, which would hold the result: these are without.
            apart = replace(self, _reduced={})
            found = _Reduced.apply(apart, reduction, *(operand.value for operand in self.operands))  # type: ignore[no-untyped-call]
            self._reduced[key] = found
        return self._reduced[key]

    # ---- tiles

    def parts(self, values: Sequence[Tensor], rows: slice, columns: slice) -> list[Tensor]:
        """Return the parts of the operands' values, or of others in their place, that belong to a tile."""
        return [own.part(value, rows, columns) for own, value in zip(self.operands, values, strict=True)]

    def of_anchors(self, over_columns: bool) -> Iterator[tuple[slice, slice]]:
        """Yield the tiles of the anchors' rows, or of the first columns."""
        pairs = max(1, self.most_pairs // self.runs)
        side = min(self.anchors, math.isqrt(pairs))
        short = list(_slices(self.anchors, side))
        long = list(_slices(self.n, pairs // side))
        for anchors, others in product(short, long):
            yield (anchors, others) if over_columns else (others, anchors)

    def along(self, offset: int) -> Iterator[tuple[slice, slice]]:
        """Yield square tiles whose diagonals are f(x_i, y_(i+offset)) of the anchors, the offset 0 or 1."""
        for rows in _slices(self.anchors, max(1, math.isqrt(self.most_pairs // self.runs))):
            stop = min(rows.stop, self.n - offset)
            if rows.start < stop:
                yield slice(rows.start, stop), slice(rows.start + offset, stop + offset)
            if stop < rows.stop:  # the last row's next column is the first
                yield slice(stop, rows.stop), slice(0, rows.stop - stop)


class _Reduction(ABC):
    """What is reduced from tiles, and the derivative of the result.

    The result (R, m) or (R, 1) begins at `start`, and each tile changes the part of it at `place`.
    """

    start = 0.0

    @abstractmethod
    def tiles(self, of: Tiles) -> Iterator[tuple[slice, slice]]:
        """Yield the rows and columns of the tiles that are reduced."""

    def size(self, of: Tiles) -> int:
        """Return m or 1."""
        return of.anchors

    def place(self, rows: slice, columns: slice) -> slice:
        """Return which part of the result a tile changes."""
        return rows

    @abstractmethod
    def added(self, found: Tensor, tile: Tensor, rows: slice, columns: slice) -> Tensor:
        """Return that part with a tile added."""

    @abstractmethod
    def gradient(self, grad: Tensor, found: Tensor, tile: Tensor, rows: slice, columns: slice) -> Tensor:
        """Return the gradient of a tile's scores, given that of its part of the result."""


@dataclass(frozen=True)
class _Along(_Reduction):
    """f(x_i, y_(i+offset))."""

    offset: int

    def tiles(self, of: Tiles) -> Iterator[tuple[slice, slice]]:
        return of.along(self.offset)

    def added(self, found: Tensor, tile: Tensor, rows: slice, columns: slice) -> Tensor:
        return tile.diagonal(dim1=-2, dim2=-1)

    def gradient(self, grad: Tensor, found: Tensor, tile: Tensor, rows: slice, columns: slice) -> Tensor:
        return grad.diag_embed()


@dataclass(frozen=True)
class _LogSums(_Reduction):
    """The log of the sum of exp over the other columns of each row, or over the other rows of each column."""

    over_columns: bool

    start = -math.inf

    @property
    def axis(self) -> int:
        return -1 if self.over_columns else -2

    def tiles(self, of: Tiles) -> Iterator[tuple[slice, slice]]:
        return of.of_anchors(self.over_columns)

    def place(self, rows: slice, columns: slice) -> slice:
        return rows if self.over_columns else columns

    def added(self, found: Tensor, tile: Tensor, rows: slice, columns: slice) -> Tensor:
        others = _without_diagonal(tile, rows, columns, -math.inf)
        return torch.logaddexp(found, others.logsumexp(self.axis))

    def gradient(self, grad: Tensor, found: Tensor, tile: Tensor, rows: slice, columns: slice) -> Tensor:
        others = _without_diagonal(tile, rows, columns, -math.inf)
        return (others - found.unsqueeze(self.axis)).exp() * grad.unsqueeze(self.axis)


@dataclass(frozen=True)
class _Sum(_Reduction):
    """The sum over the `count` columns that follow each row's own, of n in a circle."""

    count: int
    n: int

    def tiles(self, of: Tiles) -> Iterator[tuple[slice, slice]]:
        for rows, columns in of.of_anchors(over_columns=True):
            first, span = self._distances(rows, columns)
            if first < self.count or first + span >= self.n:
                yield rows, columns

    def size(self, of: Tiles) -> int:
        return 1

    def place(self, rows: slice, columns: slice) -> slice:
        return slice(0, 1)

    def added(self, found: Tensor, tile: Tensor, rows: slice, columns: slice) -> Tensor:
        return found + self._counted(tile, rows, columns).sum((-2, -1))[..., None]

    def gradient(self, grad: Tensor, found: Tensor, tile: Tensor, rows: slice, columns: slice) -> Tensor:
        return self._counted(grad[..., None].expand_as(tile), rows, columns)

    def _counted(self, tile: Tensor, rows: slice, columns: slice) -> Tensor:
        """Return a tile with 0 at the pairs that are not counted."""
        first, span = self._distances(rows, columns)
        if first + span < self.count:
            return tile
        row, column = (torch.arange(own.start, own.stop, device=tile.device) for own in (rows, columns))
        return tile.where((column - row[:, None] - 1) % self.n < self.count, 0.0)

    def _distances(self, rows: slice, columns: slice) -> tuple[int, int]:
        """Return the least distance from a row's next column to a tile's, from 0 to n - 1, and their span."""
        low, high = columns.start - rows.stop, columns.stop - 2 - rows.start
        return low % self.n, high - low


class _Reduced(torch.autograd.Function):
    """A reduction of tiles as a function of their operands: the backward pass computes each tile again."""

    @staticmethod
    def forward(ctx: Any, tiles: Tiles, reduction: _Reduction, *values: Tensor) -> Tensor:  # noqa: ANN401
        shape = (tiles.runs, reduction.size(tiles))
        found = torch.full(shape, reduction.start, dtype=tiles.dtype, device=values[0].device)
        for rows, columns in reduction.tiles(tiles):
            own = found[:, reduction.place(rows, columns)]
            own.copy_(reduction.added(own, tiles.block(tiles.parts(values, rows, columns)), rows, columns))
        ctx.tiles, ctx.reduction = tiles, reduction
        ctx.save_for_backward(found, *values)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        tiles, reduction, (found, *values) = ctx.tiles, ctx.reduction, ctx.saved_tensors
        needed = [place for place, needs in enumerate(ctx.needs_input_grad[2:]) if needs]
        grads: list[Tensor | None] = [None] * len(values)
        for rows, columns in reduction.tiles(tiles):
            parts = [part.detach() for part in tiles.parts(values, rows, columns)]
            wanted = [parts[each].requires_grad_() for each in needed]
            with torch.enable_grad():
                tile = tiles.block(parts)
            place = reduction.place(rows, columns)
            of_tile = reduction.gradient(grad[:, place], found[:, place], tile.detach(), rows, columns)
            own = torch.autograd.grad(tile, wanted, of_tile, allow_unused=True)
            for each, more in zip(needed, own, strict=True):
                if more is not None:
                    whole = torch.zeros_like(values[each]) if grads[each] is None else grads[each]
                    tiles.operands[each].part(whole, rows, columns).add_(more)
                    grads[each] = whole
        return None, None, *grads


def zeros(n: int) -> Tiles:
    """Return the scores 0 of one run."""
    one = torch.zeros(1, 1, 1, dtype=torch.float64)
    return Tiles(lambda parts: parts[0], (Operand(one.expand(1, n, n), 1, 2),), 1, n, n)


def is_one(value: Tensor | float) -> bool:
    """Return whether a factor is the number 1."""
    return not isinstance(value, Tensor) and value == 1


def _slices(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _broadcast(value: Tensor, n: int) -> Operand:
    """Return a tensor that broadcasts to (R, n, n) as an operand."""
    if value.dim() < 2:
        return Operand(value)
    rows, columns = (axis if value.shape[axis] == n else None for axis in (-2, -1))
    return Operand(value, rows, columns)


def _without_diagonal(tile: Tensor, rows: slice, columns: slice, fill: float) -> Tensor:
    """Return a tile with those of its scores filled that are on the diagonal of the matrix."""
    start, stop = max(rows.start, columns.start), min(rows.stop, columns.stop)
    if start >= stop:
        return tile
    own = torch.arange(start, stop, device=tile.device)
    tile = tile.clone()
    tile[..., own - rows.start, own - columns.start] = fill
    return tile
