"""What a report says, before it is a page or a text.

In all texts `[3]` and `[1, 3]` stand for references by their number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mibench.reports.tables import Table


@dataclass(frozen=True)
class Reference:
    """A work that is cited.

    Attributes:
        number: its place in the list of references.
        text: authors, year, and arXiv number or place.
        bibtex: its entry, or empty where none is known.
    """

    number: int
    text: str
    bibtex: str = ""

    @property
    def arxiv(self) -> str:
        """The number at arXiv, or empty."""
        return arxiv_number(self.text)

    @property
    def url(self) -> str:
        """Where it can be read, or empty."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else ""

    @property
    def key(self) -> str:
        r"""What \cite takes, or empty."""
        found = re.match(r"\s*@\w+\{([^,\s]+)", self.bibtex)
        return found[1] if found else ""

    @property
    def title(self) -> str:
        """The title as its BibTeX entry has it, without braces; or empty."""
        found = re.search(r"\btitle\s*=\s*\{(.*)\},?\s*$", self.bibtex, re.MULTILINE)
        return re.sub(r"[{}]", "", found[1]) if found else ""

    @property
    def authors(self) -> str:
        """The text without the arXiv number."""
        return re.sub(r",? *arXiv:? *\S+", "", self.text)


def arxiv_number(text: str) -> str:
    """Return the first arXiv number in a text, or nothing."""
    found = re.search(r"arXiv[: ]\s*(\d{4}\.\d{4,5}|[a-z-]+/\d{7})", text)
    return found[1] if found else ""


@dataclass(frozen=True)
class Sheet:
    """A table with its heading; `quotable` ones are offered as LaTeX."""

    title: str
    table: Table
    quotable: bool = False


@dataclass(frozen=True)
class Drawing:
    """A figure as an SVG element, with its width at the size that papers print."""

    name: str
    caption: str
    svg: str
    inches: float


@dataclass(frozen=True)
class Report:
    """All that a report says.

    Attributes:
        lead: the grid in a sentence.
        notices: what a reader must know before the numbers.
        facts: (term, description) of what was run.
        background: failures, and who made the records where they differ.
        split_words: the error split, a sentence an estimator; `split` has its numbers.
        results: the cells; `estimators`: formulas and ceilings.
    """

    title: str
    lead: str
    notices: list[str]
    facts: list[tuple[str, str]]
    background: list[Sheet]
    split_words: list[str]
    split: list[Sheet]
    drawings: list[Drawing]
    results: list[Sheet]
    estimators: list[Sheet]
    methods: list[str]
    references: list[Reference]
    version: str


def with_references(
    text: str, references: Sequence[Reference], show: Callable[[list[Reference]], str]
) -> str:
    """Return a text with each `[3]` and `[1, 3]` replaced by what `show` makes of the references."""

    def replaced(found: re.Match[str]) -> str:
        numbers = [int(number) for number in found[1].split(", ")]
        if not all(1 <= number <= len(references) for number in numbers):
            return found[0]
        return show([references[number - 1] for number in numbers])

    return re.sub(r"\[(\d+(?:, \d+)*)\]", replaced, text)
