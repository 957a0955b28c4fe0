"""Bias against n or samples, and estimate against truth: one panel per estimator, one line per level."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from mibench.analysis.cells import CELL, has_interval, has_own_truth, is_elsewhere, shown_in
from mibench.reports.figures import style
from mibench.reports.figures.kind import FigureKind
from mibench.reports.tables import is_varying
from mibench.reports.words import INSIDE_NOTE

SIDESTEP = 1.02  # of x, from level to level: so little that the eye still reads the tick
SMALLEST_GAP_INCHES = 0.09
X_MARGIN = 1.15  # of x, to either side

_ACROSS = {"n": "n (rows in a batch)", "samples": "Samples (train, validation and test)"}

Looks = Mapping[float, style.Look]
Draw = Callable[[Axes, pd.DataFrame, Looks, str], None]


def _panels(summary: pd.DataFrame, unit: str, draw: Draw, level: str, across: str = "n") -> Figure:
    """Draw a panel for each combination of everything but true MI and n; `across` takes the place of n."""
    settings = _settings(summary, across)
    cells = shown_in(summary, unit)
    groups = [group for _, group in cells.groupby(settings, sort=False, dropna=False)]
    varying = [column for column in settings[1:] if is_varying(cells, column)]
    looking = style.looks_of_levels(sorted(cells[level].unique()))
    with style.facets(len(groups), *_legend(cells, looking, level)) as (figure, axes):
        for axis, group in zip(axes, groups, strict=True):
            words = [title(group, varying), _failures(group)]
            axis.set_title(style.wrapped("\n".join(filter(None, words)), axis))
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
    axis.axhline(0, **style.ZERO_LINE)
    sizes = sorted(group[across].unique())
    ends = (sizes[0] / X_MARGIN, sizes[-1] * X_MARGIN)
    limits = []
    for level, part in group.sort_values(across).groupby("true_mi"):
        look, origin = looking[float(str(level))], part["true_mi_high"]
        aside = part[across] * SIDESTEP ** _rank(level, looking)
        _draw_estimates(axis, aside, part, origin, look)
        _draw_band(axis, part, across, ends, look.colour)
        limits.append((aside, part["ceiling"] - origin, part["encoder_ceiling"] - origin, look.colour))
    # Seen up to zero: a ceiling above the truth is no limit.
    low, high = axis.get_ylim()
    errors = group[["mean", "exact"]].sub(group["true_mi_high"], axis=0)
    top = float(np.nanmax([0.0, *errors.max()]))
    low = min(low, top - 0.1)
    for aside, limit, own, colour in limits:
        if own.mean() < 0:  # above the truth it is no limit
            axis.axhline(own.mean(), linestyle="-.", color=colour, linewidth=1.0, zorder=1)
        # A single point has no line: its limit spans the panel.
        x = aside if len(aside) > 1 else ends
        axis.plot(x, limit if len(aside) > 1 else [limit.iloc[0]] * 2, ":", color=colour, lw=1.0, zorder=1)
    axis.set_ylim(low, max(high, top) + 0.02 * (top - low))
    axis.set_xscale("log", base=2)
    axis.set_xlim(*ends)
    axis.xaxis.set_major_locator(FixedLocator(sizes))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel(_ACROSS[across])
    axis.set_ylabel(f"Estimate − upper end of I [{unit}]" if has_interval(group) else f"Bias [{unit}]")


def _draw_band(
    axis: Axes, part: pd.DataFrame, across: str, ends: tuple[float, float], colour: style.Colour
) -> None:
    """Shade where the truth of a level lies, less its upper end, from side to side of the panel."""
    bottom = (part["true_mi_low"] - part["true_mi_high"]).to_numpy(dtype=float)
    if (bottom < 0).any():
        x, y = [ends[0], *part[across], ends[1]], np.pad(bottom, 1, mode="edge")
        axis.fill_between(x, y, 0.0, color=colour, alpha=style.BAND_ALPHA, linewidth=0, zorder=0)


def _draw_estimate(axis: Axes, group: pd.DataFrame, looking: Looks, unit: str) -> None:
    finished = group[group["failed"] < group["runs"]]
    shown = (group if finished.empty else finished).sort_values("true_mi")
    most = shown["true_mi"].max()
    axis.plot([0, most], [0, most], **style.ZERO_LINE)
    _draw_truths(axis, shown)
    ceilings = {}
    for n, part in shown.groupby("n"):
        look = looking[float(str(n))]
        aside = part["true_mi"] + (SIDESTEP - 1) * part["true_mi"].max() / 3 * _rank(n, looking)
        _draw_estimates(axis, aside, part, 0.0, look)
        ceiling = float(part["ceiling"].iloc[0])
        if not math.isnan(ceiling):
            axis.axhline(ceiling, linestyle=":", color=look.colour, linewidth=1.0, zorder=1)
            ceilings[ceiling] = str(n)
    _name_ceilings(axis, ceilings, "log " if style.ceiling_name(group) == "log n" else "ceiling, n = ")
    axis.set_xlabel(f"True MI of the task [{unit}]" if is_elsewhere(group).any() else f"True MI [{unit}]")
    axis.set_ylabel(f"Estimate [{unit}]")


def _name_ceilings(axis: Axes, ceilings: Mapping[float, str], words: str) -> None:
    """Write beside each ceiling its n, but for those so near to one that their names would meet."""
    low, high = axis.get_ylim()
    inches = style.PANEL_INCHES * 0.7 / (high - low)
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    last = -math.inf
    for ceiling, n in sorted(ceilings.items()):
        if (ceiling - last) * inches > SMALLEST_GAP_INCHES:
            text = f"{words}{n}"
            axis.annotate(text, (1, ceiling), (2, 0), **place, va="center", fontsize=6, color="0.25")
            last = ceiling


def _draw_truths(axis: Axes, shown: pd.DataFrame) -> None:
    """Draw at each level of the task where another truth lies: a bar, or a mark."""
    ends = shown[has_own_truth(shown)].groupby("true_mi")[["true_mi_low", "true_mi_high"]].mean()
    for level, low, high in ends.itertuples():
        if low < high:
            axis.plot([level, level], [low, high], **style.BAND_LINE | {"linewidth": 18}, zorder=0)
        else:
            axis.plot(level, low, "_", color="black", markersize=11, zorder=4)


def _draw_estimates(
    axis: Axes, x: pd.Series[float], part: pd.DataFrame, origin: pd.Series[float] | float, look: style.Look
) -> None:
    """Draw one level's estimate with its interval, and the value at the exact ratio, both less the origin."""
    # A single point has no line, so the exact value is then a dash.
    exact, dash = part["exact"] - origin, "_" if len(part) == 1 else ""
    axis.plot(x, exact, "--", color=look.colour, linewidth=1.0, marker=dash, markersize=9, zorder=2)
    style.draw_line(axis, x, part["mean"] - origin, style.margins(part), look.line, zorder=3)


