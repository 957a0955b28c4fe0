"""What follows from an option of an encoder, a task or an estimator, all else the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from mibench.analysis.cells import CELL, error_name, in_unit, is_elsewhere
from mibench.errors import UsageError
from mibench.registry import parse
from mibench.reports.figures.style import (
    BAND_LINE,
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

Defaults = Callable[[str, str], Mapping[str, object]]
"""The options of a registered name of a kind, at their defaults."""

Looks = Mapping[float, tuple[Colour, str]]

KINDS = ("encoder", "task", "estimator")

_LOG_FROM = 8.0  # values that span more than this factor have a logarithmic axis
_DIGIT_INCHES = 0.055  # of a tick's label
_ASIDE_POINTS = 1.6  # an n: so little that the eye still reads the tick
_LEADER: dict[str, Any] = {
    "arrowstyle": "-",
    "linewidth": 0.4,
    "color": "0.6",
    "shrinkA": 0,
    "shrinkB": 0,
    "relpos": (0.5, 0),
}
ROUNDING = 1e-6

CEILING_SHOWN = 1.35
"""A ceiling is drawn up to so many times the task's true MI."""

_NAME_INCHES = 0.11  # between the names of encoders above a panel

_OWN = "encoder_nats"
_MEASURES = {
    "log_ratio_rmse_nats": "Error of the log ratio",
    "log_partition_nats": "Log partition function",
    "alignment": "Alignment",
    "uniformity": "Uniformity",
    "probe_accuracy": "Probe accuracy",
    "effective_rank": "Effective rank",
    _OWN: "Encoder's own estimate",
}
_OF_CRITICS = ("log_ratio_rmse_nats", "log_partition_nats")


@dataclass(frozen=True)
class Panel:
    """A panel of a figure: cells that differ in the option (and in n), and what is drawn of them."""

    cells: pd.DataFrame
    measure: str
    title: str


@dataclass(frozen=True)
class Sweep:
    """An option that takes several values, and the cells in which it does, with its `value` in each.

    `rest` in the cells is the label without the option.
    """

    kind: str
    option: str
    cells: pd.DataFrame = field(repr=False)


def no_defaults(kind: str, name: str) -> Mapping[str, object]:
    """Know no default: then labels without an option have no value of it."""
    return {}


def sweeps(summary: pd.DataFrame, unit: str = "nats", defaults: Defaults = no_defaults) -> dict[str, Figure]:
    """Return a figure `vs_<option>` for each numeric option of which a summary has several values.

    The panels share the option as x. First the estimate with its 95% interval, a panel an estimator and a
    line an n; black or shaded: the truth; dotted: the ceiling at each n. Then what is there of: the error of
    the learned log ratio, its log partition function (0 where it is normalised), alignment, uniformity, probe
    accuracy, effective rank, the encoder's own estimate with its ceiling; bars are one standard error.

    Args:
        summary: cells.
        unit: "nats" or "bits".
        defaults: the defaults of a name's options, which labels leave out.
    """
    found = {}
    for sweep in _sweeps(summary, defaults):
        panels = _panels(sweep)
        if panels:
            name = f"vs_{sweep.option}"
            found[f"vs_{sweep.kind}_{sweep.option}" if name in found else name] = _draw(sweep, panels, unit)
    return found


def _sweeps(summary: pd.DataFrame, defaults: Defaults) -> list[Sweep]:
    found = []
    for kind in KINDS:
        parsed = {label: _parsed(kind, str(label), defaults) for label in summary[kind].unique()}
        options = dict.fromkeys(option for _, given in parsed.values() for option in given)
        for option in options:
            values = {label: _value(kind, label, option, parsed, defaults) for label in parsed}
            rests = {label: _rest(*parsed[label], option) for label in parsed}
            cells = summary.assign(value=summary[kind].map(values), rest=summary[kind].map(rests))
            cells = cells.dropna(subset="value")
            several = cells.groupby("rest")["value"].transform("nunique") > 1
            if several.any():
                found.append(Sweep(kind, str(option), cells[several]))
    return found


def _parsed(kind: str, label: str, defaults: Defaults) -> tuple[str, dict[str, Any]]:
    """Return the name and the options that a label has; of names that nobody could have typed, none."""
    try:
        return parse(label, kind)
    except UsageError:
        return label, {}


def _value(
    kind: str, label: str, option: str, parsed: Mapping[str, tuple[str, dict[str, Any]]], defaults: Defaults
) -> float:
    """Return the value of an option in a label, NaN where it is no number."""
    name, given = parsed[label]
    value = given[option] if option in given else defaults(kind, name).get(option)
    if isinstance(value, bool):
        return math.nan
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def _rest(name: str, given: Mapping[str, Any], option: str) -> str:
    """Return a label without an option."""
    kept = [f"{key}={value}" for key, value in given.items() if key != option]
    return name + (f"[{','.join(kept)}]" if kept else "")


