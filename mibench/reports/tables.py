"""Tables of a summary: for the terminal, for a README and for a paper."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mibench.analysis.cells import CELL, FIT, has_interval, has_own_truth, is_elsewhere, shown_in
from mibench.analysis.significance import half_width
from mibench.reports.latex import escape, tabular
from mibench.reports.words import INSIDE_NOTE, counted, listed
from mibench.store.record import NO_ENCODER

SATURATED = "†"
OF_SURVIVORS = "‡"
NOT_MEASURED = "–"
INSIDE = "0 (inside)"

TITLES = {column: column.replace("_", " ") for column in CELL} | {
    "true_mi_nats": "True MI",
    "lr": "learning rate",
}
TRUTH = "Truth"
SMALLEST_SHOWN_NATS = 0.0005  # what tables round to 0
BOUND_GAP, CRITIC_GAP, SAMPLING = "= at exact ratio", "+ model, training", "+ sampling"
TRAIN_GAP = "By train n"
SPLIT_NOTE = "bias = error at the exact density ratio + error of the model and its training"


@dataclass(frozen=True)
class Table:
    """A summary as it is shown: rounded, with errors beside values and marks that the notes explain.

    Columns of the cell that do not vary are in the caption, not in the table.
    """

    titles: list[str]
    rows: list[list[str]]
    caption: str
    notes: list[str]


def table_of(
    rows: Sequence[Mapping[str, str]], without: Collection[str], caption: str, notes: list[str]
) -> Table:
    """Return a table from rows that have a text for each title, but for the titles `without`."""
    titles = [title for title in (rows[0] if rows else ()) if title not in without]
    return Table(titles, [[row[title] for title in titles] for row in rows], caption, notes)


def table(summary: pd.DataFrame, unit: str = "nats") -> Table:
    """Return a summary as a table in `nats` or `bits`."""
    varying = [column for column in CELL if column in ("n", "true_mi_nats") or is_varying(summary, column)]
    # Where nothing finished, the density ratio could have been known.
    has_split = bool(summary["oracle_nats"].notna().any() or summary["mean_nats"].isna().all())
    without = [] if has_split else [BOUND_GAP, CRITIC_GAP]
    without += [] if has_sampling(summary) else [SAMPLING]
    without += [] if summary["train_gap_nats"].notna().any() else [TRAIN_GAP]
    without += [] if has_own_truth(summary).any() else [TRUTH]
    without += [] if summary["failed"].any() else ["Failed"]
    rows = [_row(row, varying) for row in shown_in(summary, unit).to_dict("records")]
    return table_of(rows, without, caption(summary, varying), _notes(summary, unit, has_split))


def has_sampling(summary: pd.DataFrame) -> bool:
    """Return whether what is read at the exact ratio is another than on the batches of some model."""
    return bool((summary["sampling_nats"].abs() >= SMALLEST_SHOWN_NATS).any())


def is_varying(cells: pd.DataFrame, column: str) -> bool:
    """Return whether a setting has several values: of how models are trained, among those that are."""
    among = cells[cells["critic"].notna()] if column in FIT[1:] else cells
    return bool(among[column].nunique(dropna=False) > 1)


def settings(row: Mapping[Any, Any], columns: Sequence[str]) -> dict[str, str]:
    """Return the settings of a cell as tables show them, by their titles."""
    return {
        TITLES[column]: level(row["true_mi"]) if column == "true_mi_nats" else setting(row[column])
        for column in columns
    }


def caption(summary: pd.DataFrame, varying: Sequence[str]) -> str:
    """Return in words the settings that all cells share."""
    fixed = [column for column in CELL if column not in varying and summary[column].notna().any()]
    values = {column: summary[column].dropna().iloc[0] for column in fixed}
    # "none" is the default encoder and is left out.
    shown = {column: value for column, value in values.items() if (column, value) != ("encoder", NO_ENCODER)}
    return ", ".join(f"{TITLES[column]} {setting(value)}" for column, value in shown.items())


def _row(row: Mapping[Any, Any], varying: Sequence[str]) -> dict[str, str]:
    ceiling = row["ceiling"]
    return {
        **settings(row, varying),
        TRUTH: interval(row["true_mi_low"], row["true_mi_high"]),
        "Estimate": rounded(row["mean"]),
        "Bias": bias(row),
        BOUND_GAP: measured(row, "bound_gap", sign=True),
        CRITIC_GAP: measured(row, "critic_gap", sign=True),
        SAMPLING: measured(row, "sampling", sign=True),
        TRAIN_GAP: measured(row, "train_gap", sign=True),
        "Ceiling": "none" if math.isnan(ceiling) else rounded(ceiling),
        "Failed": f"{row['failed']} of {row['runs']}" if row["failed"] else "0",
    }


def measured(row: Mapping[Any, Any], name: str, sign: bool = False) -> str:
    """Return what was measured of a cell with its standard error."""
    return with_error(row[name], row[f"{name}_se"], sign)


def interval(low: float, high: float) -> str:
    """Return an interval that holds a truth: a number where it is a point."""
    ends = list(dict.fromkeys((rounded(low), rounded(high))))
    return " to ".join(ends if low < high else ends[:1])


def bias(row: Mapping[Any, Any]) -> str:
    """Return the bias of a cell with its error, or that it is inside the interval, and the cell's marks."""
    is_inside = row["true_mi_low"] < row["true_mi_high"] and row["bias"] == 0
    marks = "".join(
        f" {mark}"
        for mark, is_marked in ((SATURATED, row["saturated"]), (OF_SURVIVORS, row["of_survivors"]))
        if is_marked
    )
    return (INSIDE if is_inside else measured(row, "bias", sign=True)) + marks


