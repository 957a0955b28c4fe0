"""Does a higher estimate mean a better representation? Estimates against the accuracy of a linear probe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mibench.analysis.cells import shown_in
from mibench.reports.figures import style
from mibench.reports.figures.kind import FigureKind

_NAME_INCHES = 0.11  # between the names of encoders above a panel
_LETTER_INCHES = 0.055  # of such a name
_LEADER = {
    "arrowstyle": "-",
    "linewidth": 0.4,
    "color": "0.6",
    "shrinkA": 0,
    "shrinkB": 0,
    "relpos": (0.5, 0),
}


def _cells(summary: pd.DataFrame) -> pd.DataFrame:
    return summary.dropna(subset=["probe_accuracy", "mean_nats"])


def _draw(summary: pd.DataFrame, unit: str) -> Figure:
    cells = shown_in(_cells(summary), unit)
    groups = list(cells.groupby("estimator", sort=False))
    columns = min(len(groups), 2)
    looking = style.looks_of_levels(sorted(cells["n"].unique()))
    points = {n: look.line | {"linestyle": "none"} for n, look in looking.items()}
    entries = [style.entry(f"n = {n:g}", **point) for n, point in points.items()]
    height = style.PANEL_INCHES + max(map(len, cells["encoder"].unique())) * _LETTER_INCHES
    inches = 0.75 * (style.COLUMN_INCHES if columns == 1 else style.PAGE_INCHES / 2)
    with style.facets(len(groups), entries, columns=columns, height=height) as (figure, axes):
        for axis, (label, group) in zip(axes, groups, strict=True):
            for n, part in group.groupby("n"):
                x, x_error = part["probe_accuracy"], np.nan_to_num(part["probe_accuracy_se"])
                point = points[float(str(n))]
                axis.errorbar(x, part["mean"], style.margins(part), x_error, **point, elinewidth=0.6)
            _name_encoders(axis, group, inches)
            axis.set_ylabel(f"Estimate by {label} [{unit}]")
            axis.set_xlabel("Probe accuracy")
    return figure


def _name_encoders(axis: Axes, group: pd.DataFrame, inches: float) -> None:
    """Write the name of each encoder above its accuracy; names that would meet step aside, with a leader."""
    accuracy = group.groupby("encoder")["probe_accuracy"].mean().sort_values()
    low, high = axis.get_xlim()
    places = _spread([(value - low) / (high - low) * inches for value in accuracy], _NAME_INCHES, inches)
    for name, value, place in zip(accuracy.index, accuracy, places, strict=True):
        axis.annotate(
            str(name),
            (value, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(place / inches, 1.08),
            textcoords="axes fraction",
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=6,
            arrowprops=_LEADER,
        )
        axis.axvline(value, color="0.85", linewidth=0.4, zorder=0)


def _spread(places: Sequence[float], gap: float, width: float) -> list[float]:
    """Return ordered places moved so that each is at least a gap above the last, within a width if it can."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + gap) if found else place)
    limit = width
    for index in range(len(found) - 1, -1, -1):
        found[index] = min(found[index], limit)
        limit = found[index] - gap
    return found


ESTIMATE_VS_PROBE = FigureKind(
    "estimate_vs_probe",
    applies=lambda summary: _cells(summary)["encoder"].nunique() >= 3,
    caption=lambda summary: (
        "Does a higher estimate mean a better probe? One point per encoder and n: the estimate with its 95% "
        "interval against the accuracy of a linear probe on the representation."
    ),
    draw=_draw,
    places={"run": 70},
)
