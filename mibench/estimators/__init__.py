"""Mutual-information estimators: what is read, in nats, and which objective is trained before.

    >>> import mibench
    >>> mibench.estimators.get("nce[k=5]").k
    5
    >>> estimator = mibench.estimators.get("infonce")
    >>> round(estimator.ceiling(64), 3)  # log 64
    4.159

An estimator is a dataclass in a file of one of the folders here with a literal `name`; its fields are the
options that users type. The base classes are in `base.py`; each folder's docstring says which one to derive
from. Other packages add theirs through the entry-point group `mibench.estimators`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mibench.registry import Registry

if TYPE_CHECKING:
    from mibench.estimators.base import Estimator
    from mibench.objectives import Objective
    from mibench.registry import Choice, Value

registry: Registry[Estimator] = Registry(
    "estimator", "mibench.estimators", group="mibench.estimators", base="mibench.estimators.base:Estimator"
)


def get(name: str, **options: Value) -> Estimator:
    """Return an estimator by its name and options: `get("nce[k=5]")`, `get("nce", k=5)`.

    Raises:
        UsageError: an unknown name or option, or a value that is not allowed.
    """
    return registry.get(name, **options)


def objective_of(choice: Choice) -> Objective | None:
    """Return what an estimator trains, None for nothing.

    Raises:
        UsageError: the estimator is of another package and cannot say it.
    """
    with registry.blaming(choice.name):
        return registry.make(choice).objective
