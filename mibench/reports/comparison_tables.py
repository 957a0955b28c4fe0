"""Tables of a comparison: its cells and its pairs, and for a paper the cells in LaTeX with siunitx."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mibench.analysis.cells import CELL, has_interval, has_own_truth, is_elsewhere, shown_in
from mibench.analysis.comparison import Comparison
from mibench.analysis.nearer import CANNOT_TELL, NEARER, OF_SURVIVORS, ONE_SEED, RMSE_DISAGREES, TOO_FEW
from mibench.reports import tables
from mibench.reports.latex import escape, tabular
from mibench.reports.tables import Table, measured, rounded, settings
from mibench.reports.words import INSIDE_NOTE, RMSE_NOTE

BEST = "*"


def cells_table(comparison: Comparison, unit: str = "nats") -> Table:
    """Return bias, standard deviation, RMSE, error split and cost of each estimator in each setting."""
    varying = [*_varying(comparison), "estimator"]
    without = [] if has_own_truth(comparison.cells).any() else [tables.TRUTH]
    without += [] if tables.has_sampling(comparison.cells) else [tables.SAMPLING]
    rows = [_cell(row, varying) for row in shown_in(comparison.cells, unit).to_dict("records")]
    return tables.table_of(rows, without, tables.caption(comparison.cells, varying), _notes(comparison, unit))


def pairs_table(comparison: Comparison, unit: str = "nats") -> Table:
    """Return the pairs of estimators: their differences, which is nearer the truth, and the p-values."""
    varying = _varying(comparison)
    rows = [_pair(row, varying) for row in shown_in(comparison.pairs, unit).to_dict("records")]
    notes = [
        f"In {unit}. a - b: mean difference of the estimates on the same data, ± its standard error. 95%: "
        "Student interval of RMSE a - b by the jackknife over seeds, for each pair alone; too narrow for "
        "errors with heavy tails.",
        "a nearer, b nearer: on how many seeds each is nearer the truth, ties left out. p: exact sign test. "
        "Null hypothesis: on a new seed, each of the two is as likely to be the nearer one. Assumption: "
        "seeds are independent.",
        f"Holm over both directions of all {len(rows)} pairs: the probability of any false verdict is at "
        f"most {comparison.alpha:g}.",
        *_reasons(comparison),
    ]
    if has_interval(comparison.cells):
        notes.append(f"{RMSE_NOTE} {INSIDE_NOTE}")
    return tables.table_of(rows, [], tables.caption(comparison.cells, ["estimator", *varying]), notes)


def _reasons(comparison: Comparison) -> list[str]:
    """Explain each reason for which a verdict of the table cannot be told."""
    meanings = {
        TOO_FEW: f"the test can only reject with {comparison.seeds_needed} seeds or more that are not ties.",
        OF_SURVIVORS: "more than a tenth of the runs of one of the two failed.",
        RMSE_DISAGREES: "the one that is nearer on most seeds has the larger RMSE.",
        ONE_SEED: "without one of the seeds, the RMSEs are in the other order.",
    }
    found = set(comparison.pairs["reason"])
    return [f"{CANNOT_TELL}, {why}: {meaning}" for why, meaning in meanings.items() if why in found]


def latex(comparison: Comparison, unit: str = "nats") -> str:
    r"""Return the cells in LaTeX: needs \usepackage{booktabs} and \usepackage{siunitx}.

    Numbers are in siunitx's S columns with their standard errors in brackets, in units of the last digit. The
    best of each setting are bold: those than which none was found nearer the truth.
    """
    varying = [*_varying(comparison), "estimator"]
    shows_truth = bool(is_elsewhere(comparison.cells).any())
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
        truth = [tables.interval(row["true_mi_low"], row["true_mi_high"])] * shows_truth
        lines.append(
            " & ".join([*words, bold + name, *map(escape, truth), *(bold + value for value in values)])
        )
    titles = [tables.TITLES[column] for column in varying] + [tables.TRUTH] * shows_truth
    columns = "l" * len(titles) + "".join(f"S[table-format={_format(column)}]" for column in numbers)
    heads = [*map(escape, titles), *(f"{{{title}}}" for title in _METRICS.values())]
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
        "a nearer": str(row["nearer_a"]),
        "b nearer": str(row["nearer_b"]),
        "a - b": tables.with_error(row["difference"], row["difference_se"], sign=True),
        "RMSE a - b": rounded(row["rmse_difference"], sign=True),
        "95%": _ends(row["rmse_difference_low"], row["rmse_difference_high"]),
        "p": f"{row['p']:.2g}",
        "p (Holm)": f"{row['p_holm']:.2g}",
        "Nearer on most seeds": _outcome(row),
    }


def _ends(low: float, high: float) -> str:
    """Return the ends of an interval of differences, or a dash for none."""
    ends = (rounded(low, sign=True), rounded(high, sign=True))
    return tables.NOT_MEASURED if math.isnan(low) else " to ".join(ends)


def _outcome(row: Mapping[Any, Any]) -> str:
    """Return the winner of a pair, or that there is none and why it cannot be told."""
    return (
        row["winner"]
        if row["verdict"] == NEARER
        else ", ".join(filter(None, (row["verdict"], row["reason"])))
    )


def _notes(comparison: Comparison, unit: str, best: str = BEST) -> list[str]:
    return [
        f"In {unit}. ± one standard error across seeds (of Std and RMSE by the jackknife); "
        f"{tables.SPLIT_NOTE}.",
        f"{best}: no other of its setting was found nearer the truth on most seeds (exact sign test, Holm, "
        f"{comparison.alpha:g}; seeds are independent), and at most a tenth of its runs failed.",
        *tables.cell_notes(comparison.cells),
        *([RMSE_NOTE] if has_interval(comparison.cells) else []),
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
