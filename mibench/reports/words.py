"""Lists and numbers as a sentence has them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

INSIDE_NOTE = (
    "Inside an interval the bias is not known, only bounded: a wider interval contains more estimates."
)
RMSE_NOTE = "Where the truth is an interval, the RMSE is a lower bound of the actual one."

MANY = 8
"""Longer lists of numbers are shortened to their ends."""


def listed(items: Iterable[object]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
    words = [str(item) for item in items]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return `1 run` or `1,234 runs`."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def number(value: float) -> str:
    """Return a number with four digits where it has them."""
    return "unknown" if math.isnan(value) else f"{value:.4g}" if value % 1 else f"{value:.0f}"


def numbers(values: Iterable[float]) -> str:
    """Return numbers in their order: `2, 4 and 6`, or `12 values from 0.5 to 10`."""
    ordered = sorted(set(values))
    if len(ordered) > MANY:
        return f"{len(ordered)} values from {number(ordered[0])} to {number(ordered[-1])}"
    return listed(map(number, ordered))


def seeds(values: Sequence[int]) -> str:
    """Return seeds: `0`, `0 to 4`, or `0, 2 and 5`."""
    ordered = sorted(set(values))
    if len(ordered) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]} to {ordered[-1]}"
    return listed(ordered)


def sentence_part(text: str) -> str:
    """Return a docstring's first line as it stands within a sentence."""
    text = text.strip().removesuffix(".")
    # A name such as InfoNCE, or an initial, keeps its capital.
    return text[:1].lower() + text[1:] if text[1:2].islower() and text.split(" ")[0][1:].islower() else text
