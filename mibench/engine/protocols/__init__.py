"""Protocols: how data are seen in training, and where the estimate comes from.

`samples[size=10000]` is a name with options, as estimators and tasks have. A protocol is a dataclass in a
file of this folder that derives from `Protocol` (`base.py`); `stream.py` is a good example. Other packages
add theirs through the entry-point group `mibench.protocols`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mibench.registry import Registry

if TYPE_CHECKING:
    from mibench.engine.protocols.base import Protocol

registry: Registry[Protocol] = Registry(
    "protocol",
    "mibench.engine.protocols",
    group="mibench.protocols",
    base="mibench.engine.protocols.base:Protocol",
    unlabelled=("size",),
)
