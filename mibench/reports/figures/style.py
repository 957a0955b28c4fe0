"""The look of all figures: sizes of a paper's column, one style, and a grid of panels with a legend below."""

from __future__ import annotations

import base64
import io
import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from mibench.analysis.cells import has_interval

COLUMN_INCHES = 3.4
PAGE_INCHES = 7.0
PANEL_INCHES = 2.5
LEGEND_LINE_INCHES = 0.19
LETTER_WIDTH = 0.5  # of the font size
BOLD_WIDTH = 0.62  # of a bold letter, likewise
PANEL_SHARE = 0.8  # of its column's width that a panel takes beside its labels
BAND_ALPHA = 0.16  # of a shaded interval of truth

Colour = tuple[float, float, float]

STYLE: Any = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
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
    "text.parse_math": False,  # a label with dollars is not a formula
}

BAND_LINE: dict[str, Any] = {"color": "0.82", "linewidth": 6, "solid_capstyle": "butt"}
"""An interval that holds the truth, as a bar; and in legends for every way in which it is drawn."""

TRUTH_LINE: dict[str, Any] = {"color": "black", "linewidth": 1.0}
ZERO_LINE: dict[str, Any] = {"color": "0.5", "linewidth": 0.6, "zorder": 0}
ERROR_BARS: dict[str, Any] = {"capsize": 1.8, "elinewidth": 0.8}

LEGEND: dict[str, Any] = {
    "loc": "outside lower center",
    "frameon": False,
    "handlelength": 1.7,
    "handletextpad": 0.4,
    "columnspacing": 0.7,
    "labelspacing": 0.3,
}


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as PNG and PDF and return their paths."""
    with mpl.rc_context(STYLE):
        figure.savefig(stem.with_suffix(".png"))
        # No date, so that the same results give the same file.
        figure.savefig(stem.with_suffix(".pdf"), metadata={"CreationDate": None})
    return [stem.with_suffix(".png"), stem.with_suffix(".pdf")]


def address(figure: Figure) -> str:
    """Return a figure as a data: address of an SVG, the same for the same figure.

    A page holds it as an image, so that nothing in it can reach the page.
    """
    file = io.BytesIO()
    # Paths, not text: a figure looks the same where its font is missing.
    with mpl.rc_context(STYLE | {"svg.fonttype": "path", "svg.hashsalt": "mibench"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"


@contextmanager
def facets(
    count: int,
    entries: Sequence[Artist],
    more_entries: Sequence[Artist] = (),
    *,
    columns: int | None = None,
    width: float | None = None,
    height: float = PANEL_INCHES,
    share: bool = False,
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give a figure and this many panels to draw on; on leaving, they are tidied and get their legend.

    Labels that repeat those of the panel to the left or below are left out. The legend's entries stand in
    rows that are as wide as the figure at most, `more_entries` in rows of their own.

    Args:
        count: how many panels.
        entries: of the legend.
        more_entries: of the legend, below them.
        columns: panels beside each other (at most 3, and 2 of 4).
        width: of the figure in inches (a column of a page for one panel, else the page).
        height: of a panel in inches.
        share: whether all panels have the same axes.
    """
    columns = columns or (2 if count in (2, 4) else min(count, 3))
    rows = math.ceil(count / columns)
    width = width or (COLUMN_INCHES if columns == 1 else PAGE_INCHES)
    with sns.axes_style("ticks"), mpl.rc_context(STYLE):
        handles, per_row = _in_rows(list(entries), list(more_entries), width)
        lines = math.ceil(len(handles) / per_row) * LEGEND_LINE_INCHES
        figure = Figure(figsize=(width, rows * height + lines), layout="constrained")
        panels = list(figure.subplots(rows, columns, sharex=share, sharey=share, squeeze=False).flat)
        for unused in panels[count:]:
            unused.set_axis_off()
        panels = panels[:count]
        yield figure, panels
        for first in range(0, count, columns):
            for left, right in reversed(list(pairwise(panels[first : first + columns]))):
                right.set_ylabel("" if right.get_ylabel() == left.get_ylabel() else right.get_ylabel())
        for above, below in zip(panels, panels[columns:], strict=False):
            above.set_xlabel("" if above.get_xlabel() == below.get_xlabel() else above.get_xlabel())
        for axis in panels:
            axis.grid(visible=True, axis="y", alpha=0.5)
            sns.despine(ax=axis)
        figure.legend(handles=handles, ncols=per_row, **LEGEND)


