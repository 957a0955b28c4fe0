"""Figures of a summary, at the size a paper's column has."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from mibench.results.statistics import CELL, in_unit

COLUMN_INCHES = 3.4
PAGE_INCHES = 7.0
PANEL_INCHES = 2.5
LEGEND_LINE_INCHES = 0.19
MARKERS = "osD^vPX*<>"
_PANEL = [column for column in CELL if column not in ("true_mi_nats", "n")]

_STYLE = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.6,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "grid.linewidth": 0.4,
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
}

Draw = Callable[[Axes, pd.DataFrame, str], None]


def bias_vs_n(summary: pd.DataFrame, unit: str = "nats") -> Figure:
    """Draw bias against n: a panel an estimator, a line a true MI.

    Solid: mean over seeds with its 95% interval. Dashed: the exact critic. Dotted: the ceiling's own bias,
    ceiling(n) - I, above which no estimate can lie.
    """
    return _panels(summary, unit, _draw_bias, "true_mi_nats", f"True MI [{unit}]")


def estimate_vs_true(summary: pd.DataFrame, unit: str = "nats") -> Figure:
    """Draw the estimate against the true MI: a panel an estimator, a line an n.

    Solid: mean over seeds with its 95% interval. Dashed: the exact critic. Dotted: the ceiling at each n.
    Grey: estimate = truth.
    """
    return _panels(summary, unit, _draw_estimate, "n", "n")


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as PNG and PDF and return their paths."""
    paths = [stem.with_suffix(".png"), stem.with_suffix(".pdf")]
    with mpl.rc_context(_STYLE):
        for path in paths:
            # No date, so that the same results give the same file.
            figure.savefig(path, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)
    return paths


def _panels(summary: pd.DataFrame, unit: str, draw: Draw, line_column: str, line_title: str) -> Figure:
    """Lay out a panel for each combination of everything but true MI and n, and one legend below."""
    with sns.axes_style("ticks"), mpl.rc_context(_STYLE):
        groups = [group for _, group in summary.groupby(_PANEL, sort=False, dropna=False)]
        varying = [column for column in _PANEL[1:] if summary[column].nunique(dropna=False) > 1]
        columns = min(len(groups), 3)
        rows = math.ceil(len(groups) / columns)
        width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
        levels = sorted(summary[line_column].unique())
        legend = _legend(summary, levels, line_column, line_title, unit)
        legend_rows = math.ceil(len(legend) / _legend_columns(width))
        height = rows * PANEL_INCHES + legend_rows * LEGEND_LINE_INCHES + 0.1
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
        colours = _colours(levels)
        for index, axis in enumerate(axes.flat):
            if index >= len(groups):
                axis.set_axis_off()
                continue
            group = groups[index]
            axis.set_title(_title(group, varying), fontweight="bold")
            for level, part in group.groupby(line_column, sort=True):
                colour, marker = colours[level]
                _draw_line(axis, part, draw, colour, marker, unit)
            draw(axis, group, unit)
            if index % columns:
                axis.set_ylabel("")
            if index + columns < len(groups):
                axis.set_xlabel("")
            else:
                axis.tick_params(labelbottom=True)
            _count_failures(axis, group)
            axis.grid(visible=True, axis="y", alpha=0.5)
            sns.despine(ax=axis)
        figure.legend(
            handles=legend,
            loc="outside lower center",
            ncols=_legend_columns(width),
            frameon=False,
            handlelength=2.4,
            columnspacing=1.2,
            labelspacing=0.3,
        )
        return figure


def _legend_columns(width: float) -> int:
    return 4 if width == COLUMN_INCHES else 8


def _colours(levels: Sequence[float]) -> dict[float, tuple[Any, str]]:
    """Give each level a colour and a marker: colours fall in lightness, so grey print keeps the order."""
    palette = sns.color_palette("viridis_r", len(levels) + 1)[1:]
    return {
        level: (colour, MARKERS[i % len(MARKERS)])
        for i, (level, colour) in enumerate(zip(levels, palette, strict=True))
    }


