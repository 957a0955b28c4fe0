"""The data of a run: a stream of batches that depends on its task and seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from mibench.seeding import stream
from mibench.spec import RunSpec
from mibench.tasks.base import Task

Batches = tuple[Tensor, Tensor]
"""x and y of several batches, (batches, n, dim_x) and (batches, n, dim_y)."""


def batches(
    task: Task, spec: RunSpec, purpose: str, count: int, at_once: int, dtype: torch.dtype
) -> Iterator[Batches]:
    """Yield `count` fresh batches of n pairs in float `dtype`, `at_once` of them at a time.

    `at_once` must be a function of the specification, never of the pack: generators are not guaranteed to
    give the same numbers in pieces of another size. Nothing of the estimator or critic enters, so all
    estimators meet the same data.
    """
    generator = stream(purpose, spec.task.identity, spec.seed)
    for start in range(0, count, at_once):
        size = min(at_once, count - start)
        x, y = task.sample(size * spec.n, generator, dtype)
        yield x.view(size, spec.n, -1), y.view(size, spec.n, -1)


def stacked(
    feeds: Sequence[Iterator[Batches]], device: torch.device, dtype: torch.dtype
) -> Iterator[Batches]:
    """Yield the batches of all runs with a leading run axis, x (R, batches, n, dim_x) and y, on the device.

    They are drawn on the CPU whatever the device, so that every device meets the same data; for CUDA, by
    several threads, since a pack there can have a thousand runs.
    """
    with ThreadPoolExecutor() as pool:
        advance = pool.map if device.type == "cuda" else map
        while all(parts := list(advance(lambda feed: next(feed, ()), feeds))):
            x, y = zip(*parts, strict=True)
            yield torch.stack(x).to(device, dtype), torch.stack(y).to(device, dtype)
