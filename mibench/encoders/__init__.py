"""Encoder recipes: what turns a task's data into representations, and how it is trained.

    >>> import mibench
    >>> mibench.encoders.get("simclr[temperature=0.2]").temperature
    0.2

A recipe is a dataclass in a file of this folder with a literal `name` that derives from `Encoder`
(`base.py`), or for images from `ImageEncoder` (`images.py`); its fields are the options that users type.
`random.py` and `simclr.py` are good examples. Seeds of one recipe train as one pack: parameters lead with
the run axis. Other packages add theirs through the entry-point group `mibench.encoders`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mibench.registry import Registry

if TYPE_CHECKING:
    from typing import Any

    from mibench.encoders.base import Encoder
    from mibench.registry import Value

registry: Registry[Encoder[Any]] = Registry(
    "encoder",
    "mibench.encoders",
    group="mibench.encoders",
    base="mibench.encoders.base:Encoder",
    required=("source",),
)


def get(name: str, **options: Value) -> Encoder[Any]:
    """Return an encoder recipe by its name and options: `get("simclr", temperature=0.2)`.

    Raises:
        UsageError: an unknown name or option, or a value that is not allowed.
    """
    return registry.get(name, **options)