def _title(group: pd.DataFrame, varying: Sequence[str]) -> str:
    first = group.iloc[0]
    words = [str(first["estimator"]), *(_setting(column, first[column]) for column in varying)]
    return ", ".join(words)


def _setting(column: str, value: object) -> str:
    return str(value) if isinstance(value, str) else f"{column} {value:g}"


def _legend(
    summary: pd.DataFrame, levels: Sequence[float], column: str, title: str, unit: str
) -> list[Line2D]:
    colours = _colours(levels)
    shown = [level / math.log(2) if (column, unit) == ("true_mi_nats", "bits") else level for level in levels]
    name = "I" if column == "true_mi_nats" else "n"
    handles = [
        Line2D(
            [],
            [],
            color=colours[level][0],
            marker=colours[level][1],
            label=f"{name} = {value:.4g}",
        )
        for level, value in zip(levels, shown, strict=True)
    ]
    styles = [("-", "estimate"), ("--", "exact critic")]
    if summary["ceiling_nats"].notna().any():
        styles.append((":", "ceiling"))
    return handles + [Line2D([], [], color="0.25", linestyle=style, label=label) for style, label in styles]


def _draw_line(
    axis: Axes,
    part: pd.DataFrame,
    draw: Draw,
    colour: Any,
    marker: str,
    unit: str,
) -> None:
    """Draw one level's estimate with its interval, oracle and ceiling, as bias or as value."""
    bias = draw is _draw_bias
    shown = in_unit(part, unit).sort_values("n" if bias else f"true_mi_{unit}")
    x = shown["n"] if bias else shown[f"true_mi_{unit}"]
    origin = shown[f"true_mi_{unit}"] if bias else 0.0
    mean, oracle = shown[f"mean_{unit}"] - origin, shown[f"oracle_{unit}"] - origin
    ceiling = shown[f"ceiling_{unit}"] - origin
    margins = np.array(
        [
            shown[f"mean_{unit}"] - shown[f"mean_low_{unit}"],
            shown[f"mean_high_{unit}"] - shown[f"mean_{unit}"],
        ]
    )
    axis.plot(x, ceiling, ":", color=colour, linewidth=1.0, zorder=1)
    axis.plot(x, oracle, "--", color=colour, linewidth=1.0, zorder=2)
    axis.errorbar(
        x,
        mean,
        np.nan_to_num(margins),
        color=colour,
        marker=marker,
        capsize=1.8,
        elinewidth=0.8,
        zorder=3,
    )


def _draw_bias(axis: Axes, group: pd.DataFrame, unit: str) -> None:
    axis.axhline(0, color="0.5", linewidth=0.6, zorder=0)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_locator(FixedLocator(sorted(group["n"].unique())))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_xlabel("n (size of the score matrix)")
    axis.set_ylabel(f"Bias [{unit}]")


def _draw_estimate(axis: Axes, group: pd.DataFrame, unit: str) -> None:
    shown = in_unit(group, unit)
    low, high = 0.0, shown[f"true_mi_{unit}"].max()
    axis.plot([low, high], [low, high], color="0.5", linewidth=0.6, zorder=0)
    axis.set_xlabel(f"True MI [{unit}]")
    axis.set_ylabel(f"Estimate [{unit}]")


def _count_failures(axis: Axes, group: pd.DataFrame) -> None:
    """Say in the panel how many runs failed, and where."""
    failed = int(group["failed"].sum())
    if not failed:
        return
    by_n = group[group["failed"] > 0].groupby("n")["failed"].sum()
    where = ", ".join(f"{count} at n = {n}" for n, count in by_n.items())
    axis.annotate(
        f"failed: {failed} of {int(group['runs'].sum())} runs\n({where})",
        (0.98, 0.04),
        xycoords="axes fraction",
        ha="right",
        fontsize=6,
        bbox={
            "boxstyle": "round,pad=0.25",
            "facecolor": "white",
            "edgecolor": "0.3",
            "linewidth": 0.5,
        },
        zorder=5,
    )
