"""Tables of a summary: for the terminal, for a README and for a paper."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mibench.analysis.cells import CELL, in_unit, is_elsewhere
from mibench.store.record import NO_ENCODER

SATURATED = "†"
NOT_MEASURED = "–"
INSIDE = "0 (inside)"

TITLES = {column: column.replace("_", " ") for column in CELL} | {
    "true_mi_nats": "True MI",
    "lr": "learning rate",
}
TRUTH = "Truth"
_ALWAYS = ("n", "true_mi_nats")


@dataclass(frozen=True)
class Table:
    """A summary as it is shown: rounded, with errors beside values and marks for what must be said.

    Columns of the cell that do not vary stand in the caption, not in the table.
    """

    titles: list[str]
    rows: list[list[str]]
    caption: str
    notes: list[str]


def table(summary: pd.DataFrame, unit: str = "nats") -> Table:
    """Return a summary as a table in `nats` or `bits`."""
    varying = [column for column in CELL if column in _ALWAYS or summary[column].nunique(dropna=False) > 1]
    shown = in_unit(summary, unit)
    titles = [TITLES[column] for column in varying]
    titles += [TRUTH] * bool(is_elsewhere(summary).any())
    titles += ["Estimate", "Bias", *_SPLIT * _has_split(summary), "Ceiling"]
    titles += ["Failed"] * bool(summary["failed"].any())
    rows = [_row(row, varying, unit, titles) for row in shown.to_dict("records")]
    return Table(
        titles=titles,
        rows=rows,
        caption=caption(summary, varying),
        notes=_notes(summary, unit),
    )


_SPLIT = ("= bound gap", "+ critic gap")


def _has_split(summary: pd.DataFrame) -> bool:
    """Return whether some exact critic is known; where nothing finished, it could have been."""
    return bool(summary["oracle_nats"].notna().any() or summary["mean_nats"].isna().all())


def caption(summary: pd.DataFrame, varying: Sequence[str]) -> str:
    """Return in words the settings that all cells share."""
    first = summary.iloc[0]
    fixed = [column for column in CELL if column not in varying and pd.notna(first[column])]
    if first["encoder"] == NO_ENCODER and "encoder" in fixed:
        fixed.remove("encoder")  # as it was before there were any
    return ", ".join(f"{TITLES[column]} {setting(first[column])}" for column in fixed)


def _row(row: dict[Any, Any], varying: Sequence[str], unit: str, titles: list[str]) -> list[str]:
    def number(column: str) -> float:
        return float(row[f"{column}_{unit}"])

    names = (column.replace("_nats", f"_{unit}") for column in varying)
    cells = [level(row[name]) if name.startswith("true_mi") else setting(row[name]) for name in names]
    cells += [interval(number("true_mi_low"), number("true_mi_high"))] * (TRUTH in titles)
    cells += [rounded(number("mean")), bias(row, unit)]
    if _SPLIT[0] in titles:
        gaps = ((number(gap), number(f"{gap}_se")) for gap in ("bound_gap", "critic_gap"))
        cells += [with_error(gap, error, sign=True) for gap, error in gaps]
    cells.append(rounded(number("ceiling")) if not math.isnan(number("ceiling")) else "none")
    if "Failed" in titles:
        cells.append(f"{row['failed']} of {row['runs']}" if row["failed"] else "0")
    return cells


def interval(low: float, high: float) -> str:
    """Return an interval that holds a truth: a number where it is a point."""
    ends = list(dict.fromkeys((rounded(low), rounded(high))))
    return " to ".join(ends if low < high else ends[:1])


def bias(row: Mapping[Any, Any], unit: str) -> str:
    """Return the bias of a cell with its error, or that it is inside the interval, and if it is saturated."""
    low, high = float(row[f"true_mi_low_{unit}"]), float(row[f"true_mi_high_{unit}"])
    value, error = float(row[f"bias_{unit}"]), float(row[f"bias_se_{unit}"])
    mark = f" {SATURATED}" if row["saturated"] else ""
    is_inside = low < high and value == 0
    return (INSIDE if is_inside else with_error(value, error, sign=True)) + mark


def setting(value: object) -> str:
    """Return a setting as tables show it."""
    if isinstance(value, float):
        return NOT_MEASURED if math.isnan(value) else f"{value:.10g}"
    return str(value)


def level(value: float) -> str:
    """Return a true MI of a task as tables show it: no longer than it has to be."""
    return setting(round(value, 3))


def _notes(summary: pd.DataFrame, unit: str) -> list[str]:
    split = "; bias = bound gap (of the exact critic) + critic gap" * _has_split(summary)
    notes = [f"In {unit}. ± one standard error across seeds{split}."]
    if (summary["runs"] - summary["failed"] == 1).any():
        notes.append("Where a single run finished, ± is the error of its read-out alone.")
    notes += truth_notes(summary)
    if summary["saturated"].any():
        notes.append(f"{SATURATED} the true MI is above the ceiling: no critic can read it at this n.")
        notes += _ceilings_part(summary, unit)
    failed, runs = int(summary["failed"].sum()), int(summary["runs"].sum())
    if failed:
        notes.append(f"{failed} of {runs} runs failed and are in no mean.")
    return notes


def _ceilings_part(summary: pd.DataFrame, unit: str) -> list[str]:
    """Say how much of the bias the ceilings explain, where no exact critic says how much the bound does."""
    shown = in_unit(summary[summary["saturated"] & summary["oracle_nats"].isna()], unit)
    if shown.empty:
        return []
    part = shown[f"true_mi_low_{unit}"] - shown[f"ceiling_{unit}"]
    least, most = rounded(float(part.min())), rounded(float(part.max()))
    much = least if least == most else f"{least} to {most}"
    return [f"There at least {much} {unit} of the bias are the ceiling's: the truth's lower end less it."]


def truth_notes(summary: pd.DataFrame) -> list[str]:
    """Say what the truth and the bias are where critics saw representations, and where there is no split."""
    notes = []
    if is_elsewhere(summary).any():
        notes.append(
            f"{TRUTH}: of the representation, mean over seeds; True MI: of the task. Where it is an "
            "interval that holds the truth, the bias is the distance from its nearer end, 0 inside."
        )
    finished = summary["mean_nats"].notna()
    if (finished & summary["oracle_nats"].isna()).any():
        notes.append("Where there is no bound gap, the exact critic of the representation is not known.")
    return notes


def rounded(value: float, sign: bool = False) -> str:
    """Return a number with three decimals, or a dash for none."""
    if math.isnan(value):
        return NOT_MEASURED
    value = round(value, 3) + 0.0  # no -0.000
    size = f"{value:.4g}" if abs(value) >= 1000 else f"{value:.3f}"
    return f"+{size}" if sign and value >= 0 else size


def with_error(value: float, error: float, sign: bool = False) -> str:
    """Return a number with its standard error."""
    if math.isnan(value):
        return NOT_MEASURED
    return f"{rounded(value, sign)} ±{rounded(error)}"


def markdown(shown: Table) -> str:
    """Return the table in Markdown, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(shown.titles, *shown.rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [line(shown.titles), line(rule), *(line(row) for row in shown.rows)]
    notes = [note for note in (shown.caption, *shown.notes) if note]
    return "\n".join(lines) + "\n\n" + "\n\n".join(notes) + "\n"


def latex(shown: Table) -> str:
    r"""Return the table in LaTeX with booktabs' rules (needs \usepackage{booktabs})."""
    body = "\n".join(f"{' & '.join(map(tex, row))} \\\\" for row in shown.rows)
    notes = " ".join(tex(note) for note in (f"{shown.caption}." if shown.caption else "", *shown.notes))
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{notes.strip()}}}\n"
        f"\\begin{{tabular}}{{l{'r' * (len(shown.titles) - 1)}}}\n\\toprule\n"
        f"{' & '.join(map(tex, shown.titles))} \\\\\n\\midrule\n"
        f"{body}\n\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )


_TEX = str.maketrans(
    {
        "_": r"\_",
        "%": r"\%",
        "&": r"\&",
        "#": r"\#",
        "±": r"$\pm$",
        "†": r"$^\dagger$",
        "–": "--",
    }
)


def tex(text: str) -> str:
    """Return a text as LaTeX shows it."""
    if text[:1] in "+-" and text[1:2].isdigit():
        text = f"${text[0]}${text[1:]}"
    return text.translate(_TEX)
