"""Who is cited for what: references numbered as a text names them, with their BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from mibench import estimators
from mibench.errors import UsageError
from mibench.registry import Registry, parse
from mibench.reports.page.content import Reference, arxiv_number

ADAM = "Kingma, Ba 2015, arXiv 1412.6980"
ONE_CYCLE = "Smith, Topin 2017, arXiv 1708.07120"
OWN = "this package"
"""What a class says that has no paper behind it."""

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


class Citations:
    """The references of a text, each with the number under which it was first cited."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._bibtex = {arxiv_number(entry): entry for entry in _TRAINING_BIBTEX} | _own_bibtex()

    def cite(self, reference: str, bibtex: str = "") -> str:
        """Return the mark of a reference, or of several between semicolons: `" [1, 3]"`.

        An entry of `bibtex` goes to the reference that has its arXiv number, or else to the first that has
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


def found(registry: Registry[Any], label: str) -> type[Any] | None:
    """Return the class behind a record's label; None if its package is not installed here, or broken."""
    try:
        return registry.load(parse(label, registry.kind)[0])
    except (UsageError, ImportError, AttributeError):
        return None


@cache
def _own_bibtex() -> dict[str, str]:
    """Return the entries of all estimators of this package by arXiv number: tasks cite the same papers."""
    own = [entry.load() for entry in estimators.registry.entries.values() if entry.origin == "mibench"]
    entries: Iterable[str] = (kind.bibtex for kind in own)
    return {arxiv_number(entry): entry for entry in entries if arxiv_number(entry)}
