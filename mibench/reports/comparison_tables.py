"""Tables of a comparison: its cells and its pairs, and for a paper the cells in LaTeX with siunitx."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mibench.analysis.cells import CELL, in_unit, is_elsewhere
from mibench.analysis.comparison import CANNOT_TELL, NEARER, Comparison
from mibench.analysis.significance import seeds_words
from mibench.reports.tables import (
    NOT_MEASURED,
    SATURATED,
    TITLES,
    TRUTH,
    Table,
    bias,
    caption,
    interval,
    level,
    rounded,
    setting,
    tex,
    truth_notes,
    with_error,
)

BEST = "*"


def cells_table(comparison: Comparison, unit: str = "nats") -> Table:
    """Return bias, standard deviation, RMSE, error split and cost of each estimator in each setting."""
    varying = [*_varying(comparison), "estimator"]
    titles = [TITLES[column] for column in varying]
    has_truth = bool(is_elsewhere(comparison.cells).any())
    titles += [TRUTH] * has_truth
    titles += [
        "Bias",
        "= bound gap",
        "+ critic gap",
        "Std",
        "RMSE",
        "Pairs scored",
        "s / 1000 steps",
        "Failed",
    ]
    cells = in_unit(comparison.cells, unit).to_dict("records")
    rows = [_cell_row(row, varying, unit, has_truth) for row in cells]
    return Table(titles, rows, caption(comparison.cells, varying), _notes(comparison, unit))


def pairs_table(comparison: Comparison, unit: str = "nats") -> Table:
    """Return the paired differences between estimators, with their p-values and what they tell."""
    varying = _varying(comparison)
    titles = [TITLES[column] for column in varying]
    titles += ["a", "b", "Seeds", "a - b", "RMSE a - b", "p", "p (Holm)", "Nearer the truth"]
    rows = [_pair_row(row, varying, unit) for row in in_unit(comparison.pairs, unit).to_dict("records")]
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
    return Table(titles, rows, caption(comparison.cells, ["estimator", *varying]), notes)


def latex(comparison: Comparison, unit: str = "nats") -> str:
    r"""Return the cells in LaTeX: needs \usepackage{booktabs} and \usepackage{siunitx}.

    Numbers are in siunitx's S columns with their standard errors in brackets, in units of the last digit. The
    best of each setting are bold: the smallest RMSE and those that are not significantly larger.
    """
    cells, varying = in_unit(comparison.cells, unit), [*_varying(comparison), "estimator"]
    numbers = [
        [
            _siunitx(value, error)
            for value, error in zip(cells[f"{name}_{unit}"], cells[f"{name}_se_{unit}"], strict=True)
        ]
        for name in _METRICS
    ]
    lines, before = [], None
    for row, *values in zip(cells.to_dict("records"), *numbers, strict=True):
        words = [tex(_shown(row, column, unit)) for column in varying]
        if before not in (None, words[:-1]):
            lines.append("\\midrule")
        before = words[:-1]
        bold = "\\bfseries " if row["best"] else ""
        lines.append(
            " & ".join([*words[:-1], bold + words[-1], *(bold + value for value in values)]) + " \\\\"
        )
    columns = "l" * len(varying) + "".join(f"S[table-format={_format(column)}]" for column in numbers)
    heads = [tex(TITLES[column]) for column in varying] + [f"{{{title}}}" for title in _METRICS.values()]
    notes = [f"{caption(comparison.cells, varying)}.", *_notes(comparison, unit, "Bold")]
    return (
        "% \\usepackage{booktabs} \\usepackage{siunitx} \\sisetup{detect-weight=true, mode=text}\n"
        f"\\begin{{table}}\n\\centering\n\\caption{{{' '.join(map(tex, notes))}}}\n"
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{' & '.join(heads)} \\\\\n\\midrule\n"
        + "\n".join(lines)
        + "\n\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


_METRICS = {"bias": "Bias", "std": "Std", "rmse": "RMSE"}


def _varying(comparison: Comparison) -> list[str]:
    """Return the settings, beside the estimator, that a table has to show."""
    cells = comparison.cells
    others = [column for column in CELL if column != "estimator"]
    return [c for c in others if c == "true_mi_nats" or cells[c].nunique(dropna=False) > 1]


def _shown(row: Mapping[Any, Any], column: str, unit: str) -> str:
    value = row[_in(column, unit)]
    return level(value) if column == "true_mi_nats" else setting(value)


def _in(column: str, unit: str) -> str:
    return column.replace("_nats", f"_{unit}")


def _cell_row(row: dict[Any, Any], varying: Sequence[str], unit: str, has_truth: bool) -> list[str]:
    def number(name: str, sign: bool = False) -> str:
        return with_error(row[f"{name}_{unit}"], row[f"{name}_se_{unit}"], sign)

    truth = interval(row[f"true_mi_low_{unit}"], row[f"true_mi_high_{unit}"])
    return [
        *(_shown(row, column, unit) for column in varying),
        *[truth] * has_truth,
        bias(row, unit),
        number("bound_gap", sign=True),
        number("critic_gap", sign=True),
        number("std"),
        number("rmse") + (f" {BEST}" if row["best"] else ""),
        NOT_MEASURED if math.isnan(row["score_evaluations"]) else f"{row['score_evaluations']:.2g}",
        rounded(row["seconds_per_1000_steps"]),
        f"{row['failed']} of {row['runs']}",
    ]


def _pair_row(row: dict[Any, Any], varying: Sequence[str], unit: str) -> list[str]:
    return [
        *(_shown(row, column, unit) for column in varying),
        row["a"],
        row["b"],
        str(row["seeds"]),
        with_error(row[f"difference_{unit}"], row[f"difference_se_{unit}"], sign=True),
        rounded(row[f"rmse_difference_{unit}"], sign=True),
        f"{row['p']:.2g}",
        f"{row['p_holm']:.2g}",
        row["winner"] if row["verdict"] == NEARER else row["verdict"],
    ]


def _notes(comparison: Comparison, unit: str, best: str = BEST) -> list[str]:
    cells = comparison.cells
    notes = [
        f"In {unit}. ± one standard error across seeds (of Std and RMSE by the jackknife); "
        "bias = bound gap (of the exact critic) + critic gap.",
        f"{best}: smallest RMSE of its setting, or not significantly larger (paired sign-flip test, Holm, "
        f"{comparison.alpha:g}).",
    ]
    notes += truth_notes(cells)
    if cells["saturated"].any():
        notes.append(f"{SATURATED} the true MI is above the ceiling: no critic can read it at this n.")
    return notes


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