def _rank(level: object, looking: Looks) -> float:
    """Return how far a level is from the middle one; it is moved aside so that intervals do not meet."""
    return list(looking).index(float(str(level))) - (len(looking) - 1) / 2


def title(group: pd.DataFrame, varying: Sequence[str]) -> str:
    """Return the title of a panel: its estimator, and the settings that vary from panel to panel."""
    first = group.iloc[0]
    name = f"{first['estimator']} (upper if q is exact)" if first["bound"] == "upper" else first["estimator"]
    settings = {column: first[column] for column in varying if pd.notna(first[column])}
    words = (value if isinstance(value, str) else f"{column} {value:g}" for column, value in settings.items())
    return ", ".join([str(name), *words])


def _legend(cells: pd.DataFrame, looking: Looks, level: str) -> tuple[list[Artist], list[Artist]]:
    """Return the legend's entries: levels, and line styles."""
    by_truth = level == "true_mi"
    names = {"-": "mean, 95%"}
    if cells["exact"].notna().any() or cells["mean"].isna().all():
        names["--"] = "at exact ratio"
    if cells["ceiling"].notna().any():
        names[":"] = style.ceiling_name(cells) + (" − I" if by_truth else "")
    if by_truth and (cells["encoder_ceiling"] < cells["true_mi_high"]).any():
        names["-."] = "encoder's ceiling − I"
    styles: list[Artist] = [style.entry(label, color="0.25", ls=line) for line, label in names.items()]
    if has_interval(cells):
        styles.append(style.entry("truth lies here", **style.BAND_LINE))
    is_point = cells["true_mi_low"] == cells["true_mi_high"]
    if not by_truth and (is_elsewhere(cells) & is_point).any():
        styles.append(style.entry("truth", color="black", marker="_", ls="none"))
    return style.entries_of("I" if by_truth else "n", looking), styles


def _failures(group: pd.DataFrame) -> str:
    """Say how many runs of a panel failed, and at which n."""
    by_n = group[group["failed"] > 0].groupby("n")["failed"].sum()
    where = ", ".join(f"{count} at n = {n}" for n, count in by_n.items())
    return style.failures(group) + (f" ({where})" if 0 < len(by_n) < 3 else "")


_LINES = "Solid: mean over seeds with its 95% interval. Dashed: at the exact density ratio. "
_BAND = f" Shaded: where the truth of the representation lies; the origin is its upper end. {INSIDE_NOTE}"
_OWN = " Dash-dotted: the ceiling of the encoder's own estimate."


def _with_band(text: str, band: str) -> Callable[[pd.DataFrame], str]:
    return lambda summary: text + band if has_interval(summary) else text


def _of_bias(text: str) -> Callable[[pd.DataFrame], str]:
    def caption(summary: pd.DataFrame) -> str:
        is_limited = (summary["encoder_ceiling_nats"] < summary["true_mi_high_nats"]).any()
        return _with_band(text, _BAND)(summary) + (_OWN if is_limited else "")

    return caption


BIAS_VS_N = FigureKind(
    "bias_vs_n",
    applies=lambda summary: True,
    caption=_of_bias(
        f"Bias against n, one line per true MI. {_LINES}Dotted: the ceiling's own bias, which no estimate "
        "can exceed."
    ),
    draw=lambda summary, unit: _panels(summary, unit, _draw_bias, "true_mi"),
    places={"run": 10},
)

BIAS_VS_SAMPLES = FigureKind(
    "bias_vs_samples",
    applies=lambda summary: bool(summary["samples"].notna().any()),
    caption=_of_bias(f"Bias against the size of the data set, one line per true MI. {_LINES}".strip()),
    draw=lambda summary, unit: _panels(
        summary.dropna(subset="samples"),
        unit,
        partial(_draw_bias, across="samples"),
        "true_mi",
        across="samples",
    ),
    places={"run": 50},
)

ESTIMATE_VS_TRUE = FigureKind(
    "estimate_vs_true",
    applies=lambda summary: True,
    caption=_with_band(
        f"Estimate against true MI, one line per n. {_LINES}Dotted: the ceiling. Grey: estimate = truth.",
        " The bar at a level is where the truth lies.",
    ),
    draw=lambda summary, unit: _panels(summary, unit, _draw_estimate, "n"),
    places={"run": 20},
)
