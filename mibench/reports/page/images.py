"""Figures as images that a page holds in an address: nothing in them can reach the page."""

from __future__ import annotations

import base64
import io
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from mibench.reports.figures.style import STYLE

# Paths, not text: a figure looks the same where its font is missing.
_SVG: Any = {"svg.fonttype": "path", "svg.hashsalt": "mibench"}


def address(figure: Figure) -> str:
    """Return a figure as a data: address of an SVG: the same for the same figure."""
    file = io.BytesIO()
    with mpl.rc_context({**STYLE, **_SVG}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"
