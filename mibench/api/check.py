"""The regression test of estimator bias: the runs of a baseline, done again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Unpack

import torch

from mibench.analysis import regression
from mibench.analysis.cells import CELL
from mibench.analysis.regression import (
    ALPHA,
    CANNOT_DETECT,
    KNOWN_NATS,
    TOLERANCE_HERE_NATS,
    TOLERANCE_NATS,
    Cell,
    Verdict,
)
from mibench.analysis.significance import seeds_needed
from mibench.api.compare import check_alpha
from mibench.api.fingerprint import TESTED
from mibench.api.freezing import agree, cells_of, failures_of, known_of, made_with, plan_of, unlike
from mibench.api.observer import SILENT, Observer
from mibench.api.placement import Placement
from mibench.api.run import execute
from mibench.errors import UsageError
from mibench.grid import PlaceArguments, takes
from mibench.options import real_number
from mibench.reports import regression_reports as reports
from mibench.reports.tables import TITLES, Table, setting
from mibench.store import baseline as baselines
from mibench.store.baseline import REFERENCE, Baseline
from mibench.store.record import NO_ENCODER, Record


@dataclass(frozen=True)
class Check:
    """What a check has found.

    Attributes:
        baseline: its name or file.
        verdicts: one per cell.
        tolerance: changes up to this many nats do not count.
        alpha: the probability of a false alarm.
        differs: what is not as it was when the baseline was made; where nothing is, every number must be the
            same.
        same_machine: whether machine and versions are the same, whatever the package's sources.
    """

    baseline: str
    verdicts: Sequence[Verdict]
    tolerance: float
    alpha: float
    differs: Sequence[str]
    same_machine: bool

    @property
    def failing(self) -> list[Verdict]:
        """The cells by which the check fails."""
        return [verdict for verdict in self.verdicts if verdict.failing]

    @property
    def fine(self) -> bool:
        """Whether none fails."""
        return not self.failing

    @property
    def seeds_needed(self) -> int | None:
        """How many seeds the tests need at least to find anything."""
        return seeds_needed(len(self.verdicts), self.alpha)

    @property
    def summary(self) -> str:
        """The answer in one sentence."""
        count, blind = len(self.verdicts), sum(v.status == CANNOT_DETECT for v in self.verdicts)
        if not self.fine:
            return f"{len(self.failing)} of {count} cells fail."
        if blind:
            return f"No cell fails; {blind} of {count} cannot detect a change as small as the tolerance."
        return f"All {count} cells are fine."

    @property
    def not_compared(self) -> list[str]:
        """What could not be compared with the baseline, in words."""
        cells = [verdict.cell for verdict in self.verdicts]
        if not any(cell.known_before for cell in cells):
            return ["defaults, truth, ceiling and value at the exact ratio: a baseline of schema 1 has none"]
        others = [cell.label for cell in cells if cell.read_elsewhere]
        return [f"value at the exact ratio, read on other batches: {'; '.join(others)}"] if others else []

    def table(self) -> Table:
        """Return the verdicts as a table."""
        return reports.table(self.verdicts, self._notes())

    def _notes(self) -> list[str]:
        return [
            "In nats. Change: mean difference on the same data, seed by seed, ± its standard error.",
            f"It fails a cell above {self.tolerance:g} nats with p (sign-flip, Holm) at most {self.alpha:g}.",
            self._surroundings(),
            *(f"Not compared: {words}." for words in self.not_compared),
        ]

    def _surroundings(self) -> str:
        if not self.differs:
            return "Machine, versions and sources are those of the baseline: every number must be the same."
        differing = f"Not as it was when the baseline was made: {'; '.join(self.differs)}."
        return f"{differing} Numbers may differ{' by rounding' if self.same_machine else ''}."


@takes(PlaceArguments)
def check(
    baseline: Path | str = REFERENCE,
    *,
    tolerance: float | str | None = None,
    alpha: float | str = ALPHA,
    data: Path | str | Sequence[Path | str] = (),
    **settings: Unpack[PlaceArguments],
) -> Check:
    """Run the cells of a baseline again and compare them with it, seed by seed.

    >>> import mibench
    >>> mibench.check("baseline.json").fine  # doctest: +SKIP
    True

    Args:
        baseline: a file that `mibench check --save` made, or the name of a shipped one: "reference".
        tolerance: changes up to this many nats do not count; by default 0.001 on the machine and with the
            versions of the baseline, else 0.02.
        alpha: the probability that anything is called changed where nothing is.
        data: paths of the files with one's own images that the baseline's runs need.
        {settings}

    Raises:
        UsageError: the baseline cannot be read, or is of an incompatible version; it names what differs.
    """
    paths = [data] if isinstance(data, Path | str) else data
    where = Placement.given("check", settings)
    return run_baseline(baseline, limits_of(tolerance, alpha), list(map(str, paths)), where)


def run_baseline(
    baseline: Path | str,
    limits: tuple[float | None, float],
    data: Sequence[str],
    where: Placement,
    given: Mapping[str, Any] = MappingProxyType({}),
    observer: Observer = SILENT,
) -> Check:
    """Run a baseline again and compare; it has to be of the grid whose settings are given, where any are."""
    name, frozen = str(baseline), baselines.read(baselines.find(baseline))
    with as_made(frozen):
        planned = plan_of(frozen, name, where, data)
        agree(planned, given, name)
        observer.say(planned.device_message)
        records = execute(planned.of(planned.specs), observer=observer)
        by_key = {record.key: record for record in records}
        found = [[by_key[spec.key] for spec in specs] for specs in cells_of(planned.specs)]
        here = made_with(planned)
    differs = unlike(frozen.made_with, here)
    same_machine = not unlike(_machine(frozen.made_with), _machine(here))
    tolerance, alpha = limits
    if tolerance is None:
        tolerance = TOLERANCE_HERE_NATS if same_machine else TOLERANCE_NATS
    cells = _compared(frozen, found, exact=not differs)
    verdicts = regression.compare(cells, tolerance, alpha, exact=not differs)
    return Check(name, verdicts, tolerance, alpha, differs, same_machine)


def _machine(made_with: Mapping[str, Any]) -> dict[str, Any]:
    """Return machine and versions: all that numbers depend on, but what a check tests."""
    return {name: value for name, value in made_with.items() if name not in TESTED}


@contextmanager
def as_made(frozen: Baseline) -> Iterator[None]:
    """Give torch the number of threads with which a baseline was made: sums may depend on it."""
    before, then = torch.get_num_threads(), frozen.made_with.get("threads")
    torch.set_num_threads(then if isinstance(then, int) and then > 0 else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def limits_of(tolerance: float | str | None, alpha: float | str) -> tuple[float | None, float]:
    """Return tolerance, None where it is not given, and alpha, or raise a UsageError."""
    nats = None if tolerance is None else real_number(tolerance, "tolerance")
    if nats is not None and nats < 0:
        raise UsageError(f"tolerance must not be negative, and {nats:g} is.", "Give it in nats, as 0.02.")
    return nats, check_alpha(alpha, usual="0.01")


def _compared(frozen: Baseline, found: Sequence[Sequence[Record]], exact: bool) -> list[Cell]:
    """Return a baseline's cells with their new records; labels have the settings that vary.

    `exact` is whether every number must be the same. Elsewhere the truth of a representation may differ, and
    what is read at its exact ratio: they come from the training of its encoder.
    """
    settings = [{name: getattr(records[0], name) for name in CELL} for records in found]
    varying = [name for name in CELL[1:] if len({cell[name] for cell in settings}) > 1]
    return [
        Cell(
            label=", ".join(
                [str(cell["estimator"]), *(f"{TITLES[name]} {setting(cell[name])}" for name in varying)]
            ),
            settings=cell,
            seeds=frozen.seeds,
            before=was.estimates,
            now=[record.estimate_nats for record in records],
            failures=failures_of(records),
            ceiling_nats=records[0].ceiling_nats,
            names=was.names,
            known_before=was.known,
            known_now=known_of(records),
            known_tolerance=KNOWN_NATS if exact or cell["encoder"] == NO_ENCODER else TOLERANCE_NATS,
        )
        for cell, was, records in zip(settings, frozen.cells, found, strict=True)
    ]
