"""What a report says of records and cells themselves: facts, tables and figures."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mibench.analysis import representations as encoded
from mibench.analysis.cells import in_unit, is_elsewhere
from mibench.reports import representation_tables, tables
from mibench.reports.page.content import Drawing, Sheet
from mibench.reports.tables import Table
from mibench.reports.words import counted, listed, numbers, seeds
from mibench.store.record import NO_ENCODER

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
    "estimate_vs_probe": "Does a higher estimate mean a better probe? A point an encoder and n: the estimate "
    "with its 95% interval against the accuracy of a linear probe on the representation.",
}
_SWEEP = (
    "What follows from {}, all else the same. Black or shaded: the truth. Grey: the true MI of the task. "
    "Dotted: the ceiling at each n. Dash-dotted: the ceiling of the encoder's own estimate. The estimate has "
    "its 95% interval, everything else one standard error across seeds."
)
_BANDS = {
    "bias_vs_n": " Shaded: where the truth of the representation lies; the origin is its upper end. "
    "Dash-dotted: the ceiling of the encoder's own estimate.",
    "estimate_vs_true": " The bar at a level is where the truth of the representation lies.",
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
    names = [name for name in frame["encoder"].unique() if name != NO_ENCODER]
    who = listed(names) if len(names) < 5 else counted(len(names), "encoder")
    seen = f", seen through {who}," if names else ","
    return (
        f"{counted(len(frame), 'run')} in {counted(len(summary), 'cell')}: {known}{seen} score matrices of "
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
        ("Encoders", _encoders(frame)),
        (f"Truth of the representations [{unit}]", _truths(summary, unit)),
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


def _encoders(frame: pd.DataFrame) -> str:
    names = frame["encoder"].unique()
    return "" if list(names) == [NO_ENCODER] else listed(names)


def _truths(summary: pd.DataFrame, unit: str) -> str:
    """Return between which numbers the truths of all representations lie."""
    shown = in_unit(summary[is_elsewhere(summary)], unit)
    if shown.empty:
        return ""
    return tables.interval(shown[f"true_mi_low_{unit}"].min(), shown[f"true_mi_high_{unit}"].max())


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
    has_encoders = bool((failed["encoder"] != NO_ENCODER).any())
    by = ["estimator", *["encoder"] * has_encoders]
    runs = frame.groupby(by).size().to_dict()
    reason = failed["message"].map(lambda message: re.sub(r"\d[\d.e+-]*", "#", message)).rename("reason")
    rows = []
    for (*who, status, _), group in failed.groupby([*by, "status", reason], sort=False):
        messages = group["message"].unique()
        others = f" (and {len(messages) - 1} alike)" if len(messages) > 1 else ""
        levels = numbers(group[f"true_mi_{unit}"].dropna())
        rows.append(
            [
                *map(str, who),
                f"{len(group)} of {runs[who[0] if len(who) == 1 else tuple(who)]}",
                str(status),
                levels or tables.NOT_MEASURED,
                numbers(group["n"]),
                seeds(list(group["seed"])),
                messages[0] + others,
            ]
        )
    titles = [*by, "Runs", "Status", f"True MI [{unit}]", "n", "seeds", "Reason"]
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
            told.append(f"{label}: {_no_split(group)}.")
            continue
        bound = int((cells["bound_gap_nats"].abs() > cells["critic_gap_nats"].abs()).sum())
        told.append(
            f"{label}: the bound gap is the larger part in {bound} of {counted(len(cells), 'cell')}, the "
            f"critic gap in {len(cells) - bound}."
        )
    return told


def _no_split(cells: pd.DataFrame) -> str:
    if cells["bias_nats"].notna().any():
        return "the exact critic of no representation is known, so that the error has no split"
    return "no cell has both a finished run and a known truth"


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
    from mibench.reports.output import drawn  # seaborn takes two seconds to import
    from mibench.reports.svg import svg

    drawings = []
    for place, (settings, group) in enumerate(_by_task_and_protocol(summary), start=1):
        for name, figure in drawn(group, unit).items():
            caption = _caption(name, group)
            caption = f"{settings[0].upper()}{settings[1:]}. {caption}" if settings else caption
            width = float(figure.get_size_inches()[0])
            id_ = f"{name}-{place}"
            drawings.append(Drawing(id_, f"{caption} In {unit}.", svg(figure, id_, caption), width))
    return drawings


def _caption(name: str, cells: pd.DataFrame) -> str:
    if name not in _CAPTIONS and name.startswith("vs_"):
        return _SWEEP.format(name.removeprefix("vs_").replace("_", " "))
    has_band = (cells["true_mi_low_nats"] < cells["true_mi_high_nats"]).any()
    band = _BANDS.get(name, "") if has_band else ""
    return _CAPTIONS.get(name, f"{name.replace('_', ' ').capitalize()}.") + band


def representations(frame: pd.DataFrame, unit: str) -> list[Sheet]:
    """Return what encoders made of their tasks, and which of them failed."""
    cells = encoded.representations(frame)
    if cells.empty:
        return []
    return [Sheet("The representations", representation_tables.table(cells, unit), quotable=True)]


def results(summary: pd.DataFrame, unit: str) -> list[Sheet]:
    """Return the cells, a table a task and protocol."""
    title = "Estimates and their error"
    return [
        Sheet(f"{title}: {settings}" if settings else title, tables.table(group, unit), quotable=True)
        for settings, group in _by_task_and_protocol(summary)
    ]


def _by_task_and_protocol(summary: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the cells of each task and protocol, and in words which these are, where there are several.

    Tasks that differ in an option alone, such as the horizon of `cpc`, are one: the option is a curve.
    """
    keys = {"task": summary["task"].str.partition("[")[0], "protocol": summary["protocol"]}
    by = [name for name, values in keys.items() if values.nunique() > 1]
    grouped = summary.groupby([keys[name] for name in by], sort=False) if by else [((), summary)]
    groups: Iterable[tuple[Any, pd.DataFrame]] = grouped
    return [
        (", ".join(f"{column} {name}" for column, name in zip(by, names, strict=True)), group)
        for names, group in groups
    ]
