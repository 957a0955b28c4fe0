"""Effect of an option of an encoder, a task or an estimator, other settings fixed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from mibench.analysis.cells import CELL, is_elsewhere, shown_in
from mibench.reports.figures import style
from mibench.reports.figures.kind import FigureKind
from mibench.reports.tables import is_varying, setting

Looks = Mapping[float, style.Look]

KINDS = ("encoder", "task", "estimator")

_LOG_FROM = 8.0  # values that span more than this factor have a logarithmic axis
_DIGIT_INCHES = 0.055  # of a tick's label
_ASIDE_POINTS = 1.6  # from n to n: so little that the eye still reads the tick
ROUNDING = 1e-6

CEILING_SHOWN = 1.35
"""A ceiling is drawn up to this many times the task's true MI."""

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
    """A panel of a figure: cells that differ in the option (and in n), and the measure that is drawn."""

    cells: pd.DataFrame
    measure: str
    title: str


@dataclass(frozen=True)
class Sweep:
    """An option that takes several values, and the cells in which it does, with its `value` in each.

    `rest` in the cells is the name with those other options that vary.
    """

    kind: str
    option: str
    cells: pd.DataFrame = field(repr=False)


def sweeps(summary: pd.DataFrame) -> list[FigureKind]:
    """Return a figure `vs_<option>` for each numeric option of which a summary has several values.

    The panels share the option as x. First the estimate with its 95% interval, one panel per estimator and
    one line per n; black or shaded: the truth; dotted: the ceiling at each n. Then those that were measured
    of: the error of the learned log ratio, its log partition function (0 where it is normalised), alignment,
    uniformity, probe accuracy, effective rank, the encoder's own estimate with its ceiling; bars are one
    standard error.
    """
    found: dict[str, FigureKind] = {}
    for sweep in _sweeps(summary):
        panels = _panels(sweep)
        if panels:
            name = f"vs_{sweep.option}"
            name = f"vs_{sweep.kind}_{sweep.option}" if name in found else name
            found[name] = FigureKind(
                name,
                applies=lambda summary: True,
                caption=partial(_caption, sweep.option),
                draw=partial(_draw, sweep, panels),
            )
    return list(found.values())


def _caption(option: str, summary: pd.DataFrame) -> str:
    return (
        f"Effect of {option.replace('_', ' ')}, other settings fixed. Black or shaded: the truth. Grey: the "
        "true MI of the task. Dotted: the ceiling at each n. Dash-dotted: the ceiling of the encoder's own "
        "estimate. The estimate has its 95% interval, everything else one standard error across seeds."
    )


def _sweeps(summary: pd.DataFrame) -> list[Sweep]:
    found = []
    for kind in KINDS:
        chosen = [choices[kind] or {"name": "", "options": {}} for choices in summary["choices"]]
        options = _shown_options(summary[kind], [choice["options"] for choice in chosen])
        names = pd.Series([choice["name"] for choice in chosen], index=summary.index)
        for option in options:
            rest = names + _rest(names, options.drop(columns=option))
            cells = summary.assign(value=options[option].map(_number), rest=rest).dropna(subset="value")
            several = cells.groupby("rest")["value"].transform("nunique") > 1
            if several.any():
                found.append(Sweep(kind, str(option), cells[several]))
    return found


def _shown_options(labels: pd.Series[str], options: list[dict[str, Any]]) -> pd.DataFrame:
    """Return one column per option: not those that labels leave out, which have columns of their own."""
    frame = pd.DataFrame(options, index=labels.index, dtype=object)
    # An option is an identifier; what a store of others has instead is none.
    by_label = frame.map(repr).groupby(labels).nunique()
    return frame[[name for name in by_label if str(name).isidentifier() and (by_label[name] <= 1).all()]]


