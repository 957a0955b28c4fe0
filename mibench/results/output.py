"""The files that a grid leaves: its table in three forms, and its figures in two."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from mibench.results import figures, tables
from mibench.results.statistics import in_unit, summarise


def drawn(summary: pd.DataFrame, unit: str = "nats") -> dict[str, Figure]:
    """Return the figures that a summary has enough for, by name."""
    return {
        "bias_vs_n": figures.bias_vs_n(summary, unit),
        "estimate_vs_true": figures.estimate_vs_true(summary, unit),
    }


def write_tables(records: pd.DataFrame, folder: Path, unit: str = "nats") -> list[Path]:
    """Write a grid's table as CSV, Markdown and LaTeX, and its figures as PNG and PDF; return the paths."""
    summary = summarise(records)
    shown = tables.table(summary, unit)
    texts = {
        "table.csv": in_unit(summary, unit).to_csv(index=False),
        "table.md": tables.markdown(shown),
        "table.tex": tables.latex(shown),
    }
    paths = []
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
        paths.append(folder / name)
    for name, figure in drawn(summary, unit).items():
        paths += figures.save(figure, folder / name)
    return paths
