"""Bias against n or samples, and estimate against truth: one panel per estimator, one line per level."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from mibench.analysis.cells import CELL, in_unit, is_elsewhere
from mibench.reports.figures.kind import FigureKind
from mibench.reports.figures.style import (
    BAND_ALPHA,
    BAND_LINE,
    PANEL_INCHES,
    Colour,
    Look,
    entry,
    facets,
    failures,
    looks_of_levels,
    margins,
    wrapped,
)
from mibench.reports.tables import is_varying

SIDESTEP = 1.02  # of x, from level to level: so little that the eye still reads the tick
SMALLEST_GAP_INCHES = 0.09
X_MARGIN = 1.15  # of x, to either side

_ACROSS = {"n": "n (rows in a batch)", "samples": "Samples (train, validation and test)"}

Looks = Mapping[float, Look]
Draw = Callable[[Axes, pd.DataFrame, Looks, str], None]


def _panels(summary: pd.DataFrame, unit: str, draw: Draw, level_column: str, across: str = "n") -> Figure:
    """Draw a panel for each combination of everything but true MI and n; `across` takes the place of n."""
    settings = _settings(summary, across)
    groups = [group for _, group in summary.groupby(settings, sort=False, dropna=False)]
    varying = [column for column in settings[1:] if is_varying(summary, column)]
    looking = looks_of_levels(sorted(summary[level_column].unique()))
    with facets(len(groups), *_legend(summary, looking, level_column, unit)) as (figure, axes):
        for axis, group in zip(axes, groups, strict=True):
            words = [_title(group, varying), _failures(group)]
            axis.set_title(wrapped("\n".join(filter(None, words)), axis))
            draw(axis, group, looking, unit)
    return figure


def _settings(summary: pd.DataFrame, across: str) -> list[str]:
    """Return what makes a panel: all but true MI and n, and the dimensions only if they do not follow."""
    settings = [column for column in CELL if column not in ("true_mi_nats", across)]
    without = [column for column in settings if column not in ("dim_x", "dim_y")]
    # Images side by side have as many coordinates as their information needs: that is one line, not many.
    is_one = not summary.duplicated([*without, "true_mi_nats", across]).any()
    return without if is_one else settings


def _draw_bias(axis: Axes, group: pd.DataFrame, looking: Looks, unit: str, across: str = "n") -> None:
    axis.axhline(0, color="0.5", linewidth=0.6, zorder=0)
    shown = in_unit(group, unit).assign(level=group["true_mi_nats"]).sort_values(across)
    sizes = sorted(group[across].unique())
    ends = (sizes[0] / X_MARGIN, sizes[-1] * X_MARGIN)
    for level, part in shown.groupby("level"):
        look = looking[float(str(level))]
        aside = part[across] * SIDESTEP ** _rank(level, looking)
        _draw_line(axis, aside, part, part[f"true_mi_high_{unit}"], unit, look)
        _draw_band(axis, part, across, ends, unit, look.colour)
    # Seen up to zero: a ceiling above the truth is no limit.
    low, high = axis.get_ylim()
    errors = (shown[f"{name}_{unit}"] - shown[f"true_mi_high_{unit}"] for name in ("mean", "oracle"))
    top = float(np.nanmax([0.0, *(error for column in errors for error in column)]))
    low = min(low, top - 0.1)
    for level, part in shown.groupby("level"):
        limit = part[f"ceiling_{unit}"] - part[f"true_mi_high_{unit}"]
        colour = looking[float(str(level))].colour
        own = float((part[f"encoder_ceiling_{unit}"] - part[f"true_mi_high_{unit}"]).mean())
        if own < 0:  # above the truth it is no limit
            axis.axhline(own, linestyle="-.", color=colour, linewidth=1.0, zorder=1)
        if len(part) == 1:
            axis.axhline(limit.iloc[0], linestyle=":", color=colour, linewidth=1.0, zorder=1)
        else:
            aside = part[across] * SIDESTEP ** _rank(level, looking)
            axis.plot(aside, limit, ":", color=colour, linewidth=1.0, zorder=1)
    axis.set_ylim(low, max(high, top) + 0.02 * (top - low))
    axis.set_xscale("log", base=2)
    axis.set_xlim(*ends)
    axis.xaxis.set_major_locator(FixedLocator(sizes))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_xlabel(_ACROSS[across])
    axis.set_ylabel(f"Estimate − upper end of I [{unit}]" if _has_band(group) else f"Bias [{unit}]")


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


def _draw_estimate(axis: Axes, group: pd.DataFrame, looking: Looks, unit: str) -> None:
    truth = f"true_mi_{unit}"
    finished = group[group["failed"] < group["runs"]]
    shown = in_unit(group if finished.empty else finished, unit).sort_values(truth)
    is_log_n = _ceiling_name(group) == "log n"
    axis.plot([0, shown[truth].max()], [0, shown[truth].max()], color="0.5", linewidth=0.6, zorder=0)
    _draw_truths(axis, shown, unit)
    ceilings = {}
    for n, part in shown.groupby("n"):
        look = looking[float(str(n))]
        aside = part[truth] + (SIDESTEP - 1) * part[truth].max() / 3 * _rank(n, looking)
        _draw_line(axis, aside, part, 0.0, unit, look)
        ceiling = float(part[f"ceiling_{unit}"].iloc[0])
        if not math.isnan(ceiling):
            axis.axhline(ceiling, linestyle=":", color=look.colour, linewidth=1.0, zorder=1)
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
    look: Look,
) -> None:
    """Draw one level's estimate with its interval, and its oracle, both less the origin."""
    # A single point has no line, so the oracle is then a dash.
    oracle, dash = part[f"oracle_{unit}"] - origin, "_" if len(part) == 1 else ""
    axis.plot(x, oracle, "--", color=look.colour, linewidth=1.0, marker=dash, markersize=9, zorder=2)
    mean = part[f"mean_{unit}"] - origin
    axis.errorbar(x, mean, margins(part, unit), **look.line, capsize=1.8, elinewidth=0.8, zorder=3)


