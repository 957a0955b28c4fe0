"""Figures as SVG that stands in a page beside others."""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from mibench.reports.figures.style import STYLE

# Paths, not text: a figure looks the same where its font is missing.
_SVG: Any = {"svg.fonttype": "path", "svg.hashsalt": "mibench"}

_LEFT_OUT = (r"<!--.*?-->", r"<metadata>.*?</metadata>", r"<defs>\s*<style.*?</style>\s*</defs>")
"""Comments, metadata, and the style sheet, which in a page would hold for the whole page."""


def svg(figure: Figure, name: str, label: str) -> str:
    """Return a figure as an SVG element: the same bytes for the same figure, and ids that begin with `name`.

    `label` is what is read out in place of the figure. The element has no size of its own but a viewBox; the
    page's style sheet is to set `stroke-linejoin: round; stroke-linecap: butt` for all that is in it.
    """
    file = io.StringIO()
    with mpl.rc_context({**STYLE, **_SVG}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :].replace("xlink:href", "href")
    for pattern in _LEFT_OUT:
        text = re.sub(pattern, "", text, flags=re.DOTALL)
    view = re.search(r'viewBox="[^"]*"', text)
    assert view is not None
    attributes = f'{view[0]} role="img" aria-label="{_quoted(label)}"'
    text = re.sub(r"<svg[^>]*>", lambda _: f"<svg {attributes}>", text, count=1)
    return re.sub(r"\s*\n\s*", "\n", _own_ids(text, name)).strip()


def _own_ids(text: str, name: str) -> str:
    """Put `name` before the ids that are referred to, and drop the others."""
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', text))
    text = re.sub(
        r' id="([^"]*)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", text
    )
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
