"""The mutual information of a user's own data: the `samples` protocol with every chosen estimator."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import pandas as pd
from torch import Tensor

from mibench import estimators, models
from mibench.analysis.splits import summarise_splits, warnings
from mibench.api.arrays import paired, tied
from mibench.api.expand import View, runs_of
from mibench.api.observer import SILENT, Observer
from mibench.api.placement import Placement
from mibench.api.plan import Plan, placed, training_of
from mibench.api.run import train as train_jobs
from mibench.engine.jobs import Outcome
from mibench.engine.protocols import registry as protocols
from mibench.engine.protocols.samples import Samples
from mibench.engine.sources import Rows
from mibench.errors import UsageError
from mibench.grid import FitArguments, Grid, OneOrMore, read, takes
from mibench.registry import Choice
from mibench.reports.words import listed
from mibench.spec import RunSpec
from mibench.tasks.pair import of_rows

TRAIN, VALIDATION = 0.6, 0.2

MOST_TIED = 0.25
"""Where more rows than this share their value of a column, there is a warning of estimators that need
distinct ones. On rounded Gaussian pairs of 1 nat KSG reads 0.01 nats too high where the share is 0.23, 0.06
at 0.55 and 0.2 at 0.86."""

LARGEST_N = 500
BATCHES_PER_PART = 4
"""The default n is the largest of which the smallest part has this many batches: ceilings grow with n."""


@dataclass(frozen=True)
class Estimates:
    """Estimates of one data set.

    Attributes:
        table: one row per estimator: whether it is `trained`, on which side of the MI it is a `bound`,
            `estimate_nats` (mean over splits and seeds of the value on the test
            part), its interval `low_nats` to `high_nats` (NaN of an estimator that trains nothing: it reads
            all rows, once), `ceiling_nats`, `train_nats` and `validation_nats` (the same estimate on what the
            model was fitted and selected on), `shuffled_nats` with `shuffled_low_nats` and
            `shuffled_high_nats` (the same with y shuffled: should be about 0), `runs` and `failed` of both
            kinds.
        runs: one row per run: estimator, seed, shuffled, trained, bound, estimate, status, message.
        n: size of the score matrix.
        rows: number of pairs, `parts` of them for training, validation and test.
        warnings: what a reader of the table must know.
    """

    table: pd.DataFrame
    runs: pd.DataFrame
    n: int
    rows: int
    parts: tuple[int, int, int]
    warnings: list[str]


@dataclass(frozen=True)
class Estimation:
    """Data and settings that have been checked: what `estimate` runs."""

    plan: Plan
    source: Rows
    protocol: Samples
    n: int
    warnings: list[str]


@takes(FitArguments)
def estimate(
    x: Any,  # noqa: ANN401 - what numpy or torch can read
    y: Any,  # noqa: ANN401
    estimator: OneOrMore[str] | None = None,
    *,
    train: float = TRAIN,
    validation: float = VALIDATION,
    shuffle: bool = True,
    **settings: Unpack[FitArguments],
) -> Estimates:
    """Estimate the mutual information of x and y, arrays or tensors with one row per pair.

    >>> import mibench
    >>> x, y = mibench.tasks.get("gaussian", dim=2, mi=1.0).sample(200)
    >>> found = mibench.estimate(x, y, "infonce", n=8, seeds=2, steps=5)
    >>> found.table["estimator"].tolist()
    ['infonce']
    >>> isinstance(found.warnings, list)
    True

    Every column is centred and scaled to unit variance, which leaves the mutual information as it is. Each
    seed splits the rows anew into train, validation and test; a model is trained with early stopping and
    evaluated on the test part. The interval is Student's at 95% over the seeds, with the variance corrected
    for splits that share rows (Nadeau & Bengio 2003, Machine Learning 52):
    s^2 (1/J + test/(train + validation)) for J splits. It is an interval for what the estimator gives at this
    n: the truth lies above the mean of a lower bound, and on either side of that of other estimators, whose
    interval does not hold the bias of their model. An estimator that trains nothing, such as ksg, reads all
    rows at once: its estimate is one value without an interval.

    Args:
        x: rows of numbers, (rows, columns) or (rows,).
        y: the same number of rows.
        {settings}
        train: share of the rows on which models are trained.
        validation: share of the rows that decide when to stop; the rest is the test part.
        shuffle: whether to check with y shuffled.

    Raises:
        UsageError: values that are not finite numbers, constant columns, x and y of different length, too few
            rows, and what `mibench.run` raises.
    """
    grid = read("estimate", {"estimator": estimator, **settings})
    return run(prepare(x, y, grid, train=train, validation=validation, shuffle=shuffle))


def prepare(
    x: Any,  # noqa: ANN401
    y: Any,  # noqa: ANN401
    grid: Grid,
    *,
    train: float | str = TRAIN,
    validation: float | str = VALIDATION,
    shuffle: bool = True,
) -> Estimation:
    """Check data and settings; nothing is trained. For the arguments see `estimate`."""
    side_x, side_y = paired(x, y)
    followed = protocols.choose("samples", size=len(side_x), train=train, validation=validation)
    protocol = protocols.make(followed)
    assert isinstance(protocol, Samples)
    largest = max(2, min(LARGEST_N, min(protocol.parts) // BATCHES_PER_PART))
    n = _only("n", grid.n) if grid.n else largest
    chosen = [estimators.registry.choose(name) for name in grid.estimator]
    kinds = (False, True) if shuffle else (False,)
    source = Rows({_choice(len(side_x), shuffled): (side_x, side_y, shuffled) for shuffled in kinds})
    views = [View(choice, None, of_rows(*rows)) for choice, rows in source.data.items()]
    training = training_of(grid, "estimate")
    for kind, named in _by_kind(training.models or ()).items():
        _only(kind, named)
    specs = runs_of(chosen, views, followed, [n], grid.seeds, training)
    if grid.n and all(spec.fit is None for spec in specs):
        raise UsageError(
            f"No estimator here can use n: {listed(grid.estimator)} read all {len(side_x)} rows at once.",
            "Leave out -n.",
        )
    once = [spec for spec in specs if spec.seed == grid.seeds[0] or _differs_by_seed(spec)]
    warned = [*_of_ties(chosen, side_x, "x"), *_of_ties(chosen, side_y, "y")]
    return Estimation(placed(once, Placement.of(grid), source), source, protocol, n, warned)


def _of_ties(chosen: Sequence[Choice], values: Tensor, side: str) -> list[str]:
    """Warn of equal values on a side of the data, where an estimator needs distinct ones."""
    names = [one.label for one in chosen if estimators.registry.make(one).needs_distinct_values]
    share = tied(values) if names else 0.0
    if share <= MOST_TIED:
        return []
    needs = "needs" if len(names) == 1 else "need"
    return [
        f"{listed(names)} {needs} distinct values, and in a column of {side} {share:.0%} of the rows share "
        "theirs: the estimate is too high. Add noise smaller than the steps between values, or give another "
        "estimator."
    ]


def _by_kind(chosen: Sequence[Choice]) -> dict[str, tuple[Choice, ...]]:
    """Return models by their kind."""
    found: dict[str, tuple[Choice, ...]] = {}
    for choice in chosen:
        kind = models.registry.load(choice.name).kind
        found[kind] = (*found.get(kind, ()), choice)
    return found


def _choice(rows: int, shuffled: bool) -> Choice:
    """Return what stands for the data in a run's identity: the number of rows alone.

    So rounding and the scale of the columns leave the splits as they are.
    """
    label = "data, y shuffled" if shuffled else "data"
    return Choice("data", 1, (("rows", rows), ("shuffled", shuffled)), label)


def _differs_by_seed(spec: RunSpec) -> bool:
    """Return whether a run splits or shuffles the rows: without either, every seed reads all of them."""
    return spec.fit is not None or bool(dict(spec.task.options)["shuffled"])


def _only(name: str, values: tuple[Any, ...]) -> Any:  # noqa: ANN401
    if len(values) > 1:
        raise UsageError(f"An estimate has one {name}, and {len(values)} are given.", f"Give one {name}.")
    return values[0]


def run(prepared: Estimation, observer: Observer = SILENT) -> Estimates:
    """Run what was prepared."""
    plan, parts = prepared.plan.of(prepared.plan.specs, prepared.source), prepared.protocol.parts
    observer.say(plan.device_message)
    done = train_jobs(plan, plan.jobs(source=prepared.source), observer)
    outcomes = {outcome.spec: outcome for outcome in done}
    runs = pd.DataFrame([_row(outcomes[spec]) for spec in plan.specs])
    table = summarise_splits(runs, parts[2] / (parts[0] + parts[1]))
    warned = [*prepared.warnings, *warnings(table, runs)]
    return Estimates(table, runs, prepared.n, prepared.protocol.size, parts, warned)


def _row(outcome: Outcome) -> dict[str, Any]:
    spec, readout = outcome.spec, outcome.readout
    estimator = estimators.registry.make(spec.estimator)
    ceiling = estimator.ceiling(spec.n)
    return {
        "estimator": spec.estimator.label,
        "seed": spec.seed,
        "shuffled": dict(spec.task.options)["shuffled"],
        "trained": spec.fit is not None,
        "bound": estimator.bound.side,
        **{f"{name}_nats": getattr(readout, name, math.nan) for name in ("estimate", "train", "validation")},
        "ceiling_nats": math.nan if ceiling is None else ceiling,
        "best_step": getattr(readout, "best_step", None),
        "status": outcome.status,
        "message": outcome.message,
    }
