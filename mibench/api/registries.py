"""The registries of everything that a run is made of."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mibench import encoders, estimators, models, tasks
from mibench.engine.backends import registry as backends
from mibench.engine.protocols import registry as protocols
from mibench.errors import UsageError, unknown
from mibench.notation import parse
from mibench.registry import Registry

REGISTRIES: dict[str, Registry[Any]] = {
    "estimator": estimators.registry,
    "task": tasks.registry,
    "encoder": encoders.registry,
    "critic": models.registry,
    "protocol": protocols,
}
"""By the names that identities and records have for the kinds: a model of any kind is a "critic" there."""

ALL: tuple[Registry[Any], ...] = (*REGISTRIES.values(), backends)
"""Those of everything that has a name."""

SEE = "'mibench list estimators' (tasks, encoders, models) shows all"


def that_know(
    text: str, registries: Collection[Registry[Any]] = ALL, see: str = f"{SEE}."
) -> list[Registry[Any]]:
    """Return the registries that know a name with its options: a task and an encoder are called cpc.

    Raises:
        UsageError: none has the name, or none that has it knows the options; `see` says where all names are.
    """
    bare, _ = parse(text, "estimator, task, model or encoder")
    having = [registry for registry in registries if bare in registry.entries]
    if not having:
        known = [name for registry in registries for name in registry.entries]
        raise unknown("name", bare, known, see)
    found, errors = [], []
    for registry in having:
        try:
            registry.choose(text)
            found.append(registry)
        except UsageError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return found
