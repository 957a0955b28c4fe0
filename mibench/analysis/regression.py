"""Has an estimator's bias changed? A baseline and the same runs repeated, compared cell by cell.

The runs of a key have the same data and initial weights, then and now, so the differences are paired. A cell
has changed where its mean difference is larger than a tolerance *and* more than chance: a sign-flip test over
seeds, Holm over all cells.

What does not come from training is compared number by number: the truth, the ceiling, and what is read at the
exact density ratio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mibench.analysis.significance import detectable, holm, seeds_words, sign_flip

Numbers = NDArray[np.float64]

TOLERANCE_NATS = 0.02
"""Changes of an estimate up to this much are ignored on another machine or with other versions."""

TOLERANCE_HERE_NATS = 0.001
"""The same where machine and versions are those of the baseline, and only the sources may have changed."""

KNOWN_NATS = 1e-6
"""Changes up to this much are ignored in numbers that no training makes: they are computed in float64."""

ALPHA = 0.01

CEILING_SLACK_NATS = 1e-6
"""An estimate at its ceiling may round to just above it."""

FINE = "fine"
CANNOT_DETECT = "cannot detect"
CHANGED = "changed"
ABOVE_CEILING = "above its ceiling"
NEWLY_FAILING = "newly failing"
NOT_DETERMINISTIC = "not deterministic"
TRUTH_CHANGED = "truth changed"
CEILING_CHANGED = "ceiling changed"
EXACT_CHANGED = "value at the exact ratio changed"
DEFAULT_CHANGED = "default changed"

FAILING = (
    *(NEWLY_FAILING, TRUTH_CHANGED, CEILING_CHANGED, ABOVE_CEILING),
    *(CHANGED, EXACT_CHANGED, DEFAULT_CHANGED, NOT_DETERMINISTIC),
)
"""What fails a check, the most severe first."""


@dataclass(frozen=True)
class Cell:
    """A cell of a baseline beside the same cell run again: one estimate per seed, None for a failed run.

    Attributes:
        label: the cell in words.
        settings: what it is, by the names of `mibench.analysis.cells.CELL`.
        failures: why new runs failed, by seed.
        ceiling_nats: the largest value that the estimator can return.
        names: what the baseline calls the things of which `settings` has the names that they have now.
        known_before, known_now: the fields in `mibench.store.baseline.KNOWN`, one value per seed; those that
            the baseline does not have are not compared.
        known_tolerance: changes of them up to this many nats, on average over the runs, are ignored.
    """

    label: str
    settings: Mapping[str, object]
    seeds: Sequence[int]
    before: Sequence[float | None]
    now: Sequence[float | None]
    failures: Mapping[int, str]
    ceiling_nats: float | None
    names: Mapping[str, str | None]
    known_before: Mapping[str, Sequence[float | None]]
    known_now: Mapping[str, Sequence[float | None]]
    known_tolerance: float = KNOWN_NATS

    @property
    def pairs(self) -> Numbers:
        """The estimates of the seeds that finished both times, then and now: (2, seeds)."""
        finished = [(self.before[place], self.now[place]) for place in self.finished]
        return np.array(finished, dtype=float).reshape(-1, 2).T

    @property
    def finished(self) -> list[int]:
        """The places of the seeds that finished both times."""
        both = zip(self.before, self.now, strict=True)
        return [place for place, pair in enumerate(both) if None not in pair]

    @property
    def read_alike(self) -> list[int]:
        """The places of the seeds that finished both times and were read on equally many batches.

        How many are read depends on the trained critic, and what is read at the exact ratio on the batches.
        """
        if "batches" not in self.known_before:
            return []
        before, now = self.known_before["batches"], self.known_now["batches"]
        return [place for place in self.finished if before[place] == now[place]]

    @property
    def read_elsewhere(self) -> bool:
        """Whether what is read at the exact ratio cannot be compared: no run was read on as many batches."""
        is_known = any(value is not None for value in self.known_before.get("oracle_nats", ()))
        return is_known and bool(self.finished) and not self.read_alike


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check for one cell.

    Attributes:
        status: `fine`, `cannot detect`, or what is wrong with it, the most severe of `FAILING`.
        message: the reasons in words; empty where all is fine.
        before_nats, now_nats, change_nats, change_se_nats: means over the seeds that finished both times, and
            the standard error of the change from the differences seed by seed; NaN where there are none.
        p_holm: p-value of the change, adjusted for the number of cells.
        detectable_nats: the smallest change that would have been found; the tolerance at least.
    """

    cell: Cell
    status: str
    message: str
    before_nats: float
    now_nats: float
    change_nats: float
    change_se_nats: float
    p_holm: float
    detectable_nats: float

    @property
    def failing(self) -> bool:
        """Whether the check fails by this cell."""
        return self.status in FAILING


def compare(
    cells: Sequence[Cell],
    tolerance: float = TOLERANCE_NATS,
    alpha: float = ALPHA,
    *,
    exact: bool = False,
) -> list[Verdict]:
    """Return a verdict on each cell.

    Args:
        cells: what was, and what is.
        tolerance: changes of at most this many nats are ignored.
        alpha: the probability that anything is called changed where nothing is.
        exact: whether machine, versions and sources are the same, so that every number must be.
    """
    differences = [cell.pairs[1] - cell.pairs[0] for cell in cells]
    adjusted = holm([sign_flip(values) for values in differences])
    return [
        _verdict(cell, values, p_value, tolerance, alpha / len(cells), len(cells), exact)
        for cell, values, p_value in zip(cells, differences, adjusted, strict=True)
    ]


