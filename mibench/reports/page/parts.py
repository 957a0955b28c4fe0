"""The parts of a report that come from records and cells themselves: facts, tables and figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mibench.analysis import representations as encoded
from mibench.analysis.cells import is_elsewhere, shown_in
from mibench.reports import representation_tables, tables
from mibench.reports.page.citations import Citations
from mibench.reports.page.content import About, Drawing, Sheet
from mibench.reports.tables import Table
from mibench.reports.words import counted, listed, numbers, seeds
from mibench.store.record import NO_ENCODER


def title(frame: pd.DataFrame) -> str:
    """Return what the report is about."""
    names, where = frame["estimator"].unique(), frame["task"].unique()
    who = listed(names) if len(names) < 5 else counted(len(names), "mutual-information estimator")
    return f"Errors of {who} on {listed(where) if len(where) < 4 else counted(len(where), 'task')}"


def lead(frame: pd.DataFrame, summary: pd.DataFrame, unit: str) -> str:
    """Return the grid in a sentence."""
    truth = shown_in(summary, unit)["true_mi"].dropna()
    known = f"true mutual information (MI) of {numbers(truth)} {unit}" if len(truth) else "unknown true MI"
    names = [name for name in frame["encoder"].unique() if name != NO_ENCODER]
    who = listed(names) if len(names) < 5 else counted(len(names), "encoder")
    seen = f", seen through {who}," if names else ","
    return (
        f"{counted(len(frame), 'run')} in {counted(len(summary), 'cell')}: {known}{seen} batches of "
        f"n = {numbers(frame['n'])}."
    )


def facts(
    frame: pd.DataFrame, summary: pd.DataFrame, folders: Sequence[Path], unit: str
) -> list[tuple[str, str]]:
    """Return what was run, one setting per line."""
    dims = sorted(set(zip(frame["dim_x"], frame["dim_y"], strict=True)))
    square = numbers(x for x, _ in dims) if all(x == y for x, y in dims) else ""
    truth = shown_in(summary, unit)["true_mi"]
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
        ("n (rows in a batch)", numbers(frame["n"])),
        ("n of training, where it is another", numbers(frame["train_n"].dropna())),
        ("Anchors, where they were set", numbers(frame["anchors"].dropna())),
        ("Critics", listed(frame["critic"].dropna().unique())),
        ("Protocols", listed(frame["protocol"].unique())),
        ("Samples", numbers(frame["samples"].dropna())),
        ("Steps", numbers(frame["steps"].dropna())),
        ("Learning rate", listed(f"{rate:g}" for rate in sorted(frame["lr"].dropna().unique()))),
        ("Schedule", listed(frame["schedule"].dropna().unique())),
        ("Precision", listed(frame["precision"].dropna().unique())),
        ("Seeds", seeds(list(frame["seed"]))),
        ("Runs", runs),
        ("Models trained", f"{trainings:,}" if trainings else ""),
        ("mibench", listed(sorted(frame["version"].unique()))),
        ("Devices", listed(sorted(frame["device"].unique()))),
        ("Finished (UTC)", first if first == last else f"{first} to {last}"),
        ("Time of all runs", _duration(frame["wall_s"].sum())),
        ("Stores" if len(folders) > 1 else "Store", listed(map(_name, folders))),
    ]
    return [(term, text) for term, text in facts if text]


def _name(folder: Path) -> str:
    """Return the name of a folder as text; it may be bytes that are none."""
    return folder.resolve().name.encode("utf-8", "replace").decode()


def _encoders(frame: pd.DataFrame) -> str:
    names = frame["encoder"].unique()
    return "" if list(names) == [NO_ENCODER] else listed(names)


def _truths(summary: pd.DataFrame, unit: str) -> str:
    """Return between which numbers the truths of all representations lie."""
    shown = shown_in(summary[is_elsewhere(summary)], unit)
    if shown.empty:
        return ""
    return tables.interval(shown["true_mi_low"].min(), shown["true_mi_high"].max())


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
    failed = shown_in(frame[frame["status"] != "ok"], unit)
    if failed.empty:
        return []
    has_encoders = bool((failed["encoder"] != NO_ENCODER).any())
    by = ["estimator", "encoder"] if has_encoders else ["estimator"]
    runs = frame.groupby(by).size().to_dict()
    reason = failed["message"].map(lambda message: re.sub(r"\d[\d.e+-]*", "#", message)).rename("reason")
    rows = []
    for (*who, status, _), group in failed.groupby([*by, "status", reason], sort=False):
        messages = group["message"].unique()
        others = f" (and {len(messages) - 1} alike)" if len(messages) > 1 else ""
        levels = numbers(group["true_mi"].dropna())
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


def best(summary: pd.DataFrame) -> list[str]:
    """Return the estimators of which no model does better, in expectation, than the exact ratio."""
    return [
        str(label)
        for label, cells in _with_split(summary).groupby("estimator", sort=False)
        if (cells["oracle_is_best"] == True).all()  # noqa: E712
    ]


def _with_split(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the cells whose error is known in both parts."""
    return summary.dropna(subset=["bound_gap_nats", "critic_gap_nats"])