def _panels(sweep: Sweep) -> list[Panel]:
    """Return what there is to be drawn: all panels of a setting beside each other."""
    key, panels = _setting(sweep), []
    groups = [group for _, group in sweep.cells.groupby(key, sort=False, dropna=False)]
    groups = [group for group in groups if group["value"].nunique() > 1]
    shown = pd.concat(groups) if groups else sweep.cells
    varying = [column for column in key if shown[column].nunique(dropna=False) > 1]
    for group in groups:
        words = ", ".join(_words(column, group.iloc[0][column]) for column in varying)
        series = "rest" if sweep.kind == "estimator" else "estimator"
        by_critic = list(group.groupby(series, sort=False))
        for measure in ("mean_nats", *_OF_CRITICS) if sweep.kind == "estimator" else ("mean_nats",):
            for label, cells in by_critic:
                several = len(by_critic) > 1 or measure == "mean_nats"
                title = ", ".join(text for text in (str(label) * several, words) if text)
                title += _failures(cells) if measure == "mean_nats" else ""
                panels.append(Panel(cells, measure, title))
        of_encoders = group.drop_duplicates("value") if sweep.kind != "estimator" else group.head(0)
        panels += [Panel(of_encoders, name, words) for name in _MEASURES if name not in _OF_CRITICS]
    kept = [panel for panel in panels if _says_something(panel)]
    return kept if any(panel.measure == "mean_nats" for panel in kept) else []


def _says_something(panel: Panel) -> bool:
    """Return whether a panel has values; of encoders, ones that the option changes."""
    values = panel.cells[panel.measure].dropna()
    if panel.measure == "log_partition_nats":
        return bool((values.abs() > ROUNDING).any())  # some estimators' ratios are normalised as they are
    of_critics = panel.measure in ("mean_nats", *_OF_CRITICS)
    return len(values) > 0 and (of_critics or values.nunique() > 1)


def _failures(cells: pd.DataFrame) -> str:
    failed, runs = int(cells["failed"].sum()), int(cells["runs"].sum())
    return f"\nfailed: {failed} of {runs} runs" if failed else ""


def _setting(sweep: Sweep) -> list[str]:
    """Return the columns that must be the same along a line; what follows from the option need not be."""
    key = [column for column in CELL if column not in (sweep.kind, "estimator", "n")]
    key = key if sweep.kind == "estimator" else ["rest", *key]
    line = ["value", "estimator", "n"] if sweep.kind != "estimator" else ["rest", "value", "n"]
    following = ["dim_x", "dim_y"] + ["true_mi_nats"] * (sweep.kind == "task")
    for column in following:
        without = [one for one in key if one != column]
        if not sweep.cells.duplicated([*without, *line]).any():
            key = without
    return key


def _words(column: str, value: object) -> str:
    name = {"true_mi_nats": "I", "rest": ""}.get(column, column.replace("_", " "))
    return value if isinstance(value, str) else f"{name} = {value:.4g}"


def _draw(sweep: Sweep, panels: Sequence[Panel], unit: str) -> Figure:
    columns = 2 if len(panels) in (2, 4) else min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
    looking = looks_of_levels(sorted(sweep.cells["n"].unique()))
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        handles, per_row = _legend(sweep, panels, looking, width)
        height = rows * PANEL_INCHES * 0.92 + math.ceil(len(handles) / per_row) * LEGEND_LINE_INCHES
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for index, axis in enumerate(axes.flat):
            if index >= len(panels):
                axis.set_axis_off()
                continue
            panel = panels[index]
            _draw_panel(axis, panel, looking, unit)
            _set_x(axis, sorted(sweep.cells["value"].unique()), 0.7 * width / columns)
            axis.set_title(panel.title)
            axis.set_xlabel(sweep.option.replace("_", " "))
            axis.grid(visible=True, axis="y", alpha=0.5)
            sns.despine(ax=axis)
        figure.legend(handles=handles, ncols=per_row, **LEGEND)
    return figure


