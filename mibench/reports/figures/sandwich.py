"""Lower bounds, upper bounds and the truth on one axis."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from mibench.analysis.cells import shown_in
from mibench.reports.figures import style
from mibench.reports.figures.comparison import by_setting, true_mi
from mibench.reports.figures.kind import FigureKind

LARGE = 4
"""A panel in which an estimate is this many times the largest truth has a logarithmic axis."""

_SIDES = {"lower": ("-", "lower bound"), "upper": ("--", "upper if q is exact")}


def _draw(summary: pd.DataFrame, unit: str) -> Figure:
    bounds = summary[summary["bound"].isin(list(_SIDES))]
    groups = by_setting(bounds)
    side = {label: _SIDES[bound] for label, bound in zip(bounds["estimator"], bounds["bound"], strict=True)}
    looking = style.looks(style.estimator_names(bounds))
    lines = {label: look.line | {"linestyle": side[label][0]} for label, look in looking.items()}
    entries = [style.entry(f"{label} ({side[label][1]})", **line) for label, line in lines.items()]
    with style.facets(len(groups), entries, [style.truth_entry(bounds)]) as (figure, axes):
        for axis, (title, group) in zip(axes, groups, strict=True):
            shown = shown_in(group, unit).sort_values("true_mi")
            style.draw_truth(axis, shown)
            if _dwarfs(shown):
                axis.set_yscale("log")
                axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.yaxis.set_major_formatter("{x:g}")
                axis.yaxis.set_minor_locator(NullLocator())
            for label, cells in shown.groupby("estimator", sort=False):
                sides = style.margins(cells)
                style.draw_line(axis, cells["true_mi"], cells["mean"], sides, lines[str(label)])
            axis.set_title(style.wrapped(title, axis))
            axis.set_xlabel(f"{true_mi(summary)} [{unit}]")
            axis.set_ylabel(f"Estimate [{unit}]")
    return figure


def _dwarfs(shown: pd.DataFrame) -> bool:
    """Return whether the largest estimate would press the rest of a linear axis together."""
    means = shown["mean"].dropna()
    return bool(len(means) and means.min() > 0 and means.max() > LARGE * shown["true_mi_high"].max())


SANDWICH = FigureKind(
    "sandwich",
    applies=lambda summary: {"lower", "upper"} <= set(summary["bound"].dropna()),
    caption=lambda summary: (
        "Lower and upper bounds around the truth, against the true MI. Solid: lower bounds. Dashed: upper "
        "bounds if q is exact, so that a poor q can take them below the truth. Black: the truth. Means over "
        "seeds with their 95% interval."
    ),
    draw=_draw,
    places={"run": 30, "compare": 30},
)
