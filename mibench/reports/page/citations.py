"""Who is cited for what: references numbered as a text names them, with their BibTeX.

In all texts `[3]` and `[1, 3]` stand for references by their number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

ADAM = "Kingma, Ba 2015, arXiv 1412.6980"
ONE_CYCLE = "Smith, Topin 2017, arXiv 1708.07120"
BARBER_AGAKOV = "Barber, Agakov 2003, NeurIPS"
OWN = "this package"
"""The reference of a class that has no paper behind it."""

_TRAINING_BIBTEX = (
    """@inproceedings{kingma2015adam,
  title     = {Adam: A Method for Stochastic Optimization},
  author    = {Kingma, Diederik P. and Ba, Jimmy},
  booktitle = {International Conference on Learning Representations},
  year      = {2015},
  note      = {arXiv:1412.6980}
}""",
    """@article{smith2017super,
  title   = {Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates},
  author  = {Smith, Leslie N. and Topin, Nicholay},
  journal = {arXiv preprint arXiv:1708.07120},
  year    = {2017}
}""",
)


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
    def key(self) -> str:
        r"""The argument of \cite, or empty."""
        found = re.match(r"\s*@\w+\{([\w:.+/-]+)\s*,", self.bibtex)
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


class Citations:
    """The references of a text, each with the number under which it was first cited.

    Args:
        bibtex: entries that are known beforehand: those with an arXiv number serve whoever cites it.
    """

    def __init__(self, bibtex: Iterable[str] = ()) -> None:
        self._texts: dict[str, str] = {}
        self._bibtex = {arxiv_number(entry): entry for entry in (*_TRAINING_BIBTEX, *bibtex)}
        self._bibtex.pop("", None)

    def cite(self, reference: str, bibtex: str = "") -> str:
        """Return the mark of a reference, or of several between semicolons: `" [1, 3]"`.

        An entry of `bibtex` belongs to the reference that has its arXiv number, or else to the first that has
        none. Nothing is returned where there is no paper.
        """
        texts = [text.strip() for text in reference.split(";")]
        texts = [text for text in texts if text and text != OWN]
        for entry in filter(None, re.split(r"\n(?=@)", bibtex.strip())):
            without = [text for text in texts if not arxiv_number(text)]
            self._bibtex.setdefault(arxiv_number(entry) or "".join(without[:1]), entry.strip())
        numbers = sorted({self._number(text) for text in texts})
        return f" [{', '.join(map(str, numbers))}]" if numbers else ""

    def _number(self, text: str) -> int:
        name = arxiv_number(text) or text
        self._texts.setdefault(name, text)
        return list(self._texts).index(name) + 1

    @property
    def references(self) -> list[Reference]:
        """The references in the order of their numbers."""
        return [
            Reference(number, text, self._bibtex.get(name, ""))
            for number, (name, text) in enumerate(self._texts.items(), start=1)
        ]


def bibtex(references: Sequence[Reference]) -> str:
    """Return the BibTeX entries of the references that have one."""
    return "\n\n".join(reference.bibtex for reference in references if reference.bibtex)


def with_references(
    text: str, references: Sequence[Reference], show: Callable[[list[Reference]], str]
) -> str:
    """Return a text with each `[3]` and `[1, 3]` replaced by what `show` makes of the references."""

    def replaced(found: re.Match[str]) -> str:
        numbers = [int(number) for number in found[1].split(", ")]
        if not all(1 <= number <= len(references) for number in numbers):
            return found[0]
        return show([references[number - 1] for number in numbers])

    return re.sub(r"\[(\d{1,4}(?:, \d{1,4})*)\]", replaced, text)
