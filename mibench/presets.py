"""Presets: how critics are trained where the user names a preset in place of single settings.

A preset only fills in settings that the user does not give. A run is identified by those settings, and not by
the preset that they come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType


@dataclass(frozen=True)
class Preset:
    """How a critic is trained under the protocol `stream`, whatever n it is read at.

    Attributes:
        train_n: rows of a training batch.
        lr: the peak of the schedule; `lr_of` has that of critics that need another one, by name.
    """

    train_n: int
    steps: int
    schedule: str
    lr: float
    lr_of: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def lr_for(self, critic: str) -> float:
        """Return the learning rate of a critic."""
        return self.lr_of.get(critic, self.lr)


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {"fast": Preset(train_n=128, steps=500, schedule="one-cycle", lr=2e-3, lr_of={"embedding": 8e-3})}
)
"""`fast` leaves about the error of the default, or less, in less time up to n = 64 (benchmarks/README.md)."""

FILLED: tuple[str, ...] = tuple(each.name for each in fields(Preset) if each.name != "lr_of")
"""The settings that a preset fills in."""
