"""The files of a grid: its table in three forms, and its figures in two."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from mibench.analysis.cells import CELL, in_unit, summarise
from mibench.analysis.comparison import Comparison
from mibench.analysis.representations import representations
from mibench.reports import comparison_tables, tables
from mibench.reports.figures import figures_of
from mibench.reports.figures.staircase import staircase
from mibench.reports.figures.style import estimator_names, looks, save
from mibench.reports.representation_tables import table as representations_table
from mibench.reports.tables import Table
from mibench.store.segments import Curve, Store

Figures = Mapping[str, Callable[[], Figure]]

MANIFEST = ".mibench.json"
"""The names of the files that each command wrote to a folder last: the only ones that are ever removed."""


def write_tables(records: pd.DataFrame, folder: Path, unit: str = "nats") -> list[Path]:
    """Write a grid's tables as CSV, Markdown and LaTeX, and its figures as PNG and PDF; return the paths."""
    summary, encoded = summarise(records), representations(records)
    texts = _three_forms("table", summary, tables.table(summary, unit), unit)
    if len(encoded):
        texts |= _three_forms("representations", encoded, representations_table(encoded, unit), unit)
    figures = {kind.name: partial(kind.draw, summary, unit) for kind in figures_of(summary)}
    return _write("run", folder, texts, {**figures, **_staircases(records, Store(folder), unit)})


def _three_forms(name: str, values: pd.DataFrame, shown: Table, unit: str) -> dict[str, str]:
    return {
        f"{name}.csv": _csv(values, unit),
        f"{name}.md": tables.markdown(shown),
        f"{name}.tex": tables.latex(shown),
    }


def _csv(values: pd.DataFrame, unit: str) -> str:
    return in_unit(values.drop(columns="choices", errors="ignore"), unit).to_csv(index=False)


def _staircases(records: pd.DataFrame, store: Store, unit: str) -> Figures:
    """Return the staircase of each setting that has stored curves."""
    settings = [column for column in CELL if column not in ("estimator", "true_mi_nats")]
    looking = looks(estimator_names(records))
    found = {}
    for number, (_, group) in enumerate(records.groupby(settings, sort=False, dropna=False), start=1):
        curves, first = _curves(group, store), group.iloc[0]
        title = f"{first['task']}, {first['critic']}, n = {first['n']}, seed {group['seed'].min()}"
        if curves:
            name = "staircase" if number == 1 else f"staircase_{number}"
            found[name] = partial(staircase, curves, looking, None, unit, title)
    return found


def write_comparison(comparison: Comparison, folder: Path, unit: str = "nats") -> list[Path]:
    """Write a comparison's tables and figures, and return the paths."""
    shown = [comparison_tables.cells_table(comparison, unit), comparison_tables.pairs_table(comparison, unit)]
    texts = {
        "comparison.csv": _csv(comparison.cells, unit),
        "pairs.csv": _csv(comparison.pairs, unit),
        "comparison.md": "\n".join(map(tables.markdown, shown)),
        "comparison.tex": comparison_tables.latex(comparison, unit),
    }
    kinds = figures_of(comparison.cells, "compare")
    figures = {kind.name: partial(kind.draw, comparison.cells, unit) for kind in kinds}
    return _write("compare", folder, texts, figures)


def write_reproduction(
    rows: pd.DataFrame, shown: Table, records: pd.DataFrame, folder: Path, title: str, unit: str = "nats"
) -> list[Path]:
    """Write ours beside the published numbers, and the staircase of each critic that has curves."""
    looking = looks(estimator_names(records))
    figures = {}
    for name, group in records.groupby("critic_name", sort=False):
        curves = _curves(group, Store(folder))
        words = f"{title}, {name} critic, seed {int(group['seed'].min())}"
        published = _published(rows[rows["critic_name"] == name])
        if curves:
            figures[f"staircase_{name}"] = partial(staircase, curves, looking, published, unit, words)
    return _write("reproduce", folder, _three_forms("reproduction", rows, shown, unit), figures)


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
    known = rows.dropna(subset="published_nats").groupby("estimator", sort=False)
    return {
        str(label): dict(zip(group["true_mi_nats"], group["published_nats"], strict=True))
        for label, group in known
    }


def _write(command: str, folder: Path, texts: Mapping[str, str], figures: Figures) -> list[Path]:
    """Write the files of a command, and remove those of an earlier one of its grids that are none of them."""
    paths = []
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
        paths.append(folder / name)
    for name, draw in figures.items():
        paths += save(draw(), folder / name)
    names = [path.name for path in paths]
    before = _manifest(folder)
    for name in set(before.get(command, [])) - set(names):
        (folder / name).unlink(missing_ok=True)
    # A file that two commands write is the last one's.
    others = {other: [name for name in kept if name not in names] for other, kept in before.items()}
    (folder / MANIFEST).write_text(json.dumps(others | {command: names}, indent=2) + "\n", "utf-8")
    return paths


def _manifest(folder: Path) -> dict[str, list[str]]:
    """Return the files in a folder that each command wrote; none that lies elsewhere."""
    try:
        written = json.loads((folder / MANIFEST).read_text("utf-8"))
        return {str(command): [name for name in names if _is_own(name)] for command, names in written.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _is_own(name: object) -> bool:
    return isinstance(name, str) and Path(name).name == name and Path(name).suffix in _SUFFIXES


_SUFFIXES = (".csv", ".md", ".tex", ".png", ".pdf")
