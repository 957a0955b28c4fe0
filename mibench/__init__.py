"""A benchmark suite for mutual-information estimators on tasks whose true mutual information is known.

    >>> import mibench
    >>> task = mibench.tasks.get("gaussian", dim=20, mi=4.0)
    >>> estimator = mibench.estimators.get("nwj")
    >>> frame = mibench.run(estimator="infonce", task="gaussian", dim=2, mi=[1, 2], n=[8], seeds=3, steps=5)
    >>> len(frame)
    6
    >>> cells = mibench.summarise(frame)
    >>> cells[["true_mi_nats", "n", "runs", "failed"]]
       true_mi_nats  n  runs  failed
    0           1.0  8     3       0
    1           2.0  8     3       0

Importing this package imports neither torch nor pandas; its parts are imported when they are first used.
Where torch is not loaded yet, the import shortens how long its threads will spin (`mibench.process`).
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from mibench.process import shorten_spin

if TYPE_CHECKING:
    from mibench import encoders, estimators, tasks
    from mibench.analysis.cells import summarise
    from mibench.api.check import check
    from mibench.api.compare import compare
    from mibench.api.estimate import estimate
    from mibench.api.plan import plan
    from mibench.api.report import report
    from mibench.api.run import run
    from mibench.api.validate import validate
    from mibench.errors import UsageError
    from mibench.models import critics

__version__ = "0.1.0"

shorten_spin()
logging.getLogger(__name__).addHandler(logging.NullHandler())  # the program that uses the package decides

_FROM = {
    "check": "mibench.api.check",
    "compare": "mibench.api.compare",
    "estimate": "mibench.api.estimate",
    "plan": "mibench.api.plan",
    "report": "mibench.api.report",
    "run": "mibench.api.run",
    "summarise": "mibench.analysis.cells",
    "UsageError": "mibench.errors",
    "validate": "mibench.api.validate",
}
_PARTS = {
    "critics": "mibench.models.critics",
    "encoders": "mibench.encoders",
    "estimators": "mibench.estimators",
    "tasks": "mibench.tasks",
}

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
    "validate",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever has that name
    if name in _PARTS:
        return importlib.import_module(_PARTS[name])
    if name in _FROM:
        return getattr(importlib.import_module(_FROM[name]), name)
    raise AttributeError(f"module 'mibench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
