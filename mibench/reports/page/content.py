"""The content of a report, before it is a page or a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mibench.reports.page.citations import Reference
from mibench.reports.tables import Table

About = Mapping[tuple[str, str], Mapping[str, Any]]
"""By kind and registered name: the summary, formula, ceiling, bias, reference and bibtex of a class, and the
`methods` of a protocol."""


@dataclass(frozen=True)
class Sheet:
    """A table with its heading; `quotable` ones are offered as LaTeX."""

    title: str
    table: Table
    quotable: bool = False


@dataclass(frozen=True)
class Drawing:
    """A figure as the address of an image that holds it, with its size at which papers print it."""

    name: str
    caption: str
    address: str
    inches: tuple[float, float]


@dataclass(frozen=True)
class Report:
    """The content of a report.

    Attributes:
        lead: the grid in a sentence.
        notices: what a reader must know before the numbers.
        facts: (term, description) of what was run.
        background: failures, and who made the records where they differ.
        best: estimators of which no model does better than the exact density ratio.
        split_words: the parts of the error, a sentence per estimator; `split` has their numbers.
        results: the cells; `estimators`: formulas and ceilings.
        methods: paragraphs.
    """

    title: str
    lead: str
    notices: list[str]
    facts: list[tuple[str, str]]
    background: list[Sheet]
    best: list[str]
    split_words: list[str]
    split: list[Sheet]
    drawings: list[Drawing]
    results: list[Sheet]
    estimators: list[Sheet]
    methods: list[str]
    references: list[Reference]
    version: str
