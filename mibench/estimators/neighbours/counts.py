"""Counting neighbours: how many points of x, and of y, are as near as the k nearest pairs are.

Distances are in the maximum norm. That of two pairs is the larger of their distances in x and in y, bit for
bit, so points are counted against the very numbers that gave the radius, and no tolerance is needed.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

AT_ONCE = {"cpu": 2**16, "cuda": 2**22}
"""Distances held at once, for x and for y: what fits a core's cache, or keeps a GPU busy."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def counts(x: Tensor, y: Tensor, k: int, *, own_radii: bool) -> tuple[Tensor, Tensor]:
    """Return the numbers of neighbours n_x and n_y of every point, by the faster method.

    Without `own_radii`, n_x is how many x are strictly nearer than the k-th nearest pair; with it, how many x
    are at most as far as the farthest x among the k nearest pairs. n_y likewise. A point is not its own
    neighbour. All pairs at the distance of the k-th are among the nearest.

    Args:
        x: (..., n, dim_x), in float64.
        y: (..., n, dim_y), in float64.
        k: nearest pairs, at least 1 and below n.
        own_radii: whether x and y have a radius each.

    Returns:
        n_x and n_y, both (..., n); meaningless where x or y is not finite.
    """
    flat_x, flat_y = (side.reshape(-1, *side.shape[-2:]) for side in (x, y))
    method = by_trees if _trees_are_faster(x, y) else by_brute_force
    n_x, n_y = method(flat_x, flat_y, k, own_radii)
    return n_x.view(x.shape[:-1]), n_y.view(x.shape[:-1])


def _trees_are_faster(x: Tensor, y: Tensor) -> bool:
    # Time by trees over time by brute force, on one core, Gaussian pairs, k = 3, MI of 0 and 2 nats:
    #   dim_x + dim_y   2: 1.4 at n = 128,  0.7 at n = 256,    0.2 at n = 1000
    #                   4: 1.7, 1.3 at 512, 0.7, 0.5 at 2000,  0.4, 0.3 at 4000
    #                   6: 1.2, 1.0 at 2000, 0.9, 0.5 at 4000, 0.4, 0.2 at 8000
    #                   8: 1.0, 0.6 at 4000, 1.0, 0.7 at 8000, 0.7, 0.4 at 16,000
    #                  10: 1.3, 1.1 at 16,000, 0.5 at 30,000
    #                  21: 5 at 4000, 5 at 16,000
    n, dims = x.shape[-2], x.shape[-1] + y.shape[-1]
    if x.device.type != "cpu" or n < 64 * 2**dims:
        return False
    return bool(x.isfinite().all() and y.isfinite().all())  # a tree cannot hold other points


def by_brute_force(x: Tensor, y: Tensor, k: int, own_radii: bool) -> tuple[Tensor, Tensor]:
    """Return `counts` of every run, x (R, n, dim_x) -> (R, n), from all n^2 distances, some at a time."""
    n, at_once = x.shape[1], AT_ONCE[x.device.type]
    rows = min(n, max(1, at_once // n))
    runs = max(1, at_once // (n * rows))
    n_x, n_y = (torch.empty(x.shape[:2], dtype=torch.int64, device=x.device) for _ in range(2))
    for first in range(0, len(x), runs):
        for start in range(0, n, rows):
            part = slice(first, first + runs), slice(start, start + rows)
            n_x[part], n_y[part] = _counted(x[part[0]], y[part[0]], start, rows, k, own_radii)
    return n_x, n_y


def _counted(x: Tensor, y: Tensor, start: int, rows: int, k: int, own_radii: bool) -> tuple[Tensor, Tensor]:
    """Return the counts of some rows of every run, (R, rows)."""
    apart_x, apart_y = _distances(x, start, rows), _distances(y, start, rows)
    apart = torch.maximum(apart_x, apart_y)
    radius = apart.topk(k, largest=False).values[..., -1:]
    if not own_radii:
        return (apart_x < radius).sum(-1), (apart_y < radius).sum(-1)
    near = apart <= radius
    radius_x, radius_y = (side.where(near, 0.0).amax(-1, keepdim=True) for side in (apart_x, apart_y))
    return (apart_x <= radius_x).sum(-1), (apart_y <= radius_y).sum(-1)


def _distances(points: Tensor, start: int, rows: int) -> Tensor:
    """Return the distances of some rows to all, (R, rows, n); that of a point to itself is infinite."""
    some = points[:, start : start + rows]
    # In one dimension a plain difference is several times faster, and the same.
    apart = (some - points.mT).abs_() if points.shape[-1] == 1 else torch.cdist(some, points, p=math.inf)
    apart.diagonal(start, 1, 2).fill_(math.inf)
    return apart


def by_trees(x: Tensor, y: Tensor, k: int, own_radii: bool) -> tuple[Tensor, Tensor]:
    """Return `counts` of every run, x (R, n, dim_x) -> (R, n), by k-d trees; values must be finite."""
    count = _within_own_radii if own_radii else _strictly_within
    runs = [count(run_x.numpy(), run_y.numpy(), k) for run_x, run_y in zip(x, y, strict=True)]
    n_x, n_y = (torch.from_numpy(np.stack(side)) for side in zip(*runs, strict=True))
    return n_x, n_y


def _strictly_within(x: Floats, y: Floats, k: int) -> tuple[Ints, Ints]:
    pairs = np.hstack([x, y])
    distances, _ = cKDTree(pairs).query(pairs, [k + 1], p=np.inf)  # a point is the first of its neighbours
    # Trees count what is at most as far; nothing is between this radius and the next, which is left out.
    radius = np.nextafter(distances[:, 0], -1.0)
    return _within(x, radius), _within(y, radius)


def _within_own_radii(x: Floats, y: Floats, k: int) -> tuple[Ints, Ints]:
    pairs = np.hstack([x, y])
    tree = cKDTree(pairs)
    distances, near = tree.query(pairs, k + 2, p=np.inf)
    radii = [np.abs(side[near[:, : k + 1]] - side[:, None]).max((1, 2)) for side in (x, y)]
    for point in np.flatnonzero(distances[:, k] == distances[:, k + 1]):
        tied = tree.query_ball_point(pairs[point], distances[point, k], p=np.inf)
        for side, radius in zip((x, y), radii, strict=True):
            radius[point] = np.abs(side[tied] - side[point]).max()
    return _within(x, radii[0]), _within(y, radii[1])


def _within(points: Floats, radius: Floats) -> Ints:
    """Return how many other points are at most a radius from each; a negative radius holds none."""
    found: Ints = cKDTree(points).query_ball_point(points, radius, p=np.inf, return_length=True)
    return np.maximum(found - 1, 0)