def wrapped(text: str, axes: Axes) -> str:
    """Break each line of a panel's title into lines that are as wide as the panel at most."""
    grid = axes.get_subplotspec()
    figure = axes.get_figure(root=True)
    assert grid is not None
    assert figure is not None
    inches = PANEL_SHARE * float(figure.get_size_inches()[0]) / grid.get_gridspec().ncols
    letters = int(inches / (BOLD_WIDTH * STYLE["axes.titlesize"] / 72))
    return "\n".join(textwrap.fill(line, letters) for line in text.split("\n"))


class Look(NamedTuple):
    """How an estimator or a level is drawn: the same in all figures of a summary."""

    colour: Colour
    marker: str
    dash: Any = "-"

    @property
    def line(self) -> dict[str, Any]:
        """The arguments of matplotlib for a line with markers."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.dash}


BUILT_IN = {
    "infonce": 0,
    "nce": 1,
    "mine": 2,
    "nwj": 3,
    "smile": 4,
    "js": 5,
    "dv": 6,
    "tuba": 7,
    "interpolated": 9,
}
"""Places in the palette that are the same in every figure; all other names get one in order of appearance."""

MARKERS = "osD^vPX*<>"
_DASHES = ("-", (0, (4, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1, 1.5)))
_SHADES = (1.0, 0.75, 0.55, 0.4)  # of a hue, for variants such as smile[tau=1]
_HUES = sns.color_palette("colorblind", 10)


def looks(names: Mapping[str, str]) -> dict[str, Look]:
    """Return the look of each estimator, given its name by its label; no two are the same.

    A name's hue is shared by its variants, which differ in shade and marker, and beyond those in dashes.
    """
    fixed = [hue for name, hue in BUILT_IN.items() if name in names.values()]
    free = [hue for hue in range(len(_HUES)) if hue not in fixed] or list(range(len(_HUES)))
    others = [name for name in dict.fromkeys(names.values()) if name not in BUILT_IN]
    hues = BUILT_IN | {name: free[place % len(free)] for place, name in enumerate(others)}
    taken: Counter[int] = Counter()
    found = {}
    # First the names themselves, so that each looks the same with and without its variants.
    for label in sorted(names, key=lambda label: label != names[label]):
        hue = hues[names[label]]
        is_variant = label != names[label]
        place = max(taken[hue], int(is_variant))
        taken[hue] = place + 1
        red, green, blue = _HUES[hue]
        shade = _SHADES[place % len(_SHADES)]
        dash = _DASHES[place // len(MARKERS) % len(_DASHES)]
        found[label] = Look((shade * red, shade * green, shade * blue), MARKERS[place % len(MARKERS)], dash)
    return {label: found[label] for label in names}


def estimator_names(cells: pd.DataFrame) -> dict[str, str]:
    """Return the registered name of each estimator by its label."""
    chosen = zip(cells["estimator"], cells["choices"], strict=True)
    return {label: choices["estimator"]["name"] for label, choices in chosen}


def looks_of_levels(levels: Sequence[float]) -> dict[float, Look]:
    """Give each level a colour and a marker: colours fall in lightness, so grey print keeps the order."""
    palette = sns.color_palette("viridis_r", len(levels) + 1)[1:]
    return {
        float(level): Look(colour, MARKERS[place % len(MARKERS)])
        for place, (level, colour) in enumerate(zip(levels, palette, strict=True))
    }


def margins(cells: pd.DataFrame) -> NDArray[np.float64]:
    """Return how far the 95% interval reaches below and above the mean, 0 where there is none."""
    sides = np.array([cells["mean"] - cells["mean_low"], cells["mean_high"] - cells["mean"]], dtype=float)
    return np.asarray(np.nan_to_num(sides))


def draw_line(
    axis: Axes,
    x: pd.Series[float],
    y: pd.Series[float],
    sides: pd.Series[float] | NDArray[np.float64],
    line: Mapping[str, Any],
    **more: float,
) -> ErrorbarContainer:
    """Draw values with bars that reach as far as `sides`, 0 where that is not known."""
    return axis.errorbar(x, y, np.nan_to_num(sides), **line, **ERROR_BARS | more)


def draw_truth(axis: Axes, cells: pd.DataFrame, x: str = "true_mi") -> None:
    """Draw the truth at each x: a line, or a band where it is an interval."""
    # It is the same at every n, or means over other seeds where some failed.
    ends = cells.groupby(x)[["true_mi_low", "true_mi_high"]].mean().dropna()
    low, high = ends["true_mi_low"], ends["true_mi_high"]
    if (low < high).any():
        axis.fill_between(ends.index, low, high, color=BAND_LINE["color"], linewidth=0, zorder=0)
    else:
        axis.plot(ends.index, low, **TRUTH_LINE, marker="_" if len(ends) == 1 else "", zorder=4)


def truth_entry(cells: pd.DataFrame) -> Line2D:
    """Return the entry of a legend for what `draw_truth` draws."""
    return entry("truth lies here", **BAND_LINE) if has_interval(cells) else entry("truth", **TRUTH_LINE)


def ceiling_name(cells: pd.DataFrame) -> str:
    """Return "log n" where that is every ceiling, else "ceiling"."""
    known = cells.dropna(subset="ceiling_nats")
    is_log_n = np.allclose(known["ceiling_nats"], np.log(known["n"].astype(float)))
    return "log n" if is_log_n else "ceiling"


def entry(label: str, **look: Any) -> Line2D:  # noqa: ANN401 - arguments of matplotlib
    """Return an entry of a legend."""
    return Line2D([], [], label=label, **look)


def entries_of(name: str, looking: Mapping[float, Look]) -> list[Artist]:
    """Return the entries of a legend for levels: `n = 16`."""
    return [entry(f"{name} = {level:.4g}", **look.line) for level, look in looking.items()]


def failures(cells: pd.DataFrame) -> str:
    """Say how many runs of some cells failed, and if some are of survivors; nothing where none failed."""
    failed, runs = int(cells["failed"].sum()), int(cells["runs"].sum())
    survivors = "of survivors, " if cells["of_survivors"].any() else ""
    return f"{survivors}failed: {failed} of {runs} runs" if failed else ""


def _padded(entries: list[Artist], per_row: int) -> list[Artist]:
    """Fill the last row of some entries with blanks."""
    return entries + [entry(" ", linestyle="none")] * (-len(entries) % per_row)


def _inches(shown: Artist) -> float:
    """Return about how wide a legend entry is: its line, the gaps, and its letters."""
    size = STYLE["legend.fontsize"] / 72
    gaps = LEGEND["handlelength"] + LEGEND["handletextpad"] + LEGEND["columnspacing"]
    return float(size * (gaps + LETTER_WIDTH * len(str(shown.get_label()))))


def _in_rows(first: list[Artist], second: list[Artist], width: float) -> tuple[list[Artist], int]:
    """Return legend entries in rows that are as wide as a figure at most, and how many a row has.

    Matplotlib fills a legend column by column, so rows are padded with blanks and transposed.
    """
    for per_row in range(max(len(first), len(second)), 0, -1):
        cells = _padded(first, per_row) + _padded(second, per_row)
        columns = [cells[column::per_row] for column in range(per_row)]
        if per_row == 1 or sum(max(map(_inches, column)) for column in columns) <= width:
            break
    return [cell for column in columns for cell in column], per_row
