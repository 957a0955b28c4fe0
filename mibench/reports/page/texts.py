"""A report as Markdown, for a README, and as LaTeX, for a paper."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mibench.reports import tables
from mibench.reports.latex import comment, escape
from mibench.reports.page.citations import Reference, bibtex, with_references
from mibench.reports.page.content import Report, Sheet
from mibench.reports.tables import Table


def markdown(report: Report) -> str:
    """Return a report as Markdown: what was run, the tables, the methods and the references."""
    parts = [f"# {_md(report.title)}", _md(report.lead)]
    parts += [f"> {_md(notice)}" for notice in report.notices]
    parts += ["## What was run", "\n".join(f"- **{_md(term)}:** {_md(text)}" for term, text in report.facts)]
    parts += map(_md_sheet, report.background)
    parts += ["## Where the error comes from", "\n".join(f"- {_md(words)}" for words in report.split_words)]
    parts += map(_md_sheet, report.split)
    parts += ["## Results", *map(_md_sheet, report.results)]
    parts += ["## Methods", *map(_md, report.methods)]
    parts += ["## References", "\n".join(map(_md_reference, report.references))]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def latex(report: Report) -> str:
    r"""Return a report's tables and methods as LaTeX to \input, and its BibTeX in comments."""
    quotable = [sheet for sheet in (*report.split, *report.results) if sheet.quotable]
    parts = [
        f"% {' '.join(report.title.split())}\n"
        f"% Made by mibench {report.version}. Needs \\usepackage{{booktabs}}.",
        *(f"% {' '.join(notice.split())}" for notice in report.notices),
        *(tables.latex(sheet.table).strip() for sheet in quotable),
        "\\paragraph{Methods.}",
        *(_tex_paragraph(paragraph, report.references) for paragraph in report.methods),
        "% The entries that \\cite needs, for your .bib file:\n%\n" + comment(bibtex(report.references)),
    ]
    return "\n\n".join(parts) + "\n"


def _md_sheet(sheet: Sheet) -> str:
    shown = sheet.table
    escaped = Table(
        titles=list(map(_md, shown.titles)),
        rows=[list(map(_md, row)) for row in shown.rows],
        caption=_md(shown.caption),
        notes=list(map(_md, shown.notes)),
    )
    return f"### {_md(sheet.title)}\n\n{tables.markdown(escaped)}"


def _md_reference(reference: Reference) -> str:
    title = f". *{_md(reference.title)}*" if reference.title else ""
    link = f". [arXiv {reference.arxiv}](https://arxiv.org/abs/{reference.arxiv})" if reference.arxiv else ""
    return f"{reference.number}. {_md(reference.authors)}{title}{link}."


def _md(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    text = re.sub(r"([\\`*_|<]|\](?=[(\[:]))", r"\\\1", text)
    return " ".join(text.split())


def _tex_paragraph(text: str, references: Sequence[Reference]) -> str:
    return with_references(escape(text), references, _cite).replace(" \\cite", "~\\cite")


def _cite(references: Sequence[Reference]) -> str:
    keys = ",".join(reference.key for reference in references if reference.key)
    others = "; ".join(escape(reference.text) for reference in references if not reference.key)
    return " ".join(filter(None, [keys and f"\\cite{{{keys}}}", others and f"({others})"]))
