"""What a protocol is: how data are seen in training, and where the estimate comes from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch

if TYPE_CHECKING:
    from mibench.engine.fit import Fitted
    from mibench.engine.loop import Report
    from mibench.engine.plan import Pack
    from mibench.engine.read import Readout
    from mibench.spec import RunSpec


class Protocol(ABC):
    """How models are trained and estimates are made.

    A subclass is a frozen dataclass: its fields are its options, checked in `__post_init__`.

    Attributes:
        name: what users type.
        version: raised when what the protocol does changes, so that old results are not reused.
        reference: where the protocol comes from.
        schedule: the learning-rate schedule that is used where the user names none.
        only_trained: estimators that train nothing have no place in it.
        reads_other_n: a model that was trained at one n can be read at another.
        sized: it has an option `size`, the pairs of a data set, that --samples sets.
        climbs: it has an option `levels`, true MIs such as 2/4/6, that --mi sets.
        methods: what it does, as a sentence or more for the methods text of a report: a Jinja template. It
            has the stored options by their names; `cite(reference)`; lists of the numbers of batches that
            runs read, `batches`, and of the steps of their best models, `best_steps`; and `constant`, the
            number of runs in which no model was better than a constant one.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    reference: ClassVar[str]
    schedule: ClassVar[str] = "constant"
    only_trained: ClassVar[bool] = False
    reads_other_n: ClassVar[bool] = False
    sized: ClassVar[bool] = False
    climbs: ClassVar[bool] = False
    methods: ClassVar[str] = ""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Training steps where the user gives none."""

    @property
    def stairs(self) -> tuple[float, ...]:
        """True MIs in nats through which one training climbs, each for an equal share of the steps."""
        return ()

    @property
    def rows_held(self) -> int:
        """Rows of data that a run holds in memory throughout."""
        return 0

    def n_untrained(self, n: int) -> int:
        """Return the rows that an estimator reads at once which trains nothing."""
        return n

    def untrained(self) -> Protocol:
        """Return the protocol at the defaults of those options that mean nothing without training."""
        return self

    def check(self, n: int, steps: int) -> None:  # noqa: B027 - most work everywhere
        """Raise a UsageError where the protocol cannot work on batches of n with this many steps."""

    @abstractmethod
    def follow(
        self, pack: Pack, device: torch.device, report: Report
    ) -> tuple[Fitted, dict[RunSpec, Readout]]:
        """Train a pack and return what each of its runs reads."""
