"""The papers' figure: an estimate while it is trained, as the true MI climbs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mibench.analysis.cells import NATS_IN
from mibench.reports.figures.style import PAGE_INCHES, PANEL_INCHES, Colour, Look, entry, facets

SPAN = 200
FOLD = 20  # steps for which one point is drawn

Curve = NDArray[np.float32]
Curves = Mapping[str, Mapping[float, Curve]]


def staircase(
    curves: Curves,
    looking: Mapping[str, Look],
    published: Mapping[str, Mapping[float, float]] | None = None,
    unit: str = "nats",
    title: str = "",
) -> Figure:
    """Draw curves, an estimator's values step by step at each true MI: one panel per estimator.

    Pale: the training batches' values. Dark: their exponentially weighted average of span 200. Black steps:
    the truth. Crosses: the published estimates, where there are any, at the middle of what they average.
    """
    scale = 1 / NATS_IN[unit]
    entries = [
        entry("training batch", color="0.4", alpha=0.4, linewidth=0.8),
        entry(f"smoothed, span {SPAN}", color="0.4"),
        entry("true MI", color="black", linewidth=0.8),
    ]
    if published:
        entries.append(entry("published", color="black", marker="x", linestyle="none"))
    columns = min(3, len(curves))
    height = 0.85 * PANEL_INCHES + (0.1 if title else 0)
    page = facets(len(curves), entries, columns=columns, width=PAGE_INCHES, height=height, share=True)
    with page as (figure, axes):
        for axis, label in zip(axes, curves, strict=True):
            known = (published or {}).get(label, {})
            _draw(axis, _stairs(curves, label), known, looking[label].colour, scale)
            axis.set_title(label)
            axis.set_xlabel("Step")
            axis.set_ylabel(f"Estimate [{unit}]")
        for axis in axes[-columns:]:
            axis.xaxis.set_tick_params(labelbottom=True)
        # The truth sets the limits: single batches of a heavy-tailed estimator lie far outside.
        top = max((max(levels) for levels in curves.values() if levels), default=1.0) * scale
        axes[0].set_ylim(-0.1 * top, 1.35 * top)
        if title:
            figure.suptitle(title, fontsize=8)
    return figure


def _stairs(curves: Curves, label: str) -> dict[float, Curve]:
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
    colour: Colour,
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