def _verdict(
    cell: Cell,
    differences: Numbers,
    p_holm: float,
    tolerance: float,
    level: float,
    tests: int,
    exact: bool,
) -> Verdict:
    change, error = _mean(differences), _standard_error(differences)
    least = _least_found(differences, tolerance, level)
    found = {
        NEWLY_FAILING: _newly_failing(cell),
        TRUTH_CHANGED: _other(cell, "truth", ("true_mi_low_nats", "true_mi_high_nats"), cell.finished),
        CEILING_CHANGED: _other(cell, "ceiling", ("ceiling_nats",), cell.finished),
        ABOVE_CEILING: _above_ceiling(cell),
        CHANGED: "",
        EXACT_CHANGED: _other(
            cell, "value at the exact ratio", ("exact_nats", "oracle_nats"), cell.read_alike
        ),
        DEFAULT_CHANGED: _default_changed(cell),
        NOT_DETERMINISTIC: _not_deterministic(cell) if exact else "",
        CANNOT_DETECT: _cannot_detect(len(differences), least, tolerance, level),
    }
    if abs(change) > tolerance and p_holm <= level * tests:
        found[CHANGED] = f"changed by {change:+.3f} ±{error:.3f} nats (p = {p_holm:.2g}, Holm over {tests})"
    wrong = [status for status in FAILING if found[status]]
    shown = wrong or ([CANNOT_DETECT] if found[CANNOT_DETECT] else [])
    return Verdict(
        cell=cell,
        status=shown[0] if shown else FINE,
        message="; ".join(found[status] for status in shown),
        before_nats=_mean(cell.pairs[0]),
        now_nats=_mean(cell.pairs[1]),
        change_nats=change,
        change_se_nats=error,
        p_holm=p_holm,
        detectable_nats=least,
    )


def _mean(values: Numbers) -> float:
    return float(values.mean()) if len(values) else math.nan


def _standard_error(values: Numbers) -> float:
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def _least_found(differences: Numbers, tolerance: float, level: float) -> float:
    """Return the smallest change that this test with this spread could have found."""
    # In the direction of the change: then one above this is significant.
    direction = math.copysign(1.0, _mean(differences))
    return max(tolerance, detectable(direction * differences, level))


def _other(cell: Cell, what: str, names: Sequence[str], places: Sequence[int]) -> str:
    """Say what a known number was and is, on average over the runs at some places, where it has changed."""
    # A ceiling is a formula, whatever the encoder.
    tolerance = KNOWN_NATS if what == "ceiling" else cell.known_tolerance
    for name in names:
        if name not in cell.known_before:
            continue
        before, now = (
            np.array([known[name][place] for place in places], dtype=float)
            for known in (cell.known_before, cell.known_now)
        )
        changes = np.abs(now - before)
        appeared = np.isnan(before) != np.isnan(now)
        if appeared.any() or _mean(changes[~np.isnan(changes)]) > tolerance:
            return f"the {what} changed: {_in_words(before)} in the baseline, {_in_words(now)} now"
    return ""


def _in_words(values: Numbers) -> str:
    known = values[~np.isnan(values)]
    return f"{known.mean():.6f} nats" if len(known) else "none"


def _default_changed(cell: Cell) -> str:
    """Say what has another name: names show the options that are not the default."""
    renamed = [
        f"{was} is {cell.settings[kind]} now"
        for kind, was in cell.names.items()
        if cell.settings[kind] != was
    ]
    return f"a default changed: {', '.join(renamed)}" if renamed else ""


def _newly_failing(cell: Cell) -> str:
    new = [
        seed
        for seed, before, now in zip(cell.seeds, cell.before, cell.now, strict=True)
        if before is not None and now is None
    ]
    if not new:
        return ""
    why = f": {cell.failures[new[0]]}" if new[0] in cell.failures else ""
    return f"{len(new)} of {len(cell.seeds)} runs newly fail, the first at seed {new[0]}{why}"


def _above_ceiling(cell: Cell) -> str:
    highest = max((value for value in cell.now if value is not None), default=-math.inf)
    if cell.ceiling_nats is None or highest <= cell.ceiling_nats + CEILING_SLACK_NATS:
        return ""
    return f"an estimate of {highest:.6f} nats is above its ceiling, {cell.ceiling_nats:.6f}"


def _not_deterministic(cell: Cell) -> str:
    pairs = list(zip(cell.before, cell.now, strict=True))
    other = sum(before != now for before, now in pairs if now is not None)
    if not other:
        return ""
    largest = np.abs(cell.pairs[1] - cell.pairs[0]).max(initial=0.0)
    return (
        f"not deterministic: {other} of {len(pairs)} numbers are not those of the baseline, by up to "
        f"{largest:.2g} nats, on the same machine with the same versions"
    )


def _cannot_detect(seeds: int, least: float, tolerance: float, level: float) -> str:
    if least <= tolerance:
        return ""
    if math.isinf(least):
        return f"cannot detect any change with {seeds} paired seeds: {seeds_words(1, level)}"
    found = f"cannot detect less than {least:.3f} nats"
    if tolerance == 0:
        return found
    return f"{found}; about {math.ceil(seeds * (least / tolerance) ** 2)} seeds would suffice"
