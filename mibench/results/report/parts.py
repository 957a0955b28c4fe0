"""What a report says of records and cells themselves: facts, tables and figures."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mibench.results import tables
from mibench.results.report.content import Drawing, Sheet
from mibench.results.report.words import counted, listed, numbers, seeds
from mibench.results.statistics import in_unit
from mibench.results.tables import Table

_CAPTIONS = {
    "bias_vs_n": "Bias against n, a line a true MI. Solid: mean over seeds with its 95% interval. Dashed: "
    "the exact critic. Dotted: the ceiling's own bias, above which no estimate can lie.",
    "bias_vs_samples": "Bias against the size of the data set, a line a true MI. Solid: mean over seeds "
    "with its 95% interval. Dashed: the exact critic.",
    "estimate_vs_true": "Estimate against true MI, a line an n. Solid: mean over seeds with its 95% "
    "interval. Dashed: the exact critic. Dotted: the ceiling. Grey: estimate = truth.",
    "error_split": "The error split. Full colour: the bound gap, which no critic can undo at this n. Pale "
    "and hatched: the critic gap. Black: their sum, the bias, with one standard error.",
    "metrics_vs_true": "Bias, standard deviation and root mean square error against the true MI, a line an "
    "estimator. Bars are one standard error across seeds to either side.",
}


def title(frame: pd.DataFrame) -> str:
    """Return what the report is about."""
    names, where = frame["estimator"].unique(), frame["task"].unique()
    who = listed(names) if len(names) < 5 else counted(len(names), "mutual-information estimator")
    return f"Errors of {who} on {listed(where) if len(where) < 4 else counted(len(where), 'task')}"


def lead(frame: pd.DataFrame, summary: pd.DataFrame, unit: str) -> str:
    """Return the grid in a sentence."""
    truth = in_unit(summary, unit)[f"true_mi_{unit}"].dropna()
    known = f"true mutual information (MI) of {numbers(truth)} {unit}" if len(truth) else "unknown true MI"
    return (
        f"{counted(len(frame), 'run')} in {counted(len(summary), 'cell')}: {known}, score matrices of "
        f"n = {numbers(frame['n'])}."
    )


def facts(
    frame: pd.DataFrame, summary: pd.DataFrame, folders: Sequence[Path], unit: str
) -> list[tuple[str, str]]:
    """Return what was run, a setting a line."""
    dims = sorted(set(zip(frame["dim_x"], frame["dim_y"], strict=True)))
    square = numbers(x for x, _ in dims) if all(x == y for x, y in dims) else ""
    truth = in_unit(summary, unit)[f"true_mi_{unit}"]
    failed = int(summary["failed"].sum())
    runs = f"{len(frame):,} in {counted(len(summary), 'cell')}, {failed:,} failed"
    trainings = frame["training"].nunique()
    first, last = frame["finished_at"].min()[:10], frame["finished_at"].max()[:10]
    facts = [
        ("Estimators", listed(frame["estimator"].unique())),
        ("Tasks", listed(frame["task"].unique())),
        ("Coordinates of x and of y", square or listed(f"{x} x {y}" for x, y in dims)),
        (f"True MI [{unit}]", numbers(truth.dropna()) or "unknown"),
        ("n (size of the score matrix)", numbers(frame["n"])),
        ("Critics", listed(frame["critic"].unique())),
        ("Protocols", listed(frame["protocol"].unique())),
        ("Samples", numbers(frame["samples"].dropna())),
        ("Steps", numbers(frame["steps"])),
        ("Learning rate", listed(f"{rate:g}" for rate in sorted(frame["lr"].unique()))),
        ("Schedule", listed(frame["schedule"].unique())),
        ("Precision", listed(frame["precision"].unique())),
        ("Seeds", seeds(list(frame["seed"]))),
        ("Runs", runs),
        ("Critics trained", f"{trainings:,}"),
        ("mibench", listed(sorted(frame["version"].unique()))),
        ("Devices", listed(sorted(frame["device"].unique()))),
        ("Finished (UTC)", first if first == last else f"{first} to {last}"),
        ("Time of all runs", _duration(frame["wall_s"].sum())),
        ("Stores" if len(folders) > 1 else "Store", listed(folder.resolve().name for folder in folders)),
    ]
    return [(term, text) for term, text in facts if text]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def makers(frame: pd.DataFrame) -> list[Sheet]:
    """Return who made the records, where there are several."""
    groups = list(frame.groupby(["version", "device"]))
    rows = [
        [*map(str, maker), str(len(group)), group["finished_at"].min(), group["finished_at"].max()]
        for maker, group in groups
    ]
    titles = ["mibench", "device", "Runs", "First finished", "Last finished"]
    return [Sheet("Versions and devices", Table(titles, rows, "", []))] if len(rows) > 1 else []


def failures(frame: pd.DataFrame, unit: str) -> list[Sheet]:
    """Return the failures by estimator and reason; reasons that differ in a number are one."""
    failed = in_unit(frame[frame["status"] != "ok"], unit)
    if failed.empty:
        return []
    runs = frame.groupby("estimator").size()
    reason = failed["message"].map(lambda message: re.sub(r"\d[\d.e+-]*", "#", message))
    rows = []
    for (label, status, _), group in failed.groupby(["estimator", "status", reason], sort=False):
        messages = group["message"].unique()
        others = f" (and {len(messages) - 1} alike)" if len(messages) > 1 else ""
        levels = numbers(group[f"true_mi_{unit}"].dropna())
        rows.append(
            [
                str(label),
                f"{len(group)} of {runs[str(label)]}",
                str(status),
                levels or tables.NOT_MEASURED,
                numbers(group["n"]),
                seeds(list(group["seed"])),
                messages[0] + others,
            ]
        )
    titles = ["estimator", "Runs", "Status", f"True MI [{unit}]", "n", "seeds", "Reason"]
    return [Sheet("Failed runs", Table(titles, rows, "", []))]


def _shared_split(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the cells that have both gaps."""
    return summary.dropna(subset=["bound_gap_nats", "critic_gap_nats"])


