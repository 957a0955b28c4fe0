"""Bias against n or against samples, and estimate against truth: a panel an estimator, a line a level."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from functools import partial

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from mibench.analysis.cells import CELL, in_unit, is_elsewhere
from mibench.reports.figures.style import (
    BAND_ALPHA,
    BAND_LINE,
    BOLD_WIDTH,
    COLUMN_INCHES,
    LEGEND,
    LEGEND_LINE_INCHES,
    PAGE_INCHES,
    PANEL_INCHES,
    STYLE,
    Colour,
    in_rows,
    looks_of_levels,
)

PANEL_SHARE = 0.8  # of its column is a panel wide, beside its labels
SIDESTEP = 1.02  # of x, a level: so little that the eye still reads the tick
SMALLEST_GAP_INCHES = 0.09
X_MARGIN = 1.15  # of x, to either side

Draw = Callable[[Axes, pd.DataFrame, dict[float, tuple[Colour, str]], str], None]


def bias_vs_n(summary: pd.DataFrame, unit: str = "nats") -> Figure:
    """Draw bias against n: a panel an estimator, a line a true MI.

    Solid: mean over seeds with its 95% interval. Dashed: the exact critic. Dotted: the ceiling's own bias,
    ceiling(n) - I, above which no estimate can lie. Dash-dotted: that of the encoder's own estimate. Where
    the truth is an interval all are drawn less its upper end, and the band reaches down to its lower end.
    """
    return _panels(summary, unit, _draw_bias, "true_mi_nats")


def bias_vs_samples(summary: pd.DataFrame, unit: str = "nats") -> Figure:
    """Draw bias against the size of a fixed data set, as `bias_vs_n` draws it against n."""
    fixed = summary.dropna(subset="samples")
    draw = partial(_draw_bias, across="samples")
    return _panels(fixed, unit, draw, "true_mi_nats", across="samples")


def estimate_vs_true(summary: pd.DataFrame, unit: str = "nats") -> Figure:
    """Draw the estimate against the true MI: a panel an estimator, a line an n.

    Solid: mean over seeds with its 95% interval. Dashed: the exact critic. Dotted: the ceiling at each n.
    Grey: estimate = true MI of the task; the bar at a level is where the truth of the representation lies.
    """
    return _panels(summary, unit, _draw_estimate, "n")


def _panels(summary: pd.DataFrame, unit: str, draw: Draw, level_column: str, across: str = "n") -> Figure:
    """Lay out a panel for each combination of everything but true MI and n, and one legend below.

    `across` is what takes the place of n.
    """
    settings = _settings(summary, across)
    groups = [group for _, group in summary.groupby(settings, sort=False, dropna=False)]
    varying = [column for column in settings[1:] if summary[column].nunique(dropna=False) > 1]
    columns = 2 if len(groups) in (2, 4) else min(len(groups), 3)
    rows = math.ceil(len(groups) / columns)
    width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
    levels = sorted(summary[level_column].unique())
    colours = looks_of_levels(levels)
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        handles, per_row = _legend(summary, colours, level_column, unit, width)
        height = rows * PANEL_INCHES + math.ceil(len(handles) / per_row) * LEGEND_LINE_INCHES
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for index, axis in enumerate(axes.flat):
            if index >= len(groups):
                axis.set_axis_off()
                continue
            group = groups[index]
            letters = int(PANEL_SHARE * width / columns / (BOLD_WIDTH * STYLE["axes.titlesize"] / 72))
            words = [_title(group, varying), _failures(group)]
            axis.set_title("\n".join(textwrap.fill(text, letters) for text in words if text))
            draw(axis, group, colours, unit)
            if index % columns:
                axis.set_ylabel("")
            if index + columns < len(groups):
                axis.set_xlabel("")
            axis.grid(visible=True, axis="y", alpha=0.5)
            sns.despine(ax=axis)
        figure.legend(handles=handles, ncols=per_row, **LEGEND)
    return figure


def _settings(summary: pd.DataFrame, across: str) -> list[str]:
    """Return what makes a panel: all but true MI and n, and the dimensions only if they do not follow."""
    settings = [column for column in CELL if column not in ("true_mi_nats", across)]
    without = [column for column in settings if column not in ("dim_x", "dim_y")]
    # Digits side by side have as many coordinates as their information needs: that is one line, not many.
    is_one = not summary.duplicated([*without, "true_mi_nats", across]).any()
    return without if is_one else settings


_ACROSS = {"n": "n (size of the score matrix)", "samples": "Samples (train, validation and test)"}


def _draw_bias(
    axis: Axes,
    group: pd.DataFrame,
    colours: dict[float, tuple[Colour, str]],
    unit: str,
    across: str = "n",
) -> None:
    axis.axhline(0, color="0.5", linewidth=0.6, zorder=0)
    shown = in_unit(group, unit).assign(level=group["true_mi_nats"]).sort_values(across)
    sizes = sorted(group[across].unique())
    ends = (sizes[0] / X_MARGIN, sizes[-1] * X_MARGIN)
    for level, part in shown.groupby("level"):
        colour, marker = colours[float(str(level))]
        aside = part[across] * SIDESTEP ** _rank(level, colours)
        _draw_line(axis, aside, part, part[f"true_mi_high_{unit}"], unit, colour, marker)
        _draw_band(axis, part, across, ends, unit, colour)
    # Seen up to zero: a ceiling above the truth binds nothing.
    low, high = axis.get_ylim()
    errors = (shown[f"{name}_{unit}"] - shown[f"true_mi_high_{unit}"] for name in ("mean", "oracle"))
    top = float(np.nanmax([0.0, *(error for column in errors for error in column)]))
    low = min(low, top - 0.1)
    for level, part in shown.groupby("level"):
        limit = part[f"ceiling_{unit}"] - part[f"true_mi_high_{unit}"]
        colour = colours[float(str(level))][0]
        own = float((part[f"encoder_ceiling_{unit}"] - part[f"true_mi_high_{unit}"]).mean())
        if own < 0:  # above the truth it binds nothing
            axis.axhline(own, linestyle="-.", color=colour, linewidth=1.0, zorder=1)
        if len(part) == 1:
            axis.axhline(limit.iloc[0], linestyle=":", color=colour, linewidth=1.0, zorder=1)
        else:
            aside = part[across] * SIDESTEP ** _rank(level, colours)
            axis.plot(aside, limit, ":", color=colour, linewidth=1.0, zorder=1)
    axis.set_ylim(low, max(high, top) + 0.02 * (top - low))
    axis.set_xscale("log", base=2)
    axis.set_xlim(*ends)
    axis.xaxis.set_major_locator(FixedLocator(sizes))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_xlabel(_ACROSS[across])
    has_band = (group["true_mi_low_nats"] < group["true_mi_high_nats"]).any()
    axis.set_ylabel(f"Estimate − upper end of I [{unit}]" if has_band else f"Bias [{unit}]")


def _draw_band(
    axis: Axes, part: pd.DataFrame, across: str, ends: tuple[float, float], unit: str, colour: Colour
) -> None:
    """Shade where the truth of a level lies, less its upper end, from side to side of the panel."""
    width = part[f"true_mi_low_{unit}"] - part[f"true_mi_high_{unit}"]
    if not (width < 0).any():
        return
    x, bottom = part[across].to_numpy(dtype=float), width.to_numpy(dtype=float)
    x, bottom = np.array([ends[0], *x, ends[1]]), np.array([bottom[0], *bottom, bottom[-1]])
    axis.fill_between(x, bottom, 0.0, color=colour, alpha=BAND_ALPHA, linewidth=0, zorder=0)


def _draw_estimate(
    axis: Axes, group: pd.DataFrame, colours: dict[float, tuple[Colour, str]], unit: str
) -> None:
    truth = f"true_mi_{unit}"
    finished = group[group["failed"] < group["runs"]]
    shown = in_unit(group if finished.empty else finished, unit).sort_values(truth)
    is_log_n = _ceiling_name(group) == "log n"
    axis.plot([0, shown[truth].max()], [0, shown[truth].max()], color="0.5", linewidth=0.6, zorder=0)
    _draw_truths(axis, shown, unit)
    ceilings = {}
    for n, part in shown.groupby("n"):
        colour, marker = colours[float(str(n))]
        aside = part[truth] + (SIDESTEP - 1) * part[truth].max() / 3 * _rank(n, colours)
        _draw_line(axis, aside, part, 0.0, unit, colour, marker)
        ceiling = float(part[f"ceiling_{unit}"].iloc[0])
        if not math.isnan(ceiling):
            axis.axhline(ceiling, linestyle=":", color=colour, linewidth=1.0, zorder=1)
            ceilings[ceiling] = str(n)
    low, high = axis.get_ylim()
    inches = PANEL_INCHES * 0.7 / (high - low)
    last = -math.inf
    for ceiling, name in sorted(ceilings.items()):
        if (ceiling - last) * inches > SMALLEST_GAP_INCHES:
            _label_at_right(axis, ceiling, f"log {name}" if is_log_n else f"ceiling, n = {name}")
            last = ceiling
    axis.set_xlabel(f"True MI of the task [{unit}]" if is_elsewhere(group).any() else f"True MI [{unit}]")
    axis.set_ylabel(f"Estimate [{unit}]")


def _draw_truths(axis: Axes, shown: pd.DataFrame, unit: str) -> None:
    """Draw at each level of the task where the truth of the representation lies: a bar, or a mark."""
    elsewhere = shown[is_elsewhere(shown.rename(columns=lambda name: name.replace(f"_{unit}", "_nats")))]
    ends = elsewhere.groupby(f"true_mi_{unit}")[[f"true_mi_low_{unit}", f"true_mi_high_{unit}"]].mean()
    for level, (low, high) in zip(ends.index, ends.to_numpy(), strict=True):
        if low < high:
            axis.plot([level, level], [low, high], **BAND_LINE | {"linewidth": 18}, zorder=0)
        else:
            axis.plot(level, low, "_", color="black", markersize=11, zorder=4)


def _draw_line(
    axis: Axes,
    x: pd.Series[float],
    part: pd.DataFrame,
    origin: pd.Series[float] | float,
    unit: str,
    colour: Colour,
    marker: str,
) -> None:
    """Draw one level's estimate with its interval, and its oracle, both less the origin."""
    mean = part[f"mean_{unit}"]
    margins = np.array([mean - part[f"mean_low_{unit}"], part[f"mean_high_{unit}"] - mean])
    # A single point has no line, so the oracle is then a dash.
    oracle = part[f"oracle_{unit}"] - origin
    dash = "_" if len(part) == 1 else ""
    axis.plot(x, oracle, "--", color=colour, linewidth=1.0, marker=dash, markersize=9, zorder=2)
    axis.errorbar(
        x,
        mean - origin,
        np.nan_to_num(margins),
        color=colour,
        marker=marker,
        capsize=1.8,
        elinewidth=0.8,
        zorder=3,
    )


