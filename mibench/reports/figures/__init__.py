"""Figures of a summary, at the size that a paper's column or page has."""

from mibench.reports.figures.comparison import error_split, has_split, metrics_vs_true
from mibench.reports.figures.levels import bias_vs_n, bias_vs_samples, estimate_vs_true
from mibench.reports.figures.staircase import staircase
from mibench.reports.figures.style import save
from mibench.reports.figures.sweep import estimate_vs_probe, sweeps

__all__ = [
    "bias_vs_n",
    "bias_vs_samples",
    "error_split",
    "estimate_vs_probe",
    "estimate_vs_true",
    "has_split",
    "metrics_vs_true",
    "save",
    "staircase",
    "sweeps",
]