def _rest(names: pd.Series[str], others: pd.DataFrame) -> pd.Series[str]:
    """Return in brackets the options that vary among the cells of one name."""
    varying = others.map(repr).groupby(names).transform("nunique") > 1
    texts = []
    for row, shown in zip(others.to_dict("records"), varying.to_dict("records"), strict=True):
        words = [
            f"{name}={setting(value)}" for name, value in row.items() if shown[name] and not pd.isna(value)
        ]
        texts.append(f"[{','.join(words)}]" if words else "")
    return pd.Series(texts, index=names.index, dtype=object)


def _number(value: object) -> float:
    """Return the value of an option, NaN where it is not a number."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _panels(sweep: Sweep) -> list[Panel]:
    """Return what there is to be drawn: all panels of a setting beside each other."""
    key, panels = _setting(sweep), []
    groups = [group for _, group in sweep.cells.groupby(key, sort=False, dropna=False)]
    groups = [group for group in groups if group["value"].nunique() > 1]
    shown = pd.concat(groups) if groups else sweep.cells
    varying = [column for column in key if is_varying(shown, column)]
    for group in groups:
        first = group.iloc[0]
        words = ", ".join(_words(column, first[column]) for column in varying if pd.notna(first[column]))
        series = "rest" if sweep.kind == "estimator" else "estimator"
        by_critic = list(group.groupby(series, sort=False))
        for measure in ("mean_nats", *_OF_CRITICS) if sweep.kind == "estimator" else ("mean_nats",):
            for label, cells in by_critic:
                is_estimate = measure == "mean_nats"
                name = str(label) if is_estimate or len(by_critic) > 1 else ""
                lost = style.failures(cells) if is_estimate else ""
                title = "\n".join(filter(None, [", ".join(filter(None, [name, words])), lost]))
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


def _setting(sweep: Sweep) -> list[str]:
    """Return the columns that must be the same along a line; what follows from the option need not be."""
    key = [column for column in CELL if column not in (sweep.kind, "estimator", "n")]
    key = key if sweep.kind == "estimator" else ["rest", *key]
    line = ["value", "estimator", "n"] if sweep.kind != "estimator" else ["rest", "value", "n"]
    following = ["dim_x", "dim_y", "true_mi_nats"] if sweep.kind == "task" else ["dim_x", "dim_y"]
    for column in following:
        without = [one for one in key if one != column]
        if not sweep.cells.duplicated([*without, *line]).any():
            key = without
    return key


def _words(column: str, value: object) -> str:
    name = {"true_mi_nats": "I", "rest": ""}.get(column, column.replace("_", " "))
    return value if isinstance(value, str) else f"{name} = {value:.4g}"


def _draw(sweep: Sweep, panels: Sequence[Panel], summary: pd.DataFrame, unit: str) -> Figure:
    looking = style.looks_of_levels(sorted(sweep.cells["n"].unique()))
    page = style.facets(len(panels), *_legend(panels, looking), height=0.92 * style.PANEL_INCHES)
    with page as (figure, axes):
        columns = axes[0].get_gridspec().ncols  # type: ignore[union-attr]
        for axis, panel in zip(axes, panels, strict=True):
            _draw_panel(axis, panel, looking, unit)
            _set_x(axis, sorted(sweep.cells["value"].unique()), 0.7 * style.PAGE_INCHES / max(columns, 2))
            axis.set_title(panel.title)
            axis.set_xlabel(sweep.option.replace("_", " "))
    return figure


def _draw_panel(axis: Axes, panel: Panel, looking: Looks, unit: str) -> None:
    shown = shown_in(panel.cells, unit).sort_values("value")
    measure = "own" if panel.measure == _OWN else panel.measure.removesuffix("_nats")
    is_estimate = measure == "mean"
    # Encoders that have a probe are of images and read two views of one image, not the task's pair.
    if is_estimate or (panel.measure == _OWN and shown["probe_accuracy"].isna().all()):
        _draw_truth(axis, shown)
    # A ceiling far above the truth is no limit, and would press everything else flat.
    most = CEILING_SHOWN * float(shown["true_mi"].max())
    by_n = is_estimate or panel.measure in _OF_CRITICS
    for n, line in shown.groupby("n") if by_n else [(None, shown)]:
        look = looking[float(str(n))] if by_n else style.Look((0.25, 0.25, 0.25), "o")
        there = line.dropna(subset=measure)
        sides = style.margins(there) if is_estimate else there[f"{measure}_se"]
        drawn = style.draw_line(axis, there["value"], there[measure], sides, look.line, zorder=3)
        if by_n:
            move_aside(drawn, axis, list(looking).index(float(str(n))) - (len(looking) - 1) / 2)
        if is_estimate and line["ceiling"].min() <= most:
            axis.plot(line["value"], line["ceiling"], ":", color=look.colour, lw=1.0)
    if panel.measure == "log_partition_nats":
        axis.axhline(0, color="black", linewidth=0.8, zorder=0)
    if panel.measure == _OWN and shown["encoder_ceiling"].notna().any():
        axis.plot(shown["value"], shown["encoder_ceiling"], "-.", color="0.25", linewidth=1.0)
    name = "Estimate" if is_estimate else _MEASURES[panel.measure]
    axis.set_ylabel(f"{name} [{unit}]" if panel.measure.endswith("_nats") else name)


def move_aside(drawn: ErrorbarContainer, axis: Axes, rank: float) -> None:
    """Move a line aside, so that intervals do not meet."""
    figure = axis.get_figure(root=True)
    assert figure is not None
    aside = ScaledTranslation(_ASIDE_POINTS * rank / 72, 0, figure.dpi_scale_trans)
    # Moved once the limits of the axes are known: a transform of its own would leave them as they are.
    for artist in drawn.get_children():
        artist.set_transform(axis.transData + aside)


def _draw_truth(axis: Axes, shown: pd.DataFrame) -> None:
    """Draw the truth at each value, and in grey that of the task where it is another."""
    style.draw_truth(axis, shown, "value")
    if is_elsewhere(shown).any():
        task = shown.groupby("value")["true_mi"].mean()
        axis.plot(task.index, task, color="0.5", linewidth=0.6, zorder=1)


def _set_x(axis: Axes, values: Sequence[float], inches: float) -> None:
    """Set an axis that suits an option's values, with a tick at each."""
    positive = [value for value in values if value > 0]
    spans = len(positive) > 1 and positive[-1] / positive[0] > _LOG_FROM and values[0] >= 0
    if spans and values[0] == 0:
        axis.set_xscale("symlog", linthresh=positive[0], linscale=0.5)
    elif spans:
        axis.set_xscale("log")
    name_ticks(axis, values, inches)


def name_ticks(axis: Axes, values: Sequence[float], inches: float) -> None:
    """Set a tick at each value, and a label where it does not meet the one before; the scale is set."""
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


def _legend(panels: Sequence[Panel], looking: Looks) -> tuple[list[Artist], list[Artist]]:
    """Return the entries of the legend: those of n, and the others."""
    cells = pd.concat([panel.cells for panel in panels if panel.measure == "mean_nats"])
    has_more = any(panel.measure != "mean_nats" for panel in panels)
    others: list[Artist] = [style.entry("mean, 95%; others ± se" if has_more else "mean, 95%", color="0.25")]
    others.append(style.truth_entry(cells))
    if is_elsewhere(cells).any():
        others.append(style.entry("true MI of the task", color="0.5", linewidth=0.6))
    known = cells[cells["ceiling_nats"] <= CEILING_SHOWN * cells["true_mi_nats"].max()]
    if len(known):
        others.append(style.entry(style.ceiling_name(known), color="0.25", ls=":"))
    own = [panel for panel in panels if panel.measure == _OWN]
    if any(panel.cells["encoder_ceiling_nats"].notna().any() for panel in own):
        others.append(style.entry("encoder's ceiling", color="0.25", ls="-."))
    return style.entries_of("n", looking), others