def _rank(level: object, looking: Looks) -> float:
    """Return how far a level is from the middle one; it is moved aside so that intervals do not meet."""
    return list(looking).index(float(str(level))) - (len(looking) - 1) / 2


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
    name = f"{first['estimator']} (upper if q is exact)" if first["bound"] == "upper" else first["estimator"]
    settings = {column: first[column] for column in varying if pd.notna(first[column])}
    words = (value if isinstance(value, str) else f"{column} {value:g}" for column, value in settings.items())
    return ", ".join([str(name), *words])


def _ceiling_name(summary: pd.DataFrame) -> str:
    """Return "log n" where that is every ceiling, else "ceiling"."""
    known = summary.dropna(subset="ceiling_nats")
    is_log_n = np.allclose(known["ceiling_nats"], np.log(known["n"].astype(float)))
    return "log n" if is_log_n else "ceiling"


def _has_band(summary: pd.DataFrame) -> bool:
    return bool((summary["true_mi_low_nats"] < summary["true_mi_high_nats"]).any())


def _legend(
    summary: pd.DataFrame, looking: Looks, level_column: str, unit: str
) -> tuple[list[Artist], list[Artist]]:
    """Return the legend's entries: levels, and line styles."""
    by_truth = level_column == "true_mi_nats"
    scale = math.log(2) if by_truth and unit == "bits" else 1.0
    name = "I" if by_truth else "n"
    levels: list[Artist] = [
        entry(f"{name} = {level / scale:.4g}", **look.line) for level, look in looking.items()
    ]
    less = " − I" if by_truth else ""
    names = {"-": "mean, 95%", "--": "at exact ratio", ":": _ceiling_name(summary) + less}
    if summary["mean_nats"].notna().any() and summary["oracle_nats"].isna().all():
        del names["--"]
    if summary["ceiling_nats"].isna().all():
        del names[":"]
    if by_truth and (summary["encoder_ceiling_nats"] < summary["true_mi_high_nats"]).any():
        names["-."] = "encoder's ceiling − I"
    styles: list[Artist] = [entry(label, color="0.25", ls=style) for style, label in names.items()]
    if _has_band(summary):
        styles.append(entry("truth lies here", **BAND_LINE))
    is_point = summary["true_mi_low_nats"] == summary["true_mi_high_nats"]
    if not by_truth and (is_elsewhere(summary) & is_point).any():
        styles.append(entry("truth", color="black", marker="_", ls="none"))
    return levels, styles


def _failures(group: pd.DataFrame) -> str:
    """Say how many runs of a panel failed, and at which n."""
    by_n = group[group["failed"] > 0].groupby("n")["failed"].sum()
    where = ", ".join(f"{count} at n = {n}" for n, count in by_n.items())
    return failures(group) + (f" ({where})" if 0 < len(by_n) < 3 else "")


_LINES = "Solid: mean over seeds with its 95% interval. Dashed: at the exact density ratio. "


def _with_band(text: str, band: str) -> Callable[[pd.DataFrame], str]:
    return lambda summary: text + band if _has_band(summary) else text


BIAS_VS_N = FigureKind(
    "bias_vs_n",
    applies=lambda summary: True,
    caption=_with_band(
        f"Bias against n, one line per true MI. {_LINES}Dotted: the ceiling's own bias, which no estimate "
        "can exceed.",
        " Shaded: where the truth of the representation lies; the origin is its upper end. Dash-dotted: the "
        "ceiling of the encoder's own estimate.",
    ),
    draw=lambda summary, unit: _panels(summary, unit, _draw_bias, "true_mi_nats"),
)

BIAS_VS_SAMPLES = FigureKind(
    "bias_vs_samples",
    applies=lambda summary: bool(summary["samples"].notna().any()),
    caption=lambda summary: f"Bias against the size of the data set, one line per true MI. {_LINES}".strip(),
    draw=lambda summary, unit: _panels(
        summary.dropna(subset="samples"),
        unit,
        partial(_draw_bias, across="samples"),
        "true_mi_nats",
        across="samples",
    ),
)

ESTIMATE_VS_TRUE = FigureKind(
    "estimate_vs_true",
    applies=lambda summary: True,
    caption=_with_band(
        f"Estimate against true MI, one line per n. {_LINES}Dotted: the ceiling. Grey: estimate = truth.",
        " The bar at a level is where the truth of the representation lies.",
    ),
    draw=lambda summary, unit: _panels(summary, unit, _draw_estimate, "n"),
)
