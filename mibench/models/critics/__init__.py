"""Critics f(x, y).

Derive from `Critic`, or from `ModuleCritic` for an ordinary `torch.nn.Module`; `separable.py` is a good
example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mibench.errors import UsageError
from mibench.models import registry

if TYPE_CHECKING:
    from mibench.models.base import Critic
    from mibench.registry import Value


def get(name: str, **options: Value) -> Critic:
    """Return a critic by its name and options: `get("separable[layers=3]")`.

    Raises:
        UsageError: an unknown name or option, a value that is not allowed, or a model that is no critic.
    """
    found = registry.get(name, **options)
    if found.kind != "critic":
        raise UsageError(
            f"Model {name!r} is a {found.kind}, not a critic.", "'mibench list models' shows all."
        )
    return cast("Critic", found)
