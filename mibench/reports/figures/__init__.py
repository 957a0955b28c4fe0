"""Figures of a summary, at the size that a paper's column or page has.

A figure is an object in a module of this folder, and has its place in `FIGURES`.
"""

from __future__ import annotations

import pandas as pd

from mibench.reports.figures.comparison import ERROR_SPLIT, METRICS_VS_TRUE
from mibench.reports.figures.kind import FigureKind
from mibench.reports.figures.levels import BIAS_VS_N, BIAS_VS_SAMPLES, ESTIMATE_VS_TRUE
from mibench.reports.figures.probe import ESTIMATE_VS_PROBE
from mibench.reports.figures.sandwich import SANDWICH
from mibench.reports.figures.sweep import sweeps

FIGURES = (
    BIAS_VS_N,
    ESTIMATE_VS_TRUE,
    SANDWICH,
    ERROR_SPLIT,
    BIAS_VS_SAMPLES,
    METRICS_VS_TRUE,
    ESTIMATE_VS_PROBE,
)


def figures_of(summary: pd.DataFrame) -> list[FigureKind]:
    """Return the figures that a summary has enough for, one for each option that was varied among them."""
    return [kind for kind in (*FIGURES, *sweeps(summary)) if kind.applies(summary)]