def _draw_panel(axis: Axes, panel: Panel, looking: Looks, unit: str) -> None:
    shown = in_unit(panel.cells, unit).sort_values("value")
    measure = panel.measure.replace("_nats", f"_{unit}")
    # Where there is a probe there are images, whose recipes read two views of one image, not the task's pair.
    reads_the_pair = shown["probe_accuracy"].isna().all()
    if panel.measure == "mean_nats" or (panel.measure == _OWN and reads_the_pair):
        _draw_truth(axis, shown, unit)
    if panel.measure == "mean_nats":
        for n, line in shown.groupby("n"):
            _draw_line(axis, line, measure, _margins(line, unit), looking[int(str(n))], _aside(n, looking))
        most = CEILING_SHOWN * float(shown[f"true_mi_{unit}"].max())
        for n, line in shown.groupby("n"):
            # A ceiling far above the truth binds nothing, and would press everything else flat.
            if line[f"ceiling_{unit}"].min() <= most:
                axis.plot(line["value"], line[f"ceiling_{unit}"], ":", color=looking[int(str(n))][0], lw=1.0)
        axis.set_ylabel(f"Estimate [{unit}]")
        return
    error = error_name(panel.measure).replace("_nats", f"_{unit}")
    if panel.measure in _OF_CRITICS:
        for n, line in shown.groupby("n"):
            _draw_line(
                axis, line, measure, np.nan_to_num(line[error]), looking[int(str(n))], _aside(n, looking)
            )
    else:
        _draw_line(axis, shown, measure, np.nan_to_num(shown[error]), ("0.25", "o"))
    if panel.measure == "log_partition_nats":
        axis.axhline(0, color="black", linewidth=0.8, zorder=0)
    if panel.measure == _OWN and shown[f"encoder_ceiling_{unit}"].notna().any():
        axis.plot(shown["value"], shown[f"encoder_ceiling_{unit}"], "-.", color="0.25", linewidth=1.0)
    has_unit = panel.measure.endswith("_nats")
    axis.set_ylabel(_MEASURES[panel.measure] + (f" [{unit}]" if has_unit else ""))


def _margins(line: pd.DataFrame, unit: str) -> NDArray[np.float64]:
    """Return how far the 95% interval reaches below and above the mean."""
    mean = line[f"mean_{unit}"]
    sides = np.array([mean - line[f"mean_low_{unit}"], line[f"mean_high_{unit}"] - mean], dtype=float)
    margins: NDArray[np.float64] = np.nan_to_num(sides)
    return margins


def _aside(n: object, looking: Looks) -> float:
    """Return by how many points the line of an n steps aside, or intervals would meet."""
    return _ASIDE_POINTS * (list(looking).index(int(str(n))) - (len(looking) - 1) / 2)


def _draw_line(
    axis: Axes,
    line: pd.DataFrame,
    measure: str,
    margins: NDArray[np.float64],
    look: tuple[Any, str],
    aside: float = 0.0,
) -> None:
    figure = axis.get_figure(root=True)
    assert figure is not None
    there = line[measure].notna().to_numpy()
    drawn = axis.errorbar(
        line["value"][there],
        line[measure][there],
        np.atleast_2d(margins)[:, there],
        color=look[0],
        marker=look[1],
        capsize=1.8,
        elinewidth=0.8,
        zorder=3,
    )
    # Moved once the limits of the axes are known: a transform of its own would leave them as they are.
    for artist in drawn.get_children():
        artist.set_transform(axis.transData + ScaledTranslation(aside / 72, 0, figure.dpi_scale_trans))


def _draw_truth(axis: Axes, shown: pd.DataFrame, unit: str) -> None:
    """Draw the truth at each value: a line, or a band where it is an interval; grey: that of the task."""
    names = {end: f"true_mi{end}_{unit}" for end in ("_low", "_high", "")}
    # It is the same at every n, or means over other seeds where some failed.
    means = shown.groupby("value")[list(names.values())].mean()
    low, high, task = (means[names[end]] for end in ("_low", "_high", ""))
    known = low.notna()
    if (low < high).any():
        axis.fill_between(
            means.index[known], low[known], high[known], color=BAND_LINE["color"], linewidth=0, zorder=0
        )
    else:
        axis.plot(means.index[known], low[known], color="black", linewidth=1.0, zorder=4)
    if ((low != task) | (high != task))[known].any():
        axis.plot(means.index, task, color="0.5", linewidth=0.6, zorder=1)


