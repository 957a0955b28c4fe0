"""Critics f(x, y) for many runs at once: parameters lead with the run axis.

    critic = mibench.models.critics.get("separable[layers=3]")

A critic is a dataclass in a file of this folder with a literal `name`; its fields are the options that users
type. One run is initialised by itself, from its own generator; runs are then stacked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mibench.registry import Registry

if TYPE_CHECKING:
    from mibench.models.critics.base import Critic
    from mibench.registry import Value

registry: Registry[Critic] = Registry(
    "critic", "mibench.models.critics", base="mibench.models.critics.base:Critic"
)


def get(name: str, **options: Value) -> Critic:
    """Return a critic by its name and options: `get("separable[layers=3]")`.

    Raises:
        UsageError: an unknown name or option, or a value that is not allowed.
    """
    return registry.get(name, **options)
