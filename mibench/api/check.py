"""The regression test of estimator bias: the runs of a baseline, done again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from mibench.analysis import regression
from mibench.analysis.cells import CELL
from mibench.analysis.regression import ALPHA, CANNOT_DETECT, TOLERANCE_NATS, Cell, Verdict
from mibench.analysis.significance import seeds_needed
from mibench.api.compare import check_alpha
from mibench.api.freezing import agree, cells_of, failures_of, made_with, plan_of, unlike
from mibench.api.observer import SILENT, Observer
from mibench.api.run import execute
from mibench.errors import UsageError
from mibench.options import real_number
from mibench.reports import regression_reports as reports
from mibench.reports.tables import TITLES, Table, setting
from mibench.store import baseline as baselines
from mibench.store.baseline import REFERENCE, Baseline
from mibench.store.record import Record


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
    """

    baseline: str
    verdicts: Sequence[Verdict]
    tolerance: float
    alpha: float
    differs: Sequence[str]

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

    def table(self) -> Table:
        """Return the verdicts as a table."""
        return reports.table(self.verdicts, self._notes())

    def _notes(self) -> list[str]:
        same = (
            f"Not as it was when the baseline was made: {'; '.join(self.differs)}. Numbers may differ."
            if self.differs
            else "Machine, versions and sources are those of the baseline: every number must be the same."
        )
        return [
            "In nats. Change: mean difference on the same data, seed by seed, ± its standard error.",
            f"It fails a cell above {self.tolerance:g} nats with p (sign-flip, Holm) at most {self.alpha:g}.",
            same,
        ]


def check(
    baseline: Path | str = REFERENCE,
    *,
    tolerance: float | str = TOLERANCE_NATS,
    alpha: float | str = ALPHA,
    data: Path | str | Sequence[Path | str] = (),
    device: str = "auto",
    backend: str = "local",
) -> Check:
    """Run the cells of a baseline again and compare them with it, seed by seed.

    >>> import mibench
    >>> mibench.check("baseline.json").fine  # doctest: +SKIP
    True

    Args:
        baseline: a file that `mibench check --save` made, or the name of a shipped one: "reference".
        tolerance: changes up to this many nats do not count.
        alpha: the probability that anything is called changed where nothing is.
        data: paths of the files with one's own images that the baseline's runs need.
        device: "auto", "cpu", "cuda" or "cuda:1".
        backend: where models are trained, such as "local".

    Raises:
        UsageError: the baseline cannot be read, or is of an incompatible version; it names what differs.
    """
    paths = [data] if isinstance(data, Path | str) else data
    return run_baseline(baseline, limits_of(tolerance, alpha), list(map(str, paths)), device, backend)


def run_baseline(
    baseline: Path | str,
    limits: tuple[float, float],
    data: Sequence[str],
    device: str,
    backend: str,
    given: Mapping[str, Any] = MappingProxyType({}),
    observer: Observer = SILENT,
) -> Check:
    """Run a baseline again and compare; it has to be of the grid whose settings are given, where any are."""
    name, frozen = str(baseline), baselines.read(baselines.find(baseline))
    with as_made(frozen):
        planned = plan_of(frozen, name, device, data, backend)
        agree(planned, given, name)
        observer.say(planned.device_message)
        records = execute(planned, planned.specs, {}, observer=observer)
        by_key = {record.key: record for record in records}
        found = [[by_key[spec.key] for spec in specs] for specs in cells_of(planned.specs)]
        differs = unlike(frozen.made_with, made_with(planned))
        verdicts = regression.compare(_compared(frozen, found), *limits, exact=not differs)
        return Check(name, verdicts, *limits, differs)


@contextmanager
def as_made(frozen: Baseline) -> Iterator[None]:
    """Give torch the number of threads with which a baseline was made: sums may depend on it."""
    before, then = torch.get_num_threads(), frozen.made_with.get("threads")
    torch.set_num_threads(then if isinstance(then, int) and then > 0 else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def limits_of(tolerance: float | str, alpha: float | str) -> tuple[float, float]:
    """Return tolerance and alpha, or raise a UsageError."""
    nats = real_number(tolerance, "tolerance")
    if nats < 0:
        raise UsageError(f"tolerance must not be negative, and {nats:g} is.", "Give it in nats, as 0.02.")
    return nats, check_alpha(alpha, usual="0.01")


def _compared(frozen: Baseline, found: Sequence[Sequence[Record]]) -> list[Cell]:
    """Return a baseline's cells with their new records; labels have the settings that vary."""
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
        )
        for cell, was, records in zip(settings, frozen.cells, found, strict=True)
    ]
