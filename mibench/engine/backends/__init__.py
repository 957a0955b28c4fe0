"""Backends: where jobs run. Each is a dataclass in a file of this folder that derives from `Backend`.

`local.py` is a good example; `base.py` has the base class and what repeats jobs that failed. Other packages
add theirs through the entry-point group `mibench.backends`. Which backend runs a job is no part of a run's
identity: it must not change a result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mibench.registry import Registry

if TYPE_CHECKING:
    from mibench.engine.backends.base import Backend

registry: Registry[Backend] = Registry(
    "backend",
    "mibench.engine.backends",
    group="mibench.backends",
    base="mibench.engine.backends.base:Backend",
)
