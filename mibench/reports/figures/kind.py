"""A kind of figure: when it applies, what its caption says, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True)
class FigureKind:
    """A figure of a summary.

    Attributes:
        name: of its files.
        applies: whether a summary has enough for it.
        caption: what it shows, line style by line style.
        draw: the figure, in "nats" or "bits".
    """

    name: str
    applies: Callable[[pd.DataFrame], bool]
    caption: Callable[[pd.DataFrame], str]
    draw: Callable[[pd.DataFrame, str], Figure]
