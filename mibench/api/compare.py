"""Comparing estimators: run what is missing, then test them against each other on the same data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mibench.analysis import comparison as results
from mibench.analysis.comparison import ALPHA, Comparison
from mibench.api.plan import OneOrMore, chosen_estimators
from mibench.api.run import run
from mibench.errors import UsageError
from mibench.registry import real_number

DEFAULT_N = (64,)
DEFAULT_SEEDS = 12
"""So many that four estimators at five levels can be told apart: 30 tests at 0.05 need 11."""


def compare(
    estimators: OneOrMore[str],
    *,
    alpha: float | str = ALPHA,
    n: OneOrMore[int | str] = DEFAULT_N,
    seeds: OneOrMore[int | str] = DEFAULT_SEEDS,
    out: Path | str | None = None,
    **grid_arguments: Any,  # noqa: ANN401 - those of `mibench.run`
) -> Comparison:
    """Run estimators on the same data and compare them pair by pair.

    >>> import mibench
    >>> compared = mibench.compare(["infonce", "nwj"], dim=2, mi=1, n=8, seeds=3, steps=5)
    >>> len(compared.cells), len(compared.pairs)
    (2, 1)

    The arguments are those of `mibench.run`, but that n is 64 and there are 12 seeds.

    Raises:
        UsageError: fewer than two estimators, an alpha outside (0, 1), and what `mibench.run` raises.
    """
    level = check_alpha(alpha)
    check_several(choice.label for choice in chosen_estimators(estimators))
    return results.compare(run(estimators, n=n, seeds=seeds, out=out, **grid_arguments), level)


def check_several(estimators: Iterable[str]) -> None:
    """Raise a UsageError where there are fewer than two estimators."""
    if len(set(estimators)) < 2:
        raise UsageError(
            "A comparison needs two estimators at least.",
            "Name two or more: mibench compare infonce nwj. 'mibench list estimators' shows all.",
        )


def check_alpha(value: float | str) -> float:
    """Return a level of significance, or raise a UsageError."""
    alpha = real_number(value, "alpha")
    if not 0 < alpha < 1:
        raise UsageError(f"alpha must lie between 0 and 1, not {alpha:g}.", "0.05 is usual.")
    return alpha
