"""Estimators beside each other: bias, standard deviation and RMSE, and what their errors are made of."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mibench.analysis.cells import CELL, in_unit, is_elsewhere
from mibench.reports.figures.style import (
    BOLD_WIDTH,
    LEGEND,
    LEGEND_LINE_INCHES,
    PAGE_INCHES,
    PANEL_INCHES,
    STYLE,
    Colour,
    entry_inches,
    looks,
    padded,
)

Looks = dict[str, tuple[Colour, str]]

_SETTING = [column for column in CELL if column not in ("estimator", "true_mi_nats")]
_METRICS = {"bias": "Bias", "std": "Std. deviation", "rmse": "RMSE"}
_PALE = 0.6  # share of white in the colour of a critic gap
FEW_BARS = 4
"""Panels of the error split that have no more stand beside each other."""
_GROUP = 0.8  # of the distance between two levels is filled with bars


def metrics_vs_true(summary: pd.DataFrame, unit: str = "nats") -> Figure:
    """Draw bias, standard deviation and RMSE against the true MI: a line an estimator, a row a setting.

    Bars are one standard error across seeds to either side.
    """
    groups, titles = _settings(summary)
    looking = looks(summary["estimator"])
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        handles = [
            Line2D([], [], color=colour, marker=marker, label=label)
            for label, (colour, marker) in looking.items()
        ]
        figure, axes = _page(len(groups), len(_METRICS), handles)
        for row, (group, title) in enumerate(zip(groups, titles, strict=True)):
            for column, (metric, name) in enumerate(_METRICS.items()):
                axis = axes[row, column]
                _draw_metric(axis, in_unit(group, unit), looking, metric, unit)
                axis.set_ylabel(f"{name} [{unit}]")
                axis.set_xlabel(f"{_true_mi(summary)} [{unit}]" if row == len(groups) - 1 else "")
                axis.set_xticks(_ticks(in_unit(group, unit)[f"true_mi_{unit}"]))
            axes[row, 0].set_title(title, loc="left")
    return figure


def error_split(summary: pd.DataFrame, unit: str = "nats") -> Figure:
    """Draw each estimator's error at each true MI as two bars that stand on each other.

    Full colour: the bound gap (what no critic can undo at this n). Pale and hatched: the critic gap. Where
    they have one sign they are stacked; where not, they stand on either side of zero. The black mark is their
    sum, the bias, with one standard error. Settings in which no exact critic is known have no panel.
    """
    groups, titles = _settings(summary[_has_split(summary)])
    looking = looks(summary["estimator"])
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        handles: list[Any] = [Patch(color=colour, label=label) for label, (colour, _) in looking.items()]
        handles += [
            Patch(facecolor="0.45", label="bound gap"),
            Patch(facecolor="0.85", edgecolor="0.45", hatch="////", linewidth=0, label="critic gap"),
            Line2D([], [], color="black", marker="_", linestyle="none", label="bias"),
        ]
        columns = min(3, len(groups)) if _bars(groups) <= FEW_BARS else 1
        rows = -(-len(groups) // columns)
        figure, axes = _page(rows, columns, handles)
        for axis in axes.flat[len(groups) :]:
            axis.set_visible(False)
        for place, (group, title) in enumerate(zip(groups, titles, strict=True)):
            axis = axes.flat[place]
            _draw_split(axis, in_unit(group, unit).assign(level=group["true_mi_nats"]), looking, unit)
            axis.set_ylabel("" if place % columns else f"Error [{unit}]")
            axis.set_xlabel(f"{_true_mi(summary)} [{unit}]" if place + columns >= len(groups) else "")
            axis.set_title(_wrapped(title, columns), loc="left")
    return figure


def _wrapped(title: str, columns: int) -> str:
    """Break a title into lines where panels are narrow."""
    if columns == 1:
        return title
    letters = int(0.8 * PAGE_INCHES / columns / (BOLD_WIDTH * STYLE["axes.titlesize"] / 72))
    return "\n".join(textwrap.fill(line, letters) for line in title.split("\n"))


def _bars(groups: Sequence[pd.DataFrame]) -> int:
    """Return how many bars a panel has at most, two that stand on each other as one."""
    return max(group["true_mi_nats"].nunique() * group["estimator"].nunique() for group in groups)


def _true_mi(summary: pd.DataFrame) -> str:
    return "True MI of the task" if is_elsewhere(summary).any() else "True MI"


def has_split(summary: pd.DataFrame) -> bool:
    """Return whether there is an error to be split: not where no exact critic is known."""
    return bool(_has_split(summary).any())


def _has_split(summary: pd.DataFrame) -> pd.Series[bool]:
    """Return which cells belong to a setting with gaps, or in which nothing finished."""
    known = summary["bound_gap_nats"].notna() | summary["mean_nats"].isna()
    return known.groupby([summary[column] for column in _SETTING], dropna=False).transform("any")


def _ticks(levels: pd.Series[float]) -> list[float]:
    """Return the levels where a few are drawn, so that the axis names what was run."""
    found = sorted(levels.unique())
    return [round(level, 3) for level in (found if len(found) < 7 else found[:: len(found) // 5])]


def _setting(summary: pd.DataFrame) -> list[str]:
    """Return what makes a row of panels; the dimensions only if they do not follow from the level."""
    without = [column for column in _SETTING if column not in ("dim_x", "dim_y")]
    is_one = not summary.duplicated([*without, "true_mi_nats", "estimator"]).any()
    return without if is_one else _SETTING


def _settings(summary: pd.DataFrame) -> tuple[list[pd.DataFrame], list[str]]:
    """Return the cells of each setting, and what is said above each: what varies between them."""
    settings = _setting(summary)
    groups = [group for _, group in summary.groupby(settings, sort=False, dropna=False)]
    varying = [column for column in settings if summary[column].nunique(dropna=False) > 1]
    titles = [", ".join(_words(column, group.iloc[0][column]) for column in varying) for group in groups]
    failed = [int(group["failed"].sum()) for group in groups]
    said = [
        title + (f"  failed: {count} of {group['runs'].sum()} runs" if count else "")
        for title, count, group in zip(titles, failed, groups, strict=True)
    ]
    drawn = [not group["mean_nats"].isna().all() for group in groups]
    if not any(drawn):
        return groups, said
    lost = [title for title, is_drawn in zip(said, drawn, strict=True) if not is_drawn]
    kept = [group for group, is_drawn in zip(groups, drawn, strict=True) if is_drawn]
    titles = [title for title, is_drawn in zip(said, drawn, strict=True) if is_drawn]
    # Settings in which nothing finished have no panel; the last title says so.
    titles[-1] += "".join(f"\nnot drawn: {title}" for title in lost)
    return kept, titles


def _words(column: str, value: object) -> str:
    return value if isinstance(value, str) else f"{column.replace('_', ' ')} = {value:g}"


def _page(rows: int, columns: int, handles: Sequence[Any]) -> tuple[Figure, Any]:
    """Return a figure as wide as a page, its axes, and a legend below that is as wide at most."""
    widest = max(map(entry_inches, handles))
    per_row = max(1, min(len(handles), int(PAGE_INCHES / widest)))
    lines = -(-len(handles) // per_row)
    height = rows * PANEL_INCHES * 0.9 + lines * LEGEND_LINE_INCHES
    figure = Figure(figsize=(PAGE_INCHES, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axhline(0, color="0.5", linewidth=0.6, zorder=0)
        axis.grid(visible=True, axis="y", alpha=0.5)
        sns.despine(ax=axis)
    cells = padded(list(handles), per_row)
    by_column = [cell for column in range(per_row) for cell in cells[column::per_row]]
    figure.legend(handles=by_column, ncols=per_row, **LEGEND)
    return figure, axes


def _draw_metric(axis: Axes, group: pd.DataFrame, looking: Looks, metric: str, unit: str) -> None:
    for label, part in group.groupby("estimator", sort=False):
        colour, marker = looking[str(label)]
        line = part.sort_values(f"true_mi_{unit}")
        axis.errorbar(
            line[f"true_mi_{unit}"],
            line[f"{metric}_{unit}"],
            np.nan_to_num(line[f"{metric}_se_{unit}"]),
            color=colour,
            marker=marker,
            capsize=1.8,
            elinewidth=0.8,
        )


def _draw_split(axis: Axes, group: pd.DataFrame, looking: Looks, unit: str) -> None:
    levels = sorted(group["level"].unique())
    labels = list(dict.fromkeys(group["estimator"]))
    width = _GROUP / len(labels)
    for rank, label in enumerate(labels):
        part = group[group["estimator"] == label].sort_values("level")
        x = np.array([levels.index(level) for level in part["level"]])
        x = x + (rank - (len(labels) - 1) / 2) * width
        bound = np.nan_to_num(part[f"bound_gap_{unit}"].to_numpy(dtype=float))
        critic = np.nan_to_num(part[f"critic_gap_{unit}"].to_numpy(dtype=float))
        start = np.where(bound * critic > 0, bound, 0.0)
        colour = looking[label][0]
        pale = tuple(_PALE + (1 - _PALE) * part for part in to_rgb(colour))
        axis.bar(x, bound, 0.92 * width, color=colour, linewidth=0)
        axis.bar(
            x, critic, 0.92 * width, bottom=start, color=pale, edgecolor=colour, hatch="////", linewidth=0
        )
        axis.errorbar(
            x,
            part[f"bias_{unit}"],
            np.nan_to_num(part[f"bias_se_{unit}"]),
            color="black",
            marker="_",
            markersize=5,
            linestyle="none",
            elinewidth=0.8,
        )
    scale = group[f"true_mi_{unit}"] / group["level"].where(group["level"] != 0, 1.0)
    axis.set_xticks(range(len(levels)), [f"{level * scale.iloc[0]:.4g}" for level in levels])