def setting(value: object) -> str:
    """Return a setting as tables show it; a dash where it has no meaning."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOT_MEASURED
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def level(value: float) -> str:
    """Return a true MI of a task as tables show it: no longer than it has to be."""
    return setting(round(value, 3))


def _notes(summary: pd.DataFrame, unit: str, has_split: bool) -> list[str]:
    sampling = " + sampling" if has_sampling(summary) else ""
    notes = [f"In {unit}. {plus_minus(summary)}{f'; {SPLIT_NOTE}{sampling}' if has_split else ''}."]
    if (summary["runs"] - summary["failed"] == 1).any():
        notes.append("Where a single run finished, ± is the error of its batches alone.")
    notes += cell_notes(summary)
    notes += _ceilings_part(summary, unit)
    failed, runs = int(summary["failed"].sum()), int(summary["runs"].sum())
    if failed:
        notes.append(f"{failed} of {runs} runs failed and are excluded from the means.")
    return notes


def plus_minus(summary: pd.DataFrame) -> str:
    """Say what stands behind ±, and by how much it has to be multiplied for a 95% interval."""
    finished = summary["runs"] - summary["failed"]
    several = finished[finished > 1]
    if several.empty:
        return "± one standard error across seeds"
    ends = sorted({int(several.min()), int(several.max())})
    factors = " to ".join(f"{half_width(math.sqrt(count), count):.2f}" for count in ends)
    return f"± one standard error across {' to '.join(map(str, ends))} seeds, times {factors} for 95%"


def _ceilings_part(summary: pd.DataFrame, unit: str) -> list[str]:
    """Say how much of the bias is explained by ceilings, where the exact ratio is not known."""
    shown = shown_in(summary[summary["saturated"] & summary["oracle_nats"].isna()], unit)
    if shown.empty:
        return []
    part = shown["true_mi_low"] - shown["ceiling"]
    much = " to ".join(dict.fromkeys((rounded(float(part.min())), rounded(float(part.max())))))
    return [f"In saturated cells the ceiling accounts for at least {much} {unit} of the bias."]


def cell_notes(summary: pd.DataFrame) -> list[str]:
    """Explain the truth, the split of the error, the direction of bounds and the marks of some cells."""
    notes = []
    if has_own_truth(summary).any():
        encoded = is_elsewhere(summary).any()
        words = "of the representation, mean over seeds" if encoded else "as far as it is known"
        notes.append(
            f"{TRUTH}: {words}; True MI: {'of the task' if encoded else 'its middle'}. Where it is an "
            "interval that holds the truth, the bias is the distance from its nearer end, 0 inside."
        )
    if has_interval(summary):
        notes.append(INSIDE_NOTE)
    split = summary["oracle_nats"].notna()
    trained = summary["critic"].notna()
    if (summary["mean_nats"].notna() & ~split & trained).any():
        notes.append("Where the bias is not split, the exact density ratio was not known.")
    untrained = summary[~trained]["estimator"].unique()
    if len(untrained):
        notes.append(f"Nothing is trained, so the bias has no parts: {listed(untrained)}.")
    best = summary[split & (summary["oracle_is_best"] == True)]["estimator"].unique()  # noqa: E712
    if len(best):
        notes.append(f"No model does better, in expectation, than the exact ratio: {listed(best)}.")
    upper = summary[summary["bound"] == "upper"]["estimator"].unique()
    if len(upper):
        notes.append(f"Upper bound, if q is exact: {listed(upper)}.")
    if has_sampling(summary):
        notes.append(
            "Sampling: at the exact ratio, the value on the batches that were read less its expectation. On "
            "Gaussians the variance of NWJ, JS and TUBA there is about (exp(2 I) - 1) / pairs: at large I "
            "most batches read too much, and a few far too little."
        )
    if summary["train_gap_nats"].notna().any():
        notes.append(
            f"{TRAIN_GAP}: what comes from training at train n, the estimate less that of the model that was "
            "trained at n itself, seed by seed."
        )
    notes += _groups_of_seeds(summary)
    if summary["of_survivors"].any():
        notes.append(f"{OF_SURVIVORS} of survivors: more than a tenth of the cell's runs failed.")
    if summary["saturated"].any():
        notes.append(f"{SATURATED} the true MI is above the ceiling: no model can reach it at this n.")
    return notes


def _groups_of_seeds(summary: pd.DataFrame) -> list[str]:
    """Say of which estimators the seeds fall into two groups, and how far apart these are at most."""
    divided = summary.dropna(subset="groups_apart_nats")
    words = []
    for name, cells in divided.groupby("estimator", sort=False):
        most = rounded(cells["groups_apart_nats"].max())
        words.append(f"{name} in {counted(len(cells), 'cell')} (up to {most} nats apart)")
    return [f"Seeds fall into two groups, so mean and ± describe neither: {listed(words)}."] if words else []


def rounded(value: float, sign: bool = False) -> str:
    """Return a number with three decimals, or a dash for none."""
    if math.isnan(value):
        return NOT_MEASURED
    value = round(value, 3) + 0.0  # no -0.000
    size = f"{value:.4g}" if abs(value) >= 1000 else f"{value:.3f}"
    return f"+{size}" if sign and value >= 0 else size


def with_error(value: float, error: float, sign: bool = False) -> str:
    """Return a number with its standard error."""
    return NOT_MEASURED if math.isnan(value) else f"{rounded(value, sign)} ±{rounded(error)}"


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
    lines = [" & ".join(map(escape, row)) for row in shown.rows]
    columns = "l" + "r" * (len(shown.titles) - 1)
    fixed = f"{shown.caption}." if shown.caption else ""
    return tabular(list(map(escape, shown.titles)), lines, columns, [fixed, *shown.notes])
