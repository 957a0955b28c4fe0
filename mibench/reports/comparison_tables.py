"""Tables of a comparison: its cells and its pairs, and for a paper the cells in LaTeX with siunitx."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mibench.analysis.cells import CELL, has_own_truth, shown_in
from mibench.analysis.comparison import CANNOT_TELL, NEARER, Comparison
from mibench.analysis.significance import seeds_words
from mibench.reports import tables
from mibench.reports.latex import escape, tabular
from mibench.reports.tables import Table, measured, rounded, settings

BEST = "*"


def cells_table(comparison: Comparison, unit: str = "nats") -> Table:
    """Return bias, standard deviation, RMSE, error split and cost of each estimator in each setting."""
    varying = [*_varying(comparison), "estimator"]
    without = [] if has_own_truth(comparison.cells).any() else [tables.TRUTH]
    without += [] if tables.has_sampling(comparison.cells) else [tables.SAMPLING]
    rows = [_cell(row, varying) for row in shown_in(comparison.cells, unit).to_dict("records")]
    return tables.table_of(rows, without, tables.caption(comparison.cells, varying), _notes(comparison, unit))


def pairs_table(comparison: Comparison, unit: str = "nats") -> Table:
    """Return the paired differences between estimators, with their p-values and the outcome."""
    varying = _varying(comparison)
    rows = [_pair(row, varying) for row in shown_in(comparison.pairs, unit).to_dict("records")]
    notes = [
        f"In {unit}. a - b: mean difference of the estimates on the same data, ± its standard error.",
        "p: sign-flip permutation test of the squared errors, seed by seed; "
        f"Holm over all {len(rows)} differences.",
    ]
    if (comparison.pairs["verdict"] == CANNOT_TELL).any():
        notes.append(
            f"{CANNOT_TELL}: with the seeds that both finished, the test can never reject at "
            f"{comparison.alpha:g} over this table: {seeds_words(len(rows), comparison.alpha)}."
        )
    return tables.table_of(rows, [], tables.caption(comparison.cells, ["estimator", *varying]), notes)


def latex(comparison: Comparison, unit: str = "nats") -> str:
    r"""Return the cells in LaTeX: needs \usepackage{booktabs} and \usepackage{siunitx}.

    Numbers are in siunitx's S columns with their standard errors in brackets, in units of the last digit. The
    best of each setting are bold: the smallest RMSE and those that are not significantly larger.
    """
    varying = [*_varying(comparison), "estimator"]
    lines, before = [], None
    numbers: list[list[str]] = [[] for _ in _METRICS]
    for row in shown_in(comparison.cells, unit).to_dict("records"):
        *words, name = map(escape, settings(row, varying).values())
        if before not in (None, words):
            lines.append("\\midrule")
        before = words
        values = [_siunitx(row[metric], row[f"{metric}_se"]) for metric in _METRICS]
        for column, value in zip(numbers, values, strict=True):
            column.append(value)
        bold = "\\bfseries " if row["best"] else ""
        lines.append(" & ".join([*words, bold + name, *(bold + value for value in values)]))
    columns = "l" * len(varying) + "".join(f"S[table-format={_format(column)}]" for column in numbers)
    heads = [escape(tables.TITLES[column]) for column in varying] + [
        f"{{{title}}}" for title in _METRICS.values()
    ]
    notes = [f"{tables.caption(comparison.cells, varying)}.", *_notes(comparison, unit, "Bold")]
    packages = "% \\usepackage{booktabs} \\usepackage{siunitx} \\sisetup{detect-weight=true, mode=text}\n"
    return tabular(heads, lines, columns, notes, packages)


_METRICS = {"bias": "Bias", "std": "Std", "rmse": "RMSE"}


def _varying(comparison: Comparison) -> list[str]:
    """Return the settings, beside the estimator, that a table has to show."""
    others = [column for column in CELL if column != "estimator"]
    return [c for c in others if c == "true_mi_nats" or tables.is_varying(comparison.cells, c)]


def _cell(row: Mapping[Any, Any], varying: Sequence[str]) -> dict[str, str]:
    scored = row["score_evaluations"]
    return {
        **settings(row, varying),
        tables.TRUTH: tables.interval(row["true_mi_low"], row["true_mi_high"]),
        "Bias": tables.bias(row),
        tables.BOUND_GAP: measured(row, "bound_gap", sign=True),
        tables.CRITIC_GAP: measured(row, "critic_gap", sign=True),
        tables.SAMPLING: measured(row, "sampling", sign=True),
        "Std": measured(row, "std"),
        "RMSE": measured(row, "rmse") + (f" {BEST}" if row["best"] else ""),
        "Pairs scored": tables.NOT_MEASURED if math.isnan(scored) else f"{scored:.2g}",
        "s / 1000 steps": rounded(row["seconds_per_1000_steps"]),
        "Failed": f"{row['failed']} of {row['runs']}",
    }


def _pair(row: Mapping[Any, Any], varying: Sequence[str]) -> dict[str, str]:
    return {
        **settings(row, varying),
        "a": row["a"],
        "b": row["b"],
        "Seeds": str(row["seeds"]),
        "a - b": tables.with_error(row["difference"], row["difference_se"], sign=True),
        "RMSE a - b": rounded(row["rmse_difference"], sign=True),
        "p": f"{row['p']:.2g}",
        "p (Holm)": f"{row['p_holm']:.2g}",
        "Nearer the truth": row["winner"] if row["verdict"] == NEARER else row["verdict"],
    }


def _notes(comparison: Comparison, unit: str, best: str = BEST) -> list[str]:
    return [
        f"In {unit}. ± one standard error across seeds (of Std and RMSE by the jackknife); "
        f"{tables.SPLIT_NOTE}.",
        f"{best}: smallest RMSE of its setting, or not significantly larger (paired sign-flip test, Holm, "
        f"{comparison.alpha:g}).",
        *tables.cell_notes(comparison.cells),
    ]


def _siunitx(value: float, error: float) -> str:
    """Return a number with its error in units of the third decimal, 1.725(8), as siunitx reads it."""
    if math.isnan(value):
        return "{--}"
    shown = f"{round(value, 3) + 0.0:.3f}"
    return shown if math.isnan(error) else f"{shown}({round(1000 * error)})"


def _format(numbers: Sequence[str]) -> str:
    """Return siunitx's table-format for some numbers: digits before the point, after it, and of the error."""
    whole = max((len(number.partition(".")[0].lstrip("-")) for number in numbers), default=1)
    errors = max((len(number.partition("(")[2]) - 1 for number in numbers if "(" in number), default=1)
    sign = "-" if any(number.startswith("-") for number in numbers) else ""
    return f"{sign}{whole}.3({errors})"
