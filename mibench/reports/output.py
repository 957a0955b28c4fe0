"""The files that a grid leaves: its table in three forms, and its figures in two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mibench.analysis.cells import CELL, in_unit, is_elsewhere, summarise
from mibench.analysis.comparison import Comparison
from mibench.analysis.representations import representations
from mibench.errors import UsageError
from mibench.registry import Registry
from mibench.reports import comparison_tables, figures, tables
from mibench.reports.representation_tables import table as representations_table
from mibench.reports.tables import Table
from mibench.store.segments import Curve, Store


def drawn(summary: pd.DataFrame, unit: str = "nats") -> dict[str, Figure]:
    """Return the figures that a summary has enough for, by name."""
    found = {
        "bias_vs_n": figures.bias_vs_n(summary, unit),
        "estimate_vs_true": figures.estimate_vs_true(summary, unit),
    }
    if figures.has_split(summary):
        found["error_split"] = figures.error_split(summary, unit)
    if summary["samples"].notna().any():
        found["bias_vs_samples"] = figures.bias_vs_samples(summary, unit)
    if summary["estimator"].nunique() > 1 and _has_levels(summary):
        found["metrics_vs_true"] = figures.metrics_vs_true(summary, unit)
    found |= figures.sweeps(summary, unit, _defaults)
    against_probe = figures.estimate_vs_probe(summary, unit)
    return found | ({"estimate_vs_probe": against_probe} if against_probe else {})


def _has_levels(summary: pd.DataFrame) -> bool:
    """Return whether there is something to be drawn against the true MI: not of encoders at one level."""
    levels = summary.groupby(["task", "encoder"])["true_mi_nats"].nunique()
    return not is_elsewhere(summary).any() or bool((levels > 1).any())


def _defaults(kind: str, name: str) -> Mapping[str, object]:
    """Return the options of a registered class at their defaults; none of one that is not installed here."""
    from mibench import encoders, estimators, tasks  # reading results alone needs none of them

    registries: dict[str, Registry[Any]] = {
        "encoder": encoders.registry,
        "estimator": estimators.registry,
        "task": tasks.registry,
    }
    try:
        kept = fields(registries[kind].load(name))
    except (UsageError, ImportError, AttributeError):
        return {}
    return {field.name: field.default for field in kept}


def write_tables(records: pd.DataFrame, folder: Path, unit: str = "nats") -> list[Path]:
    """Write a grid's tables as CSV, Markdown and LaTeX, and its figures as PNG and PDF; return the paths."""
    summary = summarise(records)
    texts = _three_forms("table", summary, tables.table(summary, unit), unit)
    encoded = representations(records)
    if len(encoded):
        shown = representations_table(encoded, unit)
        texts |= _three_forms("representations", encoded, shown, unit)
    return _write(folder, texts, drawn(summary, unit) | _staircases(records, Store(folder), unit))


def _three_forms(name: str, values: pd.DataFrame, shown: Table, unit: str) -> dict[str, str]:
    return {
        f"{name}.csv": in_unit(values, unit).to_csv(index=False),
        f"{name}.md": tables.markdown(shown),
        f"{name}.tex": tables.latex(shown),
    }


def _staircases(records: pd.DataFrame, store: Store, unit: str) -> dict[str, Figure]:
    """Return the staircase of each setting that has stored curves."""
    settings = [column for column in CELL if column not in ("estimator", "true_mi_nats")]
    found = {}
    for number, (_, group) in enumerate(records.groupby(settings, sort=False, dropna=False), start=1):
        curves = _curves(group, store)
        if curves:
            first = group.iloc[0]
            title = f"{first['task']}, {first['critic']}, n = {first['n']}, seed {group['seed'].min()}"
            found["staircase" if number == 1 else f"staircase_{number}"] = figures.staircase(
                curves, None, unit, title
            )
    return found


def write_comparison(comparison: Comparison, folder: Path, unit: str = "nats") -> list[Path]:
    """Write a comparison's tables and figures, and return the paths."""
    shown = [comparison_tables.cells_table(comparison, unit), comparison_tables.pairs_table(comparison, unit)]
    texts = {
        "comparison.csv": in_unit(comparison.cells, unit).to_csv(index=False),
        "pairs.csv": in_unit(comparison.pairs, unit).to_csv(index=False),
        "comparison.md": "\n".join(map(tables.markdown, shown)),
        "comparison.tex": comparison_tables.latex(comparison, unit),
    }
    drawn = {"metrics_vs_true": figures.metrics_vs_true(comparison.cells, unit)}
    if figures.has_split(comparison.cells):
        drawn["error_split"] = figures.error_split(comparison.cells, unit)
    return _write(folder, texts, drawn)


def write_reproduction(
    rows: pd.DataFrame, shown: Table, records: pd.DataFrame, folder: Path, title: str, unit: str = "nats"
) -> list[Path]:
    """Write ours beside the published numbers, and the staircase of each critic that has curves."""
    texts = {
        "reproduction.csv": in_unit(rows, unit).to_csv(index=False),
        "reproduction.md": tables.markdown(shown),
        "reproduction.tex": tables.latex(shown),
    }
    drawn = {}
    for name, group in records.groupby("critic_name", sort=False):
        curves = _curves(group, Store(folder))
        if curves:
            told = f"{title}, {name} critic, seed {int(group['seed'].min())}"
            published = _published(rows[rows["critic_name"] == name])
            drawn[f"staircase_{name}"] = figures.staircase(curves, published, unit, told)
    return _write(folder, texts, drawn)


def _curves(records: pd.DataFrame, store: Store) -> dict[str, dict[float, Curve]]:
    """Return the first seed's stored curves by estimator and true MI."""
    first = records[records["seed"] == records["seed"].min()]
    found: dict[str, dict[float, Curve]] = {}
    for row in first.to_dict("records"):
        curve = store.curve(row["key"])
        if curve is not None:
            found.setdefault(row["estimator"], {})[float(row["true_mi_nats"])] = curve
    return found


def _published(rows: pd.DataFrame) -> dict[str, dict[float, float]]:
    found: dict[str, dict[float, float]] = {}
    for row in rows.dropna(subset="published_nats").to_dict("records"):
        found.setdefault(row["estimator"], {})[float(row["true_mi_nats"])] = float(row["published_nats"])
    return found


def _write(folder: Path, texts: Mapping[str, str], drawn: Mapping[str, Figure]) -> list[Path]:
    paths = []
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
        paths.append(folder / name)
    for name, figure in drawn.items():
        paths += figures.save(figure, folder / name)
    return paths