def split_words(summary: pd.DataFrame) -> list[str]:
    """Say for each estimator which part of its error is the larger one."""
    told = []
    for label, group in summary.groupby("estimator", sort=False):
        cells = _shared_split(group)
        if cells.empty:
            told.append(f"{label}: no cell has both a finished run and a known truth.")
            continue
        bound = int((cells["bound_gap_nats"].abs() > cells["critic_gap_nats"].abs()).sum())
        told.append(
            f"{label}: the bound gap is the larger part in {bound} of {counted(len(cells), 'cell')}, the "
            f"critic gap in {len(cells) - bound}."
        )
    return told


def split(summary: pd.DataFrame, unit: str) -> list[Sheet]:
    """Return the size of each part of the error, an estimator (and a task and protocol) a row."""
    shown = in_unit(_shared_split(summary), unit)
    if shown.empty:
        return []
    by = ["estimator", *(column for column in ("task", "protocol") if shown[column].nunique() > 1)]
    rows = []
    for names, group in shown.groupby(by, sort=False):
        gaps = [group[f"{part}_{unit}"].abs() for part in ("bias", "bound_gap", "critic_gap")]
        error = group[f"bias_se_{unit}"].mean()
        rows.append(
            [
                *map(str, names),
                str(len(group)),
                *(f"{gap.mean():.3f}" for gap in gaps),
                tables.NOT_MEASURED if math.isnan(error) else f"{error:.3f}",
                f"{int((gaps[1] > gaps[2]).sum())} of {len(group)}",
            ]
        )
    titles = [*map(tables.TITLES.__getitem__, by), "Cells", "Bias", "Bound gap", "Critic gap"]
    titles += ["Standard error", "Bound gap larger"]
    note = (
        f"In {unit}. Means of absolute values over the cells; the standard error is that of a cell's bias, "
        "across its seeds. The last column counts the cells in which the bound gap is the larger one."
    )
    return [Sheet("The error split, by estimator", Table(titles, rows, "", [note]), quotable=True)]


def drawings(summary: pd.DataFrame, unit: str) -> list[Drawing]:
    """Return the figures of each task and protocol as SVG, with their captions."""
    from mibench.results.output import drawn  # seaborn takes two seconds to import
    from mibench.results.svg import svg

    drawings = []
    for place, (settings, group) in enumerate(_by_task_and_protocol(summary), start=1):
        for name, figure in drawn(group, unit).items():
            caption = _CAPTIONS.get(name, f"{name.replace('_', ' ').capitalize()}.")
            caption = f"{settings[0].upper()}{settings[1:]}. {caption}" if settings else caption
            width = float(figure.get_size_inches()[0])
            id_ = f"{name}-{place}"
            drawings.append(Drawing(id_, f"{caption} In {unit}.", svg(figure, id_, caption), width))
    return drawings


def results(summary: pd.DataFrame, unit: str) -> list[Sheet]:
    """Return the cells, a table a task and protocol."""
    title = "Estimates and their error"
    return [
        Sheet(f"{title}: {settings}" if settings else title, tables.table(group, unit), quotable=True)
        for settings, group in _by_task_and_protocol(summary)
    ]


def _by_task_and_protocol(summary: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the cells of each task and protocol, and in words which these are, where there are several."""
    by = [column for column in ("task", "protocol") if summary[column].nunique() > 1]
    groups: Iterable[tuple[Any, pd.DataFrame]] = summary.groupby(by, sort=False) if by else [((), summary)]
    return [
        (", ".join(f"{column} {name}" for column, name in zip(by, names, strict=True)), group)
        for names, group in groups
    ]