def split_words(summary: pd.DataFrame) -> list[str]:
    """Say for each estimator which part of its error is the larger one."""
    sentences = []
    for label, group in summary.groupby("estimator", sort=False):
        cells = _with_split(group)
        larger = int((cells["bound_gap_nats"].abs() > cells["critic_gap_nats"].abs()).sum())
        if len(cells):
            words = (
                f"the error at the exact density ratio is the larger part in {larger} of "
                f"{counted(len(cells), 'cell')}, that of the model and its training in {len(cells) - larger}"
            )
        elif group["bias_nats"].notna().any():
            words = "the exact density ratio was not known, so that the error is not split"
        else:
            words = "no cell has both a finished run and a known truth"
        sentences.append(f"{label}: {words}.")
    return sentences


def split(summary: pd.DataFrame, unit: str) -> list[Sheet]:
    """Return the size of each part of the error, one row per estimator (and task and protocol)."""
    shown = shown_in(_with_split(summary), unit)
    if shown.empty:
        return []
    by = ["estimator", *(column for column in ("task", "protocol") if tables.is_varying(shown, column))]
    rows = []
    for names, group in shown.groupby(by, sort=False):
        bias, bound, critic = (group[part].abs() for part in ("bias", "bound_gap", "critic_gap"))
        rows.append(
            {
                **{tables.TITLES[column]: str(name) for column, name in zip(by, names, strict=True)},
                "Cells": str(len(group)),
                "Bias": f"{bias.mean():.3f}",
                "At exact ratio": f"{bound.mean():.3f}",
                "Model, training": f"{critic.mean():.3f}",
                "Standard error": tables.rounded(group["bias_se"].mean()),
                "Exact ratio's larger": f"{int((bound > critic).sum())} of {len(group)}",
            }
        )
    note = (
        f"In {unit}. Means of absolute values over the cells; the standard error is that of a cell's bias, "
        "across its seeds. The last column counts the cells in which the error at the exact density ratio is "
        "the larger part."
    )
    shown_table = tables.table_of(rows, [], "", [note])
    return [Sheet("The parts of the error, by estimator", shown_table, quotable=True)]


def drawings(summary: pd.DataFrame, unit: str) -> list[Drawing]:
    """Return the figures of each task and protocol as images, with their captions."""
    from mibench.reports.figures import figures_of  # seaborn takes two seconds to import
    from mibench.reports.figures.style import address

    drawings = []
    for place, (settings, group) in enumerate(_by_task_and_protocol(summary), start=1):
        where = f"{settings[0].upper()}{settings[1:]}. " if settings else ""
        for kind in figures_of(group):
            figure = kind.draw(group, unit)
            width, height = map(float, figure.get_size_inches())
            caption = f"{where}{kind.caption(group)} In {unit}."
            drawings.append(Drawing(f"{kind.name}-{place}", caption, address(figure), (width, height)))
    return drawings


def representations(frame: pd.DataFrame, unit: str) -> list[Sheet]:
    """Return the representations, and which encoders failed."""
    cells = encoded.representations(frame)
    if cells.empty:
        return []
    return [Sheet("The representations", representation_tables.table(cells, unit), quotable=True)]


def formulas(frame: pd.DataFrame, citations: Citations, about: About) -> list[Sheet]:
    """Return the formula of each estimator, its ceiling, and on which side of the truth it lies."""
    rows = []
    for label, choices in dict(zip(frame["estimator"], frame["choices"], strict=True)).items():
        known = about.get(("estimator", choices["estimator"]["name"]), {})
        rows.append(
            {
                "estimator": label,
                "Objective; estimate where it differs": known.get("formula", tables.NOT_MEASURED),
                "Ceiling": known.get("ceiling", tables.NOT_MEASURED),
                "Against the truth": known.get("bias", tables.NOT_MEASURED),
                "Reference": citations.cite(known.get("reference", "")).strip(),
            }
        )
    return [Sheet("The estimators", tables.table_of(rows, [], "", []))]


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
    names = summary["choices"].map(lambda choices: choices["task"]["name"])
    keys = {"task": names, "protocol": summary["protocol"]}
    by = [name for name, values in keys.items() if values.nunique() > 1]
    if not by:
        return [("", summary)]
    return [
        (", ".join(f"{column} {name}" for column, name in zip(by, values, strict=True)), group)
        for values, group in summary.groupby([keys[name] for name in by], sort=False)
    ]