def _set_x(axis: Axes, values: Sequence[float], inches: float) -> None:
    """Set an axis that suits an option's values, with a tick at each and labels that do not meet."""
    positive = [value for value in values if value > 0]
    spans = len(positive) > 1 and positive[-1] / positive[0] > _LOG_FROM and values[0] >= 0
    if spans and values[0] == 0:
        axis.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
    elif spans:
        axis.set_xscale("log")
    places = axis.transScale.transform([(value, 1.0) for value in values])[:, 0]
    reach = (places[-1] - places[0]) or 1.0
    labels: dict[float, str] = {}
    end = -math.inf
    for value, place in zip(values, (places - places[0]) / reach * inches, strict=True):
        half = _DIGIT_INCHES * len(f"{value:.6g}") / 2
        if place - half > end:
            labels[value], end = f"{value:.6g}", place + half + _DIGIT_INCHES
    axis.xaxis.set_major_locator(FixedLocator(list(values)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(lambda value, _: labels.get(_nearest(value, values), ""))


def _nearest(value: float, values: Sequence[float]) -> float:
    return min(values, key=lambda one: abs(one - value))


def _legend(sweep: Sweep, panels: Sequence[Panel], looking: Looks, width: float) -> tuple[list[Line2D], int]:
    """Return the entries, those of n in rows and the others below, and how many a row has."""
    cells = pd.concat([panel.cells for panel in panels if panel.measure == "mean_nats"])
    sizes = [
        Line2D([], [], color=colour, marker=marker, label=f"n = {n:g}")
        for n, (colour, marker) in looking.items()
    ]
    is_band = bool((cells["true_mi_low_nats"] < cells["true_mi_high_nats"]).any())
    has_more = any(panel.measure != "mean_nats" for panel in panels)
    others = [Line2D([], [], color="0.25", label="mean, 95%" + ", elsewhere ± se" * has_more)]
    if is_band:
        others.append(Line2D([], [], **BAND_LINE, label="truth lies here"))
    else:
        others.append(Line2D([], [], color="black", linewidth=1.0, label="truth"))
    if is_elsewhere(cells).any():
        others.append(Line2D([], [], color="0.5", linewidth=0.6, label="true MI of the task"))
    known = cells[cells["ceiling_nats"] <= CEILING_SHOWN * cells["true_mi_nats"].max()]
    if len(known):
        is_log_n = np.allclose(known["ceiling_nats"], np.log(known["n"].astype(float)))
        others.append(Line2D([], [], color="0.25", ls=":", label="log n" if is_log_n else "ceiling"))
    own = [panel for panel in panels if panel.measure == _OWN]
    if any(panel.cells["encoder_ceiling_nats"].notna().any() for panel in own):
        others.append(Line2D([], [], color="0.25", ls="-.", label="encoder's ceiling"))
    return in_rows(sizes, others, width)


def estimate_vs_probe(summary: pd.DataFrame, unit: str = "nats") -> Figure | None:
    """Draw the estimate against the accuracy of a probe: a point an encoder and n, a panel an estimator.

    None where fewer than three encoders have a probe and an estimate.
    """
    cells = summary.dropna(subset=["probe_accuracy", "mean_nats"])
    if cells["encoder"].nunique() < 3:
        return None
    groups = list(cells.groupby("estimator", sort=False))
    columns = min(len(groups), 2)
    rows = math.ceil(len(groups) / columns)
    width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
    looking = looks_of_levels(sorted(cells["n"].unique()))
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        sizes = [
            Line2D([], [], color=colour, marker=marker, ls="none", label=f"n = {n:g}")
            for n, (colour, marker) in looking.items()
        ]
        handles, per_row = in_rows(sizes, [], width)
        names = max(map(len, cells["encoder"].unique())) * 0.055
        lines = len(handles) / per_row * LEGEND_LINE_INCHES
        figure = Figure(figsize=(width, rows * (PANEL_INCHES + names) + lines), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for index, axis in enumerate(axes.flat):
            if index >= len(groups):
                axis.set_axis_off()
                continue
            label, group = groups[index]
            _draw_probe(axis, in_unit(group, unit), looking, unit)
            _name_encoders(axis, group, 0.75 * width / columns)
            axis.set_ylabel(f"Estimate by {label} [{unit}]")
            axis.set_xlabel("Probe accuracy")
            axis.grid(visible=True, axis="y", alpha=0.5)
            sns.despine(ax=axis)
        figure.legend(handles=handles, ncols=per_row, **LEGEND)
    return figure


def _draw_probe(axis: Axes, group: pd.DataFrame, looking: Looks, unit: str) -> None:
    for n, part in group.groupby("n"):
        colour, marker = looking[int(str(n))]
        axis.errorbar(
            part["probe_accuracy"],
            part[f"mean_{unit}"],
            _margins(part, unit),
            np.nan_to_num(part["probe_accuracy_se"]),
            color=colour,
            marker=marker,
            linestyle="none",
            elinewidth=0.6,
        )


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
            arrowprops={
                "arrowstyle": "-",
                "linewidth": 0.4,
                "color": "0.6",
                "shrinkA": 0,
                "shrinkB": 0,
                "relpos": (0.5, 0),
            },
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
