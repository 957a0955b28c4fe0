"""Figures of a summary, at the size that a paper's column or page has.

A new figure is a `FigureKind` (`kind.py`) at the top level of a module of this folder: all are found there.
`sandwich.py` is a good example. `style.py` has the looks that figures share; `staircase.py` draws curves, not
summaries; `sweep.py` makes a figure for each option that was varied.
"""

from __future__ import annotations

import importlib
import pkgutil

import pandas as pd

from mibench.reports.figures.kind import FigureKind
from mibench.reports.figures.sweep import sweeps


def figures_of(summary: pd.DataFrame, command: str = "run") -> list[FigureKind]:
    """Return the figures of a command that a summary has enough for, in their order."""
    kinds = [kind for kind in _declared() + sweeps(summary) if command in kind.places]
    return sorted((kind for kind in kinds if kind.applies(summary)), key=lambda kind: kind.places[command])


def _declared() -> list[FigureKind]:
    """Return the figures that the modules of this folder declare, each once."""
    modules = [importlib.import_module(each.name) for each in pkgutil.iter_modules(__path__, f"{__name__}.")]
    values = [value for module in modules for value in vars(module).values()]
    return list({id(value): value for value in values if isinstance(value, FigureKind)}.values())
