"""The papers' figure: an estimate while it is trained, as the true MI climbs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from mibench.reports.figures.style import (
    LEGEND,
    LEGEND_LINE_INCHES,
    PAGE_INCHES,
    PANEL_INCHES,
    STYLE,
    looks,
)

SPAN = 200
FOLD = 20  # a drawn point stands for so many steps

Curve = NDArray[np.float32]


def staircase(
    curves: Mapping[str, Mapping[float, Curve]],
    published: Mapping[str, Mapping[float, float]] | None = None,
    unit: str = "nats",
    title: str = "",
) -> Figure:
    """Draw curves, an estimator's values step by step at each true MI: a panel an estimator.

    Pale: the training batches' values. Dark: their exponentially weighted average of span 200. Black steps:
    the truth. Crosses: the published estimates, where there are any, at the middle of what they average.
    """
    scale = 1 / math.log(2) if unit == "bits" else 1.0
    looking = looks(curves)
    columns = min(3, max(len(curves), 1))
    rows = math.ceil(len(curves) / columns)
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        height = rows * PANEL_INCHES * 0.85 + LEGEND_LINE_INCHES + (0.2 if title else 0)
        figure = Figure(figsize=(PAGE_INCHES, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for index, axis in enumerate(axes.flat):
            if index >= len(curves):
                axis.set_axis_off()
                continue
            label = list(curves)[index]
            _draw(axis, _stairs(curves, label), (published or {}).get(label, {}), looking[label][0], scale)
            axis.set_title(label)
            if index + columns >= len(curves):
                axis.set_xlabel("Step")
                axis.xaxis.set_tick_params(labelbottom=True)
            if index % columns == 0:
                axis.set_ylabel(f"Estimate [{unit}]")
            sns.despine(ax=axis)
        # The truth decides what is seen: single batches of a heavy-tailed estimator lie far outside.
        axes.flat[0].set_ylim(-0.1 * _top(curves, scale), 1.35 * _top(curves, scale))
        figure.suptitle(title, fontsize=8) if title else None
        figure.legend(handles=_handles(bool(published)), ncols=4, **LEGEND)
    return figure


def _stairs(curves: Mapping[str, Mapping[float, Curve]], label: str) -> dict[float, Curve]:
    """Return an estimator's curve at every level that any has, with NaN where its own run failed."""
    lengths = {level: len(curve) for levels in curves.values() for level, curve in levels.items()}
    return {
        level: curves[label].get(level, np.full(length, np.nan, dtype=np.float32))
        for level, length in lengths.items()
    }


def _draw(
    axis: Axes,
    levels: Mapping[float, Curve],
    published: Mapping[float, float],
    colour: tuple[float, float, float],
    scale: float,
) -> None:
    whole = np.concatenate([levels[level] for level in sorted(levels)]) * scale
    smooth = pd.Series(whole).ewm(span=SPAN).mean().where(np.isfinite(whole)).to_numpy()
    axis.plot(whole, color=colour, alpha=0.25, linewidth=0.4, rasterized=True)
    steps = np.arange(0, len(smooth), FOLD)
    axis.plot(steps, smooth[steps], color=colour)
    start = 0
    for level in sorted(levels):
        end = start + len(levels[level])
        axis.plot([start, end], [level * scale] * 2, color="black", linewidth=0.8)
        if level in published:
            axis.plot(start + 0.75 * (end - start), published[level] * scale, "x", color="black", zorder=4)
        start = end


def _top(curves: Mapping[str, Mapping[float, Curve]], scale: float) -> float:
    return max((max(levels) for levels in curves.values() if levels), default=1.0) * scale


def _handles(published: bool) -> list[Line2D]:
    handles = [
        Line2D([], [], color="0.4", alpha=0.4, linewidth=0.8, label="training batch"),
        Line2D([], [], color="0.4", label=f"smoothed, span {SPAN}"),
        Line2D([], [], color="black", linewidth=0.8, label="true MI"),
    ]
    marks = Line2D([], [], color="black", marker="x", linestyle="none", label="published")
    return [*handles, *[marks] * published]
