"""A benchmark suite for mutual-information estimators on tasks whose true mutual information is known.

    task = mibench.tasks.get("gaussian", dim=20, mi=4.0)
    estimator = mibench.estimators.get("nwj")
    frame = mibench.run(estimator="infonce", task="gaussian", dim=20, mi=[2, 4], n=[64], seeds=3)
    cells = mibench.summarise(frame)

Importing this package imports neither torch nor pandas; its parts are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mibench import critics, encoders, estimators, tasks
    from mibench.api import plan, run
    from mibench.api.checking import check
    from mibench.api.comparing import compare
    from mibench.api.estimating import estimate
    from mibench.api.reporting import report
    from mibench.errors import UsageError
    from mibench.results.statistics import summarise

__version__ = "0.1.0"

_FROM = {
    "check": "mibench.api.checking",
    "compare": "mibench.api.comparing",
    "estimate": "mibench.api.estimating",
    "plan": "mibench.api",
    "report": "mibench.api.reporting",
    "run": "mibench.api",
    "summarise": "mibench.results.statistics",
    "UsageError": "mibench.errors",
}
_PARTS = ("critics", "encoders", "estimators", "tasks")

__all__ = [
    "UsageError",
    "check",
    "compare",
    "critics",
    "encoders",
    "estimate",
    "estimators",
    "plan",
    "report",
    "run",
    "summarise",
    "tasks",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever has that name
    if name in _PARTS:
        return importlib.import_module(f"mibench.{name}")
    if name in _FROM:
        return getattr(importlib.import_module(_FROM[name]), name)
    raise AttributeError(f"module 'mibench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
