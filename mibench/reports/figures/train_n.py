"""One training that is read at many n: the losses of the bound, of training at another n, and the rest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from mibench.analysis.cells import CELL, NATS_IN, has_interval, shown_in
from mibench.reports.figures import style
from mibench.reports.figures.kind import FigureKind
from mibench.reports.figures.levels import title
from mibench.reports.figures.sweep import move_aside, name_ticks
from mibench.reports.tables import is_varying

_PANEL = [column for column in CELL if column not in ("n", "train_n")]
"""What the cells of a panel have in common."""

_MOST_LEVELS, _MOST_ESTIMATORS = 5, 4
"""Panels beside each other."""

_HEIGHT = 0.85 * style.PANEL_INCHES
_MARGIN = 0.06  # of the span of log n, to either side
_OWN = style.Look((0.15, 0.15, 0.15), "X")
_BOUND: dict[str, Any] = {"color": "0.9", "linewidth": 0}
_EXACT: dict[str, Any] = {"color": "0.45", "linestyle": "--", "linewidth": 1.0}
_CEILING: dict[str, Any] = {"color": "0.25", "linestyle": ":", "linewidth": 1.0}
_TRAINED_AT: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.6, "zorder": 1}
_ITS_CEILING: dict[str, Any] = {"linestyle": "-.", "linewidth": 0.9, "zorder": 1}
_NOT_SPLIT: dict[str, Any] = {"markerfacecolor": "white", "linestyle": (0, (3, 1))}

Looks = Mapping[float, style.Look]


def _draw(summary: pd.DataFrame, unit: str) -> Figure:
    groups = _groups(shown_in(summary, unit))
    cells = pd.concat(groups)
    looking = style.looks_of_levels(_trained_at(cells))
    varying = [column for column in _PANEL[1:] if column != "true_mi_nats" and is_varying(cells, column)]
    columns = _columns(groups)
    width = style.COLUMN_INCHES if columns == 1 else style.PAGE_INCHES
    rows = [groups[first : first + columns] for first in range(0, len(groups), columns)]
    count, legend = 2 * columns * len(rows), _legend(cells, looking)
    with style.facets(count, *legend, columns=columns, width=width, height=_HEIGHT) as (figure, axes):
        above, below = _above_and_below(axes, columns)
        for place in range(len(groups), len(above)):
            above[place].set_axis_off()
            below[place].set_axis_off()
        for error, parts, group in zip(above, below, groups, strict=False):
            words = [f"{title(group, varying)}, I = {group['true_mi'].iloc[0]:.4g}", style.failures(group)]
            error.set_title(style.wrapped("\n".join(filter(None, words)), error))
            _draw_error(error, group, looking, unit)
            _draw_parts(parts, group, looking)
            error.set_ylabel(f"{'Estimate − upper end of I' if has_interval(group) else 'Error'} [{unit}]")
            parts.set_ylabel(f"Part of the error [{unit}]")
            for axis in (error, parts):
                _set_x(axis, cells, 0.6 * width / columns)
    return figure


def _groups(shown: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the cells of each panel, one estimator at one level, where some have an n of training."""
    groups = (group.sort_values("n") for _, group in shown.groupby(_PANEL, sort=False, dropna=False))
    return [group for group in groups if group["train_n"].notna().any()]


def _columns(groups: Sequence[pd.DataFrame]) -> int:
    """Return how many panels stand beside each other: the levels of an estimator, where there are several."""
    levels = len({group["true_mi_nats"].iloc[0] for group in groups})
    return min(levels, _MOST_LEVELS) if levels > 1 else min(len(groups), _MOST_ESTIMATORS)


