"""LaTeX that compiles: any text, a table of every kind, and a whole report."""

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from records import UNTRAINED
from stores import SCRIPT, by_horizon, by_temperature, collapsed, failure, grid, made_up, written

import mibench
from mibench.analysis import comparison, reproduction
from mibench.analysis.cells import summarise
from mibench.analysis.regression import Cell, compare
from mibench.analysis.representations import representations
from mibench.reports import (
    comparison_tables,
    estimates,
    latex,
    regression_reports,
    representation_tables,
    reproduction_tables,
    tables,
)
from mibench.store.record import to_frame

PREAMBLE = r"""\documentclass{article}
\usepackage{booktabs}\usepackage{siunitx}\sisetup{detect-weight=true, mode=text}
\begin{document}
"""

HOSTILE = [
    r"# $ % & _ { } ~ ^ \ < > |",
    "|z/|z| - z'/|z'||^2",
    r"\end{document}",
    "[x] begins a row",
    "* likewise",
    "^^M ^^@",
    SCRIPT,
    "a\nb\0c\N{SNOWMAN}\N{BLACK SPADE SUIT}é ß 名 ρ±†–−",
]

needs_latex = pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex on PATH")


def compiled(folder, *parts):
    (folder / "paper.tex").write_text("\n\n".join([PREAMBLE, *parts, r"\end{document}"]), "utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in (folder / "paper.log").read_text("utf-8", "replace")


def regression_table():
    verdicts = compare(
        [Cell("nwj", {"estimator": "nwj_1"}, [0, 1], [1.0, 2.0], [1.0, 2.1], {}, None, {}, {}, {})]
    )
    return regression_reports.table(verdicts, [])


def estimates_table():
    numbers = dict.fromkeys(
        ("estimate", "low", "high", "ceiling", "train", "validation", "shuffled"), 1.0
    ) | dict.fromkeys(("shuffled_low", "shuffled_high"), -0.1)
    row = {f"{name}_nats": value for name, value in numbers.items()}
    return estimates.table(
        pd.DataFrame([{"estimator": "a_b", **row, "failed": 0, "runs": 1, "trained": True, "bound": None}]),
        8,
        (6, 2, 2),
        "nats",
    )


def every_kind():
    """Return LaTeX of a table of every kind, and hostile texts in the ones that show texts of others."""
    records = [*by_temperature(seeds=2), *by_horizon(seeds=2), collapsed(message=HOSTILE[0]), *grid(seeds=2)]
    records += [made_up("ksg_3", ceiling_nats=None, bound="upper", **UNTRAINED)]
    frame = to_frame(records)
    compared = comparison.compare(to_frame(grid(seeds=3)))
    named = frame.assign(critic_name="one_two")
    published = pd.DataFrame(
        [{"estimator": "nwj", "critic": "one_two", "true_mi_nats": 2.0, "estimate_nats": 1.0}]
    ).assign(reading_error_nats=0.1)
    yield tables.latex(tables.table(summarise(frame)))
    yield tables.latex(representation_tables.table(representations(frame)))
    yield comparison_tables.latex(compared)
    for shown in (comparison_tables.cells_table(compared), comparison_tables.pairs_table(compared)):
        yield tables.latex(shown)
    yield tables.latex(reproduction_tables.table(reproduction.beside(named, published), HOSTILE))
    yield tables.latex(estimates_table())
    yield tables.latex(regression_table())
    yield tables.latex(tables.Table(["a", "b"], [[text, text] for text in HOSTILE], "cap_tion", HOSTILE))


@needs_latex
def test_a_table_of_every_kind_and_any_text_compile(tmp_path):
    compiled(tmp_path, *every_kind(), *map(latex.escape, HOSTILE))


@needs_latex
def test_a_report_of_representations_and_failures_compiles(tmp_path):
    odd = [failure(message=text, seed=seed) for seed, text in enumerate(HOSTILE)]
    records = [*by_temperature(seeds=2), *by_horizon(seeds=2), collapsed(), *grid(seeds=2), *odd]
    records += [made_up(f"own[{text}=1]", task=text, device=text) for text in HOSTILE]
    mibench.report(written(tmp_path / "store", records), out=tmp_path / "report.tex")
    compiled(tmp_path, r"\input{report}")


def test_every_special_character_is_escaped():
    assert latex.escape(r"# $ % & _ { } ~ ^ \ < > |") == (
        r"\# \$ \% \& \_ \{ \} \textasciitilde{} \textasciicircum{} \textbackslash{} $<$ $>$ $|$"
    )
    assert latex.escape("-0.317 ±0.083 † –") == r"$-$0.317 $\pm$0.083 $^\dagger$ --"
    assert latex.escape("2e-05, a-1") == "2e-05, a-1"
    assert latex.escape("é \N{SNOWMAN}") == "é [U+2603]"


@needs_latex
def test_published_tables_compile(tmp_path):
    published = sorted((Path(__file__).parents[1] / "results").glob("**/*.tex"))
    assert published
    compiled(tmp_path, *(path.read_text("utf-8") for path in published))
