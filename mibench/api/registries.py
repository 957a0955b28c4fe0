"""The registries of everything that a run is made of."""

from __future__ import annotations

from typing import Any

from mibench import encoders, estimators, models, tasks
from mibench.engine.protocols import registry as protocols
from mibench.registry import Registry

REGISTRIES: dict[str, Registry[Any]] = {
    "estimator": estimators.registry,
    "task": tasks.registry,
    "encoder": encoders.registry,
    "critic": models.registry,
    "protocol": protocols,
}
"""By the names that identities and records have for the kinds: a model of any kind is a "critic" there."""
