"""A report as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from markupsafe import Markup, escape

from mibench.reports import tables
from mibench.reports.page.citations import Reference, bibtex, with_references
from mibench.reports.page.content import Report
from mibench.reports.page.templates import FOLDER, environment
from mibench.reports.tables import NOT_MEASURED, SATURATED, Table

MANY_COLUMNS = 11
"""Results with more are printed across."""

FEW_ROWS = 20
"""Tables with up to this many are printed on one page."""

SHORT = 24
"""Texts with up to this many characters are not broken into lines."""

PIXELS_PER_INCH = 125
"""Figures are made for print at 8 points; on a screen they are shown a third larger."""

_NUMBER = re.compile(
    r"(?P<value>(?P<number>[+-]?(?:\d[\d.]*(?:e[+-]?\d+)?|inf)))"
    rf"(?P<error> ±\S+)?(?P<rest> {SATURATED}| of \d+| \(inside\)(?: {SATURATED})?| to \d[\d.]*)?"
)
_LINK = '<a href="#reference-{0}">{0}</a>'
_MISSING = (NOT_MEASURED, "none", "")


@dataclass(frozen=True)
class Cell:
    """A table's cell: its text in three parts, and the number that it is sorted by, if it has one."""

    text: str
    error: str = ""
    rest: str = ""
    number: str = ""


def page(report: Report) -> str:
    """Return a report as an HTML page.

    Its policy lets the page's own script and style sheet run and nothing else.
    """
    made = environment(autoescape=True)
    made.filters |= {
        "cells": cells,
        "numeric": numeric,
        "latex": tables.latex,
        "cited": lambda text: _cited(text, report),
    }
    own = {name: f"\n{(FOLDER / f'report.{name}').read_text('utf-8')}" for name in ("css", "js")}
    return made.get_template("report.html.j2").render(
        report=report,
        bibtex=bibtex(report.references),
        across=any(len(shown.table.titles) > MANY_COLUMNS for shown in report.results),
        few_rows=FEW_ROWS,
        short=SHORT,
        pixels=PIXELS_PER_INCH,
        style=Markup(own["css"]),
        script=Markup(own["js"]),
        hashes={name: _hash(text) for name, text in own.items()},
    )


def _hash(text: str) -> str:
    """Return what a Content-Security-Policy calls a script or a style sheet."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def cells(row: list[str]) -> list[Cell]:
    """Return the cells of a table's row."""
    return list(map(_cell, row))


def _cell(text: str) -> Cell:
    found = _NUMBER.fullmatch(text)
    if found is None:
        return Cell(text)
    return Cell(found["value"], found["error"] or "", found["rest"] or "", found["number"])


def numeric(table: Table) -> list[bool]:
    """Return which columns of a table hold numbers, or nothing."""
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.titles)
    return [
        any(map(_NUMBER.fullmatch, column))
        and all(text in _MISSING or _NUMBER.fullmatch(text) for text in column)
        for column in columns
    ]


def _cited(text: str, report: Report) -> Markup:
    """Return a text whose numbers of references are links to them."""

    def links(references: list[Reference]) -> str:
        numbers = (reference.number for reference in references)
        return f"[{', '.join(map(_LINK.format, numbers))}]"

    return Markup(with_references(str(escape(text)), report.references, links))
