"""Dealing jobs to workers, so that all of them are done at about the same time."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Protocol, Self, TypeVar

MOST_ROUNDS = 8
"""Jobs are halved at most this many times."""

WORTH = 0.95
"""Jobs are halved only where that shortens the whole to less than this share of its time."""


class Weighed(Protocol):
    """Work that is done as a whole."""

    @property
    def work(self) -> float:
        """What it weighs beside others."""


class Divisible(Weighed, Protocol):
    """Work that can be halved."""

    def halves(self) -> Sequence[Self]:
        """Return its halves, or itself where it has none."""


W = TypeVar("W", bound=Weighed)
D = TypeVar("D", bound=Divisible)


def deal(jobs: Sequence[W], count: int) -> list[list[W]]:
    """Deal jobs to workers, the longest first, each to the one with the least work so far.

    The order and the shares depend on the jobs alone (Graham 1969: at most 4/3 of the shortest time).
    """
    loads = [(0.0, place) for place in range(count)]
    shares: list[list[W]] = [[] for _ in loads]
    for job in by_length(jobs):
        load, place = heapq.heappop(loads)
        shares[place].append(job)
        heapq.heappush(loads, (load + job.work, place))
    return shares


def by_length(jobs: Sequence[W]) -> list[W]:
    """Return jobs in order, the longest first."""
    return sorted(jobs, key=lambda job: -job.work)


def makespan(jobs: Sequence[Weighed], count: int) -> float:
    """Return the work of the worker that has the most of it."""
    return max((sum(job.work for job in share) for share in deal(jobs, count)), default=0.0)


def divided(jobs: Sequence[D], count: int) -> list[D]:
    """Return the jobs, the longest first, with long ones halved as often as makes `count` workers faster.

    A job of many runs costs less than its halves together, so none is halved in vain.
    """
    best = found = by_length(jobs)
    least = makespan(best, count)
    for _ in range(MOST_ROUNDS if count > 1 else 0):
        longest = found[0].work if found else 0.0
        halves = [job.halves() if job.work > longest / 2 else [job] for job in found]
        if sum(map(len, halves)) == len(found):
            break
        found = by_length([part for parts in halves for part in parts])
        if (time := makespan(found, count)) < WORTH * least:
            best, least = found, time
    return best
