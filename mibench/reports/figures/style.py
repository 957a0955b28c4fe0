"""The look of all figures: sizes of a paper's column, one style, each estimator's own colour and marker."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

COLUMN_INCHES = 3.4
PAGE_INCHES = 7.0
PANEL_INCHES = 2.5
LEGEND_LINE_INCHES = 0.19
LETTER_WIDTH = 0.5  # of the font size
BOLD_WIDTH = 0.62  # of a bold letter, likewise
BAND_ALPHA = 0.16  # of what is shaded because the truth lies there
MARKERS = "osD^vPX*<>"

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
}

BAND_LINE: dict[str, Any] = {"color": "0.82", "linewidth": 6, "solid_capstyle": "butt"}
"""Where the truth lies, as a bar; and in legends whatever it is drawn as."""

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


FAMILIES = {
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
"""Each estimator's place in the palette; those of other packages have one by their name."""

_SHADES = (0.75, 0.55, 0.4)  # of the family's colour, for its variants

_COLOURS = sns.color_palette("colorblind", 10)


def looks(labels: Collection[str] | pd.Series[str]) -> dict[str, tuple[Colour, str]]:
    """Return the colour and marker of each estimator: the same in every figure, whatever else is drawn.

    The colour is the family's, darker for a variant such as `smile[tau=1]`. A variant's marker hangs on its
    options, and only where two variants in one figure meet does the later one give way.
    """
    found: dict[str, tuple[Colour, str]] = {}
    taken: set[tuple[str, int]] = set()
    for label in sorted(set(labels), key=lambda label: ("[" in label, label)):
        family, _, options = label.partition("[")
        at = _number(options) % (len(MARKERS) - 1) + 1 if options else 0
        for _ in MARKERS:
            if (family, at) in taken:
                at = at % (len(MARKERS) - 1) + 1
        taken.add((family, at))
        red, green, blue = _COLOURS[FAMILIES.get(family, _number(family) % len(_COLOURS))]
        shade = _SHADES[at % len(_SHADES)] if options else 1.0
        found[label] = ((shade * red, shade * green, shade * blue), MARKERS[at])
    return {label: found[label] for label in dict.fromkeys(labels)}


def _number(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def padded(entries: list[Line2D], per_row: int) -> list[Line2D]:
    """Fill the last row of some entries with blanks."""
    return entries + [Line2D([], [], linestyle="none", label=" ")] * (-len(entries) % per_row)


def entry_inches(entry: Line2D) -> float:
    """Return about how wide a legend entry is: its line, the gaps, and its letters."""
    size = STYLE["legend.fontsize"] / 72
    gaps = LEGEND["handlelength"] + LEGEND["handletextpad"] + LEGEND["columnspacing"]
    return float(size * (gaps + LETTER_WIDTH * len(str(entry.get_label()))))


def in_rows(first: list[Line2D], second: list[Line2D], width: float) -> tuple[list[Line2D], int]:
    """Return legend entries in rows that are as wide as a figure at most, and how many a row has.

    Matplotlib fills a legend column by column, so rows are padded with blanks and transposed.
    """
    for per_row in range(max(len(first), len(second)), 0, -1):
        cells = padded(first, per_row) + padded(second, per_row)
        columns = [cells[column::per_row] for column in range(per_row)]
        if per_row == 1 or sum(max(map(entry_inches, column)) for column in columns) <= width:
            break
    return [cell for column in columns for cell in column], per_row


def looks_of_levels(levels: Sequence[float]) -> dict[float, tuple[Colour, str]]:
    """Give each level a colour and a marker: colours fall in lightness, so grey print keeps the order."""
    palette = sns.color_palette("viridis_r", len(levels) + 1)[1:]
    return {
        float(level): (colour, MARKERS[place % len(MARKERS)])
        for place, (level, colour) in enumerate(zip(levels, palette, strict=True))
    }
