"""Estimators beside each other: bias, standard deviation and RMSE, and the parts of their errors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mibench.analysis.cells import CELL, FIT, blocks, has_interval, is_elsewhere, shown_in
from mibench.reports.figures import style
from mibench.reports.figures.kind import FigureKind
from mibench.reports.words import INSIDE_NOTE, RMSE_NOTE

Looks = Mapping[str, style.Look]

_METRICS = {"bias": "Bias", "std": "Std. deviation", "rmse": "RMSE"}
_BOUNDED = {"bias": ", 0 inside I", "std": "", "rmse": ", at least"}
"""What the axes say as well where the truth is an interval."""
_PALE = 0.6  # share of white in the colour of the error that training leaves
FEW_BARS = 4
"""Panels of the error split with up to this many bars stand beside each other."""
_GROUP = 0.8  # share of the distance between two levels that is filled with bars
_HEIGHT = 0.9 * style.PANEL_INCHES


def _draw_metrics(summary: pd.DataFrame, unit: str) -> Figure:
    groups = by_setting(summary)
    looking = style.looks(style.estimator_names(summary))
    entries = [style.entry(label, **look.line) for label, look in looking.items()]
    page = style.facets(len(_METRICS) * len(groups), entries, columns=len(_METRICS), height=_HEIGHT)
    with page as (figure, axes):
        panels = itertools.product(groups, _METRICS.items())
        for axis, ((title, group), (metric, name)) in zip(axes, panels, strict=True):
            shown = shown_in(group, unit).sort_values("true_mi")
            axis.axhline(0, **style.ZERO_LINE)
            for label, line in shown.groupby("estimator", sort=False):
                sides = line[f"{metric}_se"]
                style.draw_line(axis, line["true_mi"], line[metric], sides, looking[str(label)].line)
            axis.set_title(title if metric == "bias" else "", loc="left")
            axis.set_ylabel(f"{name}{_BOUNDED[metric] if has_interval(group) else ''} [{unit}]")
            axis.set_xlabel(f"{true_mi(summary)} [{unit}]")
            axis.set_xticks(_ticks(shown["true_mi"]))
    return figure


def _draw_splits(summary: pd.DataFrame, unit: str) -> Figure:
    groups = by_setting(summary[_has_split(summary)])
    looking = style.looks(style.estimator_names(summary))
    entries: list[Artist] = [Patch(color=look.colour, label=label) for label, look in looking.items()]
    entries += [
        Patch(facecolor="0.45", label="at exact ratio"),
        Patch(facecolor="0.85", edgecolor="0.45", hatch="////", linewidth=0, label="model, training"),
        style.entry("bias", color="black", marker="_", linestyle="none"),
    ]
    columns = min(3, len(groups)) if _bars([group for _, group in groups]) <= FEW_BARS else 1
    page = style.facets(len(groups), entries, columns=columns, width=style.PAGE_INCHES, height=_HEIGHT)
    with page as (figure, axes):
        for axis, (title, group) in zip(axes, groups, strict=True):
            _draw_split(axis, shown_in(group, unit), looking)
            axis.set_ylabel(f"Error [{unit}]")
            axis.set_xlabel(f"{true_mi(summary)} [{unit}]")
            axis.set_title(style.wrapped(title, axis), loc="left")
    return figure


def _bars(groups: Sequence[pd.DataFrame]) -> int:
    """Return how many bars a panel has at most, two that are stacked as one."""
    return max(group["true_mi_nats"].nunique() * group["estimator"].nunique() for group in groups)


def true_mi(summary: pd.DataFrame) -> str:
    """Return what the axis of true MI is called."""
    return "True MI of the task" if is_elsewhere(summary).any() else "True MI"


def _has_split(summary: pd.DataFrame) -> pd.Series[bool]:
    """Return which cells belong to a setting with both parts of the error, or in which nothing finished."""
    known = summary["bound_gap_nats"].notna() | summary["mean_nats"].isna()
    setting = [summary[column] for column in CELL if column not in ("estimator", "true_mi_nats")]
    return known.groupby(setting, dropna=False).transform("any")


def _ticks(levels: pd.Series[float]) -> list[float]:
    """Return the levels where only a few are drawn, so that the axis names what was run."""
    found = sorted(levels.unique())
    return [round(level, 3) for level in (found if len(found) < 7 else found[:: len(found) // 5])]


def by_setting(summary: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the cells of each setting whose estimators can be compared, with a title of what varies."""
    apart = [column for column in CELL if column not in ("estimator", "true_mi_nats", *FIT)]
    without = [column for column in apart if column not in ("dim_x", "dim_y")]
    # Dimensions that follow from the level do not part settings.
    if not summary.duplicated([*without, *FIT, "true_mi_nats", "estimator"]).any():
        apart = without
    groups = blocks(summary, apart)
    values = [{column: group[column].dropna().unique() for column in [*apart, *FIT]} for group in groups]
    varying = [column for column in [*apart, *FIT] if len({tuple(found[column]) for found in values}) > 1]
    titled = []
    for found, group in zip(values, groups, strict=True):
        words = ", ".join(_words(column, value) for column in varying for value in found[column])
        titled.append(("  ".join(filter(None, [words, style.failures(group)])), group))
    drawn = [(title, group) for title, group in titled if group["mean_nats"].notna().any()]
    if not drawn:
        return titled
    # Settings in which nothing finished have no panel; the last title says so.
    lost = [title for title, group in titled if group["mean_nats"].isna().all()]
    title, group = drawn[-1]
    return [*drawn[:-1], ("\n".join([title, *(f"not drawn: {one}" for one in lost)]), group)]


