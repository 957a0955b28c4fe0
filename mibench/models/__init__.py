"""Models for many runs at once: critics f(x, y), conditional densities q(y | x), denoisers.

    model = mibench.models.get("separable[layers=3]")

A model is a dataclass in a file of one of the folders here with a literal `name`; its fields are the options
that users type. Other packages add theirs through the entry-point group `mibench.models`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mibench.registry import Registry

if TYPE_CHECKING:
    from mibench.models.base import Model
    from mibench.registry import Value

DEFAULT = {"critic": "separable", "conditional": "gaussian-mlp", "denoiser": "noise-mlp"}
"""The model of each kind that is used where neither the user nor the task names one."""

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