def _rank(level: object, colours: dict[float, tuple[Colour, str]]) -> float:
    """Return how far a level stands from the middle one: it steps aside so much, or intervals would meet."""
    return list(colours).index(float(str(level))) - (len(colours) - 1) / 2


def _label_at_right(axis: Axes, y: float, text: str) -> None:
    axis.annotate(
        text,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(2, 0),
        textcoords="offset points",
        va="center",
        fontsize=6,
        color="0.25",
    )


def _title(group: pd.DataFrame, varying: Sequence[str]) -> str:
    first = group.iloc[0]
    settings = (first[column] for column in varying)
    words = (
        value if isinstance(value, str) else f"{column} {value:g}"
        for column, value in zip(varying, settings, strict=True)
    )
    return ", ".join([str(first["estimator"]), *words])


def _ceiling_name(summary: pd.DataFrame) -> str:
    """Return "log n" where that is every ceiling, else "ceiling"."""
    known = summary.dropna(subset="ceiling_nats")
    is_log_n = np.allclose(known["ceiling_nats"], np.log(known["n"].astype(float)))
    return "log n" if is_log_n else "ceiling"


def _legend(
    summary: pd.DataFrame,
    colours: dict[float, tuple[Colour, str]],
    level_column: str,
    unit: str,
    width: float,
) -> tuple[list[Line2D], int]:
    """Return the legend's entries, levels in rows and line styles below, and how many a row has."""
    by_truth = level_column == "true_mi_nats"
    scale = math.log(2) if by_truth and unit == "bits" else 1.0
    name = "I" if by_truth else "n"
    levels = [
        Line2D([], [], color=colour, marker=marker, label=f"{name} = {level / scale:.4g}")
        for level, (colour, marker) in colours.items()
    ]
    names = {"-": "mean, 95%", "--": "exact critic"}
    if summary["mean_nats"].notna().any() and summary["oracle_nats"].isna().all():
        del names["--"]
    if summary["ceiling_nats"].notna().any():
        names[":"] = f"{_ceiling_name(summary)} − I" if by_truth else _ceiling_name(summary)
    if by_truth and (summary["encoder_ceiling_nats"] < summary["true_mi_high_nats"]).any():
        names["-."] = "encoder's ceiling − I"
    styles = [Line2D([], [], color="0.25", ls=style, label=label) for style, label in names.items()]
    styles += _truth_entries(summary, by_truth)
    return in_rows(levels, styles, width)


def _truth_entries(summary: pd.DataFrame, by_truth: bool) -> list[Line2D]:
    """Return legend entries for the truths of representations."""
    entries = []
    is_band = summary["true_mi_low_nats"] < summary["true_mi_high_nats"]
    if is_band.any():
        entries.append(Line2D([], [], **BAND_LINE, label="truth lies here"))
    if not by_truth and (is_elsewhere(summary) & ~is_band).any():
        entries.append(Line2D([], [], color="black", marker="_", ls="none", label="truth"))
    return entries


def _failures(group: pd.DataFrame) -> str:
    """Say how many runs of a panel failed, and at which n."""
    failed = int(group["failed"].sum())
    if not failed:
        return ""
    by_n = group[group["failed"] > 0].groupby("n")["failed"].sum()
    where = ", ".join(f"{count} at n = {n}" for n, count in by_n.items())
    return f"failed: {failed} of {int(group['runs'].sum())} runs" + (f" ({where})" if len(by_n) < 3 else "")
