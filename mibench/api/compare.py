"""Comparing estimators: run what is missing, then test them against each other on the same data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from mibench.analysis import comparison as results
from mibench.analysis.comparison import ALPHA, Comparison
from mibench.api.plan import Plan, plan_grid
from mibench.api.run import run_plan
from mibench.errors import UsageError
from mibench.grid import GridArguments, OneOrMore, read, takes
from mibench.options import real_number
from mibench.store.record import to_frame


@takes(GridArguments)
def compare(
    estimators: OneOrMore[str],
    task: OneOrMore[str] | None = None,
    *,
    alpha: float | str = ALPHA,
    out: Path | str | None = None,
    rerun: str = "never",
    **settings: Unpack[GridArguments],
) -> Comparison:
    """Run estimators on the same data and compare them pair by pair: which is nearer the truth on most seeds?

    The p-values are of exact sign tests, which assume that seeds are independent and nothing else.

    >>> import mibench
    >>> compared = mibench.compare(["infonce", "nwj"], dim=2, mi=1, n=8, seeds=3, steps=5)
    >>> len(compared.cells), len(compared.pairs)
    (2, 1)

    Args:
        estimators: names of two or more, such as `"infonce,nwj"` or `["infonce", "nce[k=5]"]`.
        {settings}
        alpha: the probability of any false verdict (Holm over both directions of all pairs).
        out: folder of a results store; what is finished there is not run again. None keeps nothing.
        rerun: which runs of the store are repeated: "never", "failed" or "all", as in `mibench.run`.

    Raises:
        UsageError: fewer than two estimators, an alpha outside (0, 1), and what `mibench.run` raises.
    """
    planned, level = prepare({"estimator": estimators, "task": task, **settings}, alpha)
    return results.compare(to_frame(run_plan(planned, out, rerun)), level)


def prepare(given: Mapping[str, Any], alpha: float | str) -> tuple[Plan, float]:
    """Return the plan of a comparison of two or more estimators, and its level of significance."""
    level = check_alpha(alpha)
    planned = plan_grid(read("compare", given))
    if len({spec.estimator.label for spec in planned.specs}) < 2:
        raise UsageError(
            "A comparison needs two estimators at least.",
            "Name two or more: mibench compare infonce nwj. 'mibench list estimators' shows all.",
        )
    return planned, level


def check_alpha(value: float | str, usual: str = "0.05") -> float:
    """Return a level of significance, or raise a UsageError."""
    alpha = real_number(value, "alpha")
    if not 0 < alpha < 1:
        raise UsageError(f"alpha must lie between 0 and 1, not {alpha:g}.", f"{usual} is usual.")
    return alpha
