"""Online training: fresh batches at each step, the estimate on fresh data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from mibench.engine.fit import Fitted, fit
from mibench.engine.loop import Report
from mibench.engine.plan import Pack
from mibench.engine.protocols.base import Protocol
from mibench.engine.read import Readout, read_out
from mibench.spec import RunSpec


@dataclass(frozen=True)
class Stream(Protocol):
    """A fresh batch each step; after training, the estimate on fresh batches, of the same n or of others.

    An estimator that trains nothing is read on fresh batches of n rows.
    """

    name = "stream"
    reference: ClassVar[str] = "this package"
    schedule: ClassVar[str] = "one-cycle"
    reads_other_n: ClassVar[bool] = True
    methods: ClassVar[str] = """
Every batch was fresh. After training, each estimator was read on batches of n that no model was trained on
{%- if most_rows -%}
, until its standard error was {{ target_se_nats }} nats or
{{ "{:,}".format(most_rows) }} rows had been read
{%- endif %}
{{ " (%s batches)" | format(batches | spread) if batches }}.
"""

    @property
    def steps(self) -> int:
        """1000."""
        return 1000

    def follow(
        self, pack: Pack, device: torch.device, report: Report
    ) -> tuple[Fitted, dict[RunSpec, Readout]]:
        """Train a pack and read it."""
        fitted = fit(pack, device, report)
        readouts: dict[RunSpec, Readout] = {}
        for places, read in pack.readings():
            readouts |= read_out(read, fitted.at(places), device)
        return fitted, readouts
