"""`mibench report`: what stores hold, as one page, as Markdown or as LaTeX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mibench.commands.console import say
from mibench.commands.options import Unit, command


@command()
def report(
    stores: Annotated[
        list[Path], typer.Argument(metavar="STORE", help="Folders of results that mibench run wrote.")
    ] = [Path("results")],  # noqa: B006 - Typer copies it
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The file to write; - is stdout. [default: report.html, .md or .tex]",
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="html, md or tex. [default: as --out ends, else html]"),
    ] = None,
    unit: Unit = "nats",
) -> None:
    """Write a report: what was run, figures, tables, the error split, methods with citations, BibTeX.

    The page is one file that needs no network. Several stores make one report; where they have results of the
    same run that disagree, nothing is written. Exit status: 0 fine, 2 bad usage.
    """
    from mibench.api import report as reporting

    if out == "-":
        typer.echo(reporting.report(*stores, format=format, unit=unit), nl=False)
        return
    path = Path(out or f"report.{format or 'html'}")
    reporting.report(*stores, out=path, format=format, unit=unit)
    say(f"Written to {path}")
