"""A kind of figure: when it applies, what its caption says, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

LAST = 100


@dataclass(frozen=True)
class FigureKind:
    """A figure of a summary.

    Attributes:
        name: of its files.
        applies: whether a summary has enough for it.
        caption: what it shows, line style by line style.
        draw: the figure, in "nats" or "bits".
        places: its place among the figures of each command that draws it, `run` (whose figures a report has
            too) or `compare`.
    """

    name: str
    applies: Callable[[pd.DataFrame], bool]
    caption: Callable[[pd.DataFrame], str]
    draw: Callable[[pd.DataFrame, str], Figure]
    places: Mapping[str, int] = field(default_factory=lambda: {"run": LAST})
