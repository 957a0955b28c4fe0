"""Lower bounds, upper bounds and the truth on one axis."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from mibench.analysis.cells import in_unit
from mibench.reports.figures.comparison import by_setting, true_mi
from mibench.reports.figures.kind import FigureKind
from mibench.reports.figures.style import (
    BAND_LINE,
    entry,
    estimator_names,
    facets,
    looks,
    margins,
    wrapped,
)

LARGE = 4
"""A panel in which an estimate is this many times the largest truth has a logarithmic axis."""

_SIDES = {"lower": ("-", "lower bound"), "upper": ("--", "upper if q is exact")}


def _draw(summary: pd.DataFrame, unit: str) -> Figure:
    bounds = summary[summary["bound"].isin(list(_SIDES))]
    groups = by_setting(bounds)
    side = dict(zip(bounds["estimator"], bounds["bound"], strict=True))
    looking = {
        label: look.line | {"linestyle": _SIDES[side[label]][0]}
        for label, look in looks(estimator_names(bounds)).items()
    }
    entries = [entry(f"{label} ({_SIDES[side[label]][1]})", **look) for label, look in looking.items()]
    is_band = bool((bounds["true_mi_low_nats"] < bounds["true_mi_high_nats"]).any())
    truth = entry("truth lies here", **BAND_LINE) if is_band else entry("truth", color="black", linewidth=1.0)
    with facets(len(groups), entries, [truth]) as (figure, axes):
        for axis, (title, group) in zip(axes, groups, strict=True):
            shown = in_unit(group, unit).sort_values(f"true_mi_{unit}")
            _draw_truth(axis, shown, unit)
            if _dwarfs(shown, unit):
                axis.set_yscale("log")
                axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.yaxis.set_major_formatter("{x:g}")
                axis.yaxis.set_minor_locator(NullLocator())
            for label, line in shown.groupby("estimator", sort=False):
                axis.errorbar(
                    line[f"true_mi_{unit}"],
                    line[f"mean_{unit}"],
                    margins(line, unit),
                    **looking[str(label)],
                    capsize=1.8,
                    elinewidth=0.8,
                )
            axis.set_title(wrapped(title, axis))
            axis.set_xlabel(f"{true_mi(summary)} [{unit}]")
            axis.set_ylabel(f"Estimate [{unit}]")
    return figure


def _dwarfs(shown: pd.DataFrame, unit: str) -> bool:
    """Return whether the largest estimate would press the rest of a linear axis together."""
    means, truth = shown[f"mean_{unit}"].dropna(), shown[f"true_mi_high_{unit}"]
    return bool(len(means) and means.min() > 0 and means.max() > LARGE * truth.max())


def _draw_truth(axis: Axes, shown: pd.DataFrame, unit: str) -> None:
    """Draw the truth at each true MI of the task: a line, or a band where it is an interval."""
    ends = shown.groupby(f"true_mi_{unit}")[[f"true_mi_low_{unit}", f"true_mi_high_{unit}"]].mean()
    low, high = ends[f"true_mi_low_{unit}"], ends[f"true_mi_high_{unit}"]
    axis.plot(ends.index, low, color="black", linewidth=1.0, marker="_" if len(ends) == 1 else "", zorder=3)
    if (low < high).any():
        axis.fill_between(ends.index, low, high, color=BAND_LINE["color"], linewidth=0, zorder=0)


SANDWICH = FigureKind(
    "sandwich",
    applies=lambda summary: {"lower", "upper"} <= set(summary["bound"].dropna()),
    caption=lambda summary: (
        "Lower and upper bounds around the truth, against the true MI. Solid: lower bounds. Dashed: upper "
        "bounds if q is exact, so that a poor q can take them below the truth. Black: the truth. Means over "
        "seeds with their 95% interval."
    ),
    draw=_draw,
)