def _words(column: str, value: object) -> str:
    return value if isinstance(value, str) else f"{column.replace('_', ' ')} = {value:g}"


def _draw_split(axis: Axes, group: pd.DataFrame, looking: Looks) -> None:
    axis.axhline(0, **style.ZERO_LINE)
    levels = sorted(group["true_mi"].unique())
    labels = list(dict.fromkeys(group["estimator"]))
    width = _GROUP / len(labels)
    for rank, label in enumerate(labels):
        part = group[group["estimator"] == label].sort_values("true_mi")
        x = part["true_mi"].map(levels.index) + (rank - (len(labels) - 1) / 2) * width
        bound, critic = part["bound_gap"].fillna(0.0), part["critic_gap"].fillna(0.0)
        start = bound.where(bound * critic > 0, 0.0)
        colour = looking[label].colour
        pale = tuple(_PALE + (1 - _PALE) * part for part in to_rgb(colour))
        bar: dict[str, Any] = {"width": 0.92 * width, "linewidth": 0}
        axis.bar(x, bound, color=colour, **bar)
        axis.bar(x, critic, bottom=start, color=pale, edgecolor=colour, hatch="////", **bar)
        mark = {"color": "black", "marker": "_", "markersize": 5, "linestyle": "none"}
        style.draw_line(axis, x, part["bias"], part["bias_se"], mark, capsize=0)
    axis.set_xticks(range(len(levels)), [f"{level:.4g}" for level in levels])


def _has_levels(summary: pd.DataFrame) -> bool:
    """Return whether there is something to be drawn against the true MI: not of encoders at one level."""
    levels = summary.groupby(["task", "encoder"])["true_mi_nats"].nunique()
    return not is_elsewhere(summary).any() or bool((levels > 1).any())


METRICS_VS_TRUE = FigureKind(
    "metrics_vs_true",
    applies=lambda summary: summary["estimator"].nunique() > 1 and _has_levels(summary),
    caption=lambda summary: (
        "Bias, standard deviation and root mean square error against the true MI, one line per estimator. "
        "Bars are one standard error across seeds to either side."
        + (f" {INSIDE_NOTE} {RMSE_NOTE}" if has_interval(summary) else "")
    ),
    draw=_draw_metrics,
    places={"run": 60},
)

METRICS_OF_COMPARISON = replace(METRICS_VS_TRUE, applies=lambda summary: True, places={"compare": 10})


def _split_caption(summary: pd.DataFrame) -> str:
    best = ", which no model can undo at this n" if (summary["oracle_is_best"] == True).all() else ""  # noqa: E712
    return (
        f"The parts of the error. Full colour: the error at the exact density ratio{best}. Pale and hatched: "
        "the error of the model and its training. Black: the bias, their sum with what is due to the batches "
        "that were read, with one standard error."
    )


ERROR_SPLIT = FigureKind(
    "error_split",
    applies=lambda summary: bool(_has_split(summary).any()),
    caption=_split_caption,
    draw=_draw_splits,
    places={"run": 40, "compare": 20},
)
