"""The data of runs: streams of batches that depend on a run's task and seed alone."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from mibench.batch import Batch, Tensors
from mibench.seeding import stream
from mibench.spec import RunSpec
from mibench.tasks.pair import Pair

if TYPE_CHECKING:
    from mibench.engine.plan import Pack

T = TypeVar("T")

Chunk = tuple[Tensor, Tensor]
"""x and y of several batches: (batches, n, dim_x) and (batches, n, dim_y), or with a run axis in front."""


def chunks(
    pair: Pair, spec: RunSpec, purpose: str, count: int, at_once: int, dtype: torch.dtype
) -> Iterator[Chunk]:
    """Yield `count` fresh batches of n pairs in float `dtype`, `at_once` of them at a time.

    `at_once` must be a function of the specification, never of the pack: generators are not guaranteed to
    give the same numbers in pieces of another size. Neither estimator nor model enters, so all estimators see
    the same data.
    """
    generator = stream(purpose, spec.task.identity, spec.seed)
    for start in range(0, count, at_once):
        size = min(at_once, count - start)
        x, y = pair.draw(size * spec.n, generator, dtype)
        yield x.view(size, spec.n, -1), y.view(size, spec.n, -1)


def evaluation_chunks(pack: Pack, run: int, purpose: str, count: int) -> Iterator[Chunk]:
    """Yield a run's unseen batches in float64: the exact values need it, and models cast them."""
    # Drawn in whole pieces, so that a run's batches are the same however many the other runs need.
    size = pack.batches_at_once
    whole = -(-count // size) * size
    left = count
    for x, y in chunks(pack.pairs[run], pack.leaders[run], purpose, whole, size, torch.float64):
        yield x[:left], y[:left]
        left -= len(x)


def stacked(feeds: Sequence[Iterator[Chunk]], device: torch.device, dtype: torch.dtype) -> Iterator[Chunk]:
    """Yield the batches of all runs with a leading run axis, x (R, batches, n, dim_x) and y, on the device.

    They are drawn on the CPU whatever the device, so that every device sees the same data. For CUDA they are
    drawn by several threads, since a pack there can have a thousand runs, and while the device works on those
    before them.
    """
    on_cuda = device.type == "cuda"
    drawn = _stacked(feeds, by_threads=on_cuda)
    with closing(ahead(drawn) if on_cuda else drawn) as chunks_in_turn:
        # Moved here and not by the other thread: while a step is captured, no other may use the device.
        for x, y in chunks_in_turn:
            yield x.to(device, dtype), y.to(device, dtype)


def _stacked(feeds: Sequence[Iterator[Chunk]], by_threads: bool) -> Generator[Chunk, None, None]:
    with ThreadPoolExecutor() as pool:
        advance = pool.map if by_threads else map
        while all(parts := list(advance(lambda feed: next(feed, ()), feeds))):
            x, y = zip(*parts, strict=True)
            yield torch.stack(x), torch.stack(y)


def ahead(items: Generator[T, None, None]) -> Generator[T, None, None]:
    """Yield the same items; a thread makes the next one while the consumer is at work on the last.

    An error is raised in place of the item that it prevents. When the consumer stops early, the item in the
    making is finished and dropped, and the thread ends.
    """
    with closing(items), ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def training_chunks(pack: Pack, device: torch.device, steps: int) -> Iterator[Chunk]:
    """Yield fresh training batches of all runs, some steps at a time."""
    feeds = [
        chunks(pair.for_training, spec, "train", steps, pack.steps_at_once, pack.dtype)
        for pair, spec in zip(pack.pairs, pack.leaders, strict=True)
    ]
    return stacked(feeds, device, pack.dtype)


class Batches:
    """Turns the chunks of a purpose into batches, with what the objective draws and the pairs know."""

    def __init__(self, pack: Pack, purpose: str, device: torch.device) -> None:
        self._pack, self._device = pack, device
        # One training that climbs through levels draws the same whichever of them are read from it.
        self._streams = [
            stream(f"{purpose} drawn", task.identity, spec.seed)
            for task, spec in zip(pack.training_tasks, pack.leaders, strict=True)
        ]
        self._known = known(pack.pairs, device)

    def of(self, x: Tensor, y: Tensor) -> Iterator[Batch]:
        """Yield the batches of a chunk with a run axis, one after the other."""
        for batch_x, batch_y in zip(x.unbind(1), y.unbind(1), strict=True):
            yield Batch(batch_x, batch_y, self._drawn(batch_x.shape[1]), self._known)

    def _drawn(self, n: int) -> Tensors:
        objective, pack = self._pack.objective, self._pack
        if objective is None:
            return {}
        runs = [objective.draw(n, pack.dims, generator, pack.dtype) for generator in self._streams]
        return {key: value.to(self._device) for key, value in stack_runs(runs).items()}


def known(pairs: Sequence[Pair], device: torch.device) -> Tensors:
    """Return what pairs know of themselves, one number per run in float64."""
    entropies = [pair.entropy_y for pair in pairs]
    if None in entropies:
        return {}
    return {"entropy_y": torch.tensor(entropies, dtype=torch.float64, device=device)}


def stack_runs(runs: Sequence[Tensors]) -> Tensors:
    """Return the tensors of several runs with a leading run axis."""
    return {key: torch.stack([run[key] for run in runs]) for key in runs[0]}