def _above_and_below(axes: Sequence[Axes], columns: int) -> tuple[list[Axes], list[Axes]]:
    """Return the panels of every other row, and those below them."""
    is_above = [place // columns % 2 == 0 for place in range(len(axes))]
    both = list(zip(axes, is_above, strict=True))
    return [axis for axis, above in both if above], [axis for axis, above in both if not above]


def _draw_error(axis: Axes, group: pd.DataFrame, looking: Looks, unit: str) -> None:
    """Draw the error against n, what the bound loses at n, and the ceiling."""
    axis.axhline(0, **style.ZERO_LINE)
    origin = group["true_mi_high"]
    exact, ceiling = ((group[name] - origin).groupby(group["n"]).mean() for name in ("exact", "ceiling"))
    axis.fill_between(exact.index, exact, 0.0, **_BOUND, zorder=0)
    axis.plot(exact.index, exact, **_EXACT, zorder=2)
    for cells, look, rank in _lines(group, looking):
        _draw_line(axis, cells, cells["mean"] - cells["true_mi_high"], cells["bias_se"], look.line, rank)
    low, high = axis.get_ylim()
    axis.plot(ceiling.index, ceiling, **_CEILING, zorder=1)
    if _has_log_ceiling(group):
        for train_n in _trained_at(group):
            height = [math.log(train_n) / NATS_IN[unit] - origin.mean()] * 2
            axis.plot([train_n, group["n"].max()], height, color=looking[train_n].colour, **_ITS_CEILING)
    axis.set_ylim(low, high)  # above the truth a ceiling is no limit
    _mark_training(axis, group, looking)


def _draw_parts(axis: Axes, group: pd.DataFrame, looking: Looks) -> None:
    """Draw what training at another n loses, and what the model loses that was trained at n itself.

    Where no model was trained at n itself the two are one part, with open markers.
    """
    axis.axhline(0, **style.ZERO_LINE)
    for cells, look, rank in _lines(group, looking):
        is_split = cells["train_gap"].notna()
        split, rest = cells[is_split], cells[~is_split]
        line = look.line | ({} if look is _OWN else _NOT_SPLIT)
        _draw_line(axis, split, split["train_gap"], split["train_gap_se"], look.line, rank)
        _draw_line(axis, rest, rest["above_exact"], rest["above_exact_se"], line, rank)
    _mark_training(axis, group, looking)


def _lines(group: pd.DataFrame, looking: Looks) -> Iterator[tuple[pd.DataFrame, style.Look, float]]:
    """Yield the cells of each line, its look and its rank from the middle: what trains at n itself first."""
    trained = [(cells, looking[float(str(n))]) for n, cells in group.groupby("train_n")]
    own = group[group["train_n"].isna()]
    found = [*([(own, _OWN)] if len(own) else []), *trained]
    for rank, (cells, look) in enumerate(found):
        yield cells, look, rank - (len(found) - 1) / 2


def _draw_line(
    axis: Axes,
    cells: pd.DataFrame,
    values: pd.Series[float],
    errors: pd.Series[float],
    line: Mapping[str, Any],
    rank: float,
) -> None:
    move_aside(style.draw_line(axis, cells["n"], values, errors, line, zorder=3), axis, rank)


def _mark_training(axis: Axes, group: pd.DataFrame, looking: Looks) -> None:
    """Draw a line from top to bottom at each n of training."""
    for train_n in _trained_at(group):
        axis.axvline(train_n, color=looking[train_n].colour, **_TRAINED_AT)


def _trained_at(cells: pd.DataFrame) -> list[float]:
    """Return the n of training, in order."""
    return sorted(cells["train_n"].dropna().unique())


def _has_log_ceiling(cells: pd.DataFrame) -> bool:
    return bool(cells["ceiling_nats"].notna().any()) and style.ceiling_name(cells) == "log n"


def _set_x(axis: Axes, cells: pd.DataFrame, inches: float) -> None:
    axis.set_xscale("log", base=2)
    axis.xaxis.set_minor_locator(NullLocator())
    ends = pd.concat([cells["n"], cells["train_n"]]).agg(["min", "max"])
    side = (ends["max"] / ends["min"]) ** _MARGIN
    axis.set_xlim(ends["min"] / side, ends["max"] * side)
    name_ticks(axis, sorted(cells["n"].unique()), inches)
    axis.set_xlabel("n that is read")


def _legend(cells: pd.DataFrame, looking: Looks) -> tuple[list[Artist], list[Artist]]:
    """Return the entries of the legend: n of training, and line styles."""
    trained: list[Artist] = [*style.entries_of("train n", looking)]
    if cells["train_n"].isna().any():
        trained.insert(0, style.entry("trained at n itself", **_OWN.line))
    others: list[Artist] = []
    if cells["exact"].notna().any():
        others += [style.entry("at exact ratio", **_EXACT), Patch(**_BOUND, label="lost by the bound at n")]
    if cells["ceiling"].notna().any():
        others.append(style.entry(f"{style.ceiling_name(cells)} − I", **_CEILING))
    if _has_log_ceiling(cells):
        others.append(style.entry("log train n − I: no limit", color="0.25", **_ITS_CEILING))
    if (cells["train_n"].notna() & cells["train_gap"].isna()).any():
        others.append(style.entry("not trained at n: both parts", color="0.25", marker="o", **_NOT_SPLIT))
    return trained, others


def _caption(summary: pd.DataFrame) -> str:
    words = (
        "One training, read at many n: each colour is an n of training, which a thin line marks. Above, the "
        "error against the n that is read. Shaded: what the bound loses at n, the error at the exact density "
        "ratio (dashed). "
    )
    if _has_log_ceiling(summary):
        words += (
            "Dotted: the ceiling, log n, of the batch that is read. Dash-dotted: the log of the n of "
            "training, which is no limit. "
        )
    is_split = summary["train_gap_nats"].notna()
    if is_split.any():
        words += (
            "Below, the rest of the error in parts. Crosses: what the models lose that were trained at the n "
            "that is read. Filled: what training at another n loses beside that, paired by seed. "
        )
    if (summary["train_n"].notna() & ~is_split).any():
        words += f"{'Open' if is_split.any() else 'Below, open'} markers: the losses of the model and of "
        words += "training at another n together. "
    return f"{words}Bars are one standard error across seeds to either side."


TRAIN_N = FigureKind(
    "train_n",
    applies=lambda summary: bool(summary["train_n"].notna().any()),
    caption=_caption,
    draw=_draw,
    places={"run": 45},
)
