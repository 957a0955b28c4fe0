"""Models for many runs at once: critics f(x, y), conditional densities q(y | x), denoisers.

    model = mibench.models.get("separable[layers=3]")

A model is a dataclass in a file of one of the folders here with a literal `name`; its fields are the options
that users type. It derives from the abstract class of its kind, such as `Critic` in `base.py`. Other packages
add theirs through the entry-point group `mibench.models`. Good examples: `critics/separable.py`, and
`denoisers/noise_mlp.py`, which is short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mibench.errors import UsageError
from mibench.registry import Registry

if TYPE_CHECKING:
    from mibench.models.base import Model
    from mibench.registry import Value

registry: Registry[Model] = Registry(
    "model",
    "mibench.models",
    group="mibench.models",
    base="mibench.models.base:Model",
    required=("kind",),
)


def get(name: str, **options: Value) -> Model:
    """Return a model by its name and options: `get("separable[layers=3]")`.

    Raises:
        UsageError: an unknown name or option, or a value that is not allowed.
    """
    return registry.get(name, **options)


def of_kind(kind: str) -> type[Model]:
    """Return a model of a kind: it has what the kind's abstract class declares, such as `default`.

    Raises:
        UsageError: there is no model of the kind.
    """
    for _, model in registry.classes():
        if model.kind == kind:
            return model
    raise UsageError(
        f"There is no model of kind {kind!r}.", "'mibench list models' shows all; a plug-in may be missing."
    )
