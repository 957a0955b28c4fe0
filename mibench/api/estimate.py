"""The mutual information of one's own data: the `samples` protocol with every chosen estimator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from mibench import encoders, estimators, protocols
from mibench.analysis.significance import half_width
from mibench.api.plan import OneOrMore, check_memory, chosen_estimators, chosen_seeds, positive_rate
from mibench.engine import device as devices
from mibench.engine import execute as engine
from mibench.engine.plan import Pack, packs
from mibench.errors import UsageError
from mibench.models import critics
from mibench.protocols import Samples
from mibench.registry import whole_number
from mibench.spec import NO_ENCODER, RunSpec, grid
from mibench.tasks.data import Data

if TYPE_CHECKING:
    from mibench.registry import Choice

DEFAULT_ESTIMATORS = ("infonce", "nwj", "mine", "smile")
DEFAULT_SEEDS = 5
DEFAULT_STEPS = 2000

LARGEST_N = 500
BATCHES_A_PART = 4
"""The default n is the largest of which the smallest part has so many batches, for ceilings grow with it."""

NEAR_CEILING = 0.85
SHUFFLED_NATS = 0.1
"""Shuffled data that read so far from 0, and whose interval leaves it out, say that something is wrong."""


@dataclass(frozen=True)
class Estimates:
    """Estimates of one data set.

    Attributes:
        table: a row an estimator: `estimate_nats` (mean over splits and seeds of the value on the test part),
            its interval `low_nats` to `high_nats`, `ceiling_nats`, `train_nats` and `validation_nats` (the
            same read-out on what the critic was fitted and selected on), `shuffled_nats` with
            `shuffled_low_nats` and `shuffled_high_nats` (the same with y shuffled: should be about 0), `runs`
            and `failed` of both kinds.
        runs: a row a run: estimator, seed, shuffled, estimate, status, message.
        n: size of the score matrix.
        rows: how many pairs there are, `parts` of them for training, validation and test.
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

    specs: tuple[RunSpec, ...]
    tasks: Mapping[Choice, Data]
    protocol: Samples
    n: int
    device: torch.device
    device_message: str

    def packs(self, specs: Sequence[RunSpec]) -> list[Pack]:
        """Return the packs in which runs train."""
        return packs(specs, devices.budget_bytes(self.device), lambda spec: self.tasks[spec.task])


def estimate(x: Any, y: Any, estimator: OneOrMore[str] = DEFAULT_ESTIMATORS, **settings: Any) -> Estimates:  # noqa: ANN401
    """Estimate the mutual information of x and y, arrays or tensors with a row a pair.

        found = mibench.estimate(x, y)
        found.table, found.warnings

    Every column is centred and scaled to unit variance, which leaves the mutual information as it is. Each
    seed splits the rows anew into train, validation and test; a critic is trained with early stopping and
    read out from the test part. The interval is Student's at 95% over the seeds, with the variance corrected
    for splits that share rows (Nadeau & Bengio 2003, Machine Learning 52):
    s^2 (1/J + test/(train + validation)) for J splits. It is an interval for what the estimator reads at this
    n, which can lie below the truth.

    Args:
        x: rows of numbers, (rows, columns) or (rows,).
        y: the same number of rows.
        estimator: names with options (infonce, nwj, mine, smile).
        settings: `n` (a quarter of the smallest part, at most 500), `critic` ("separable"), `seeds` (5, each
            with a split of its own), `steps` (2000 at most), `lr` (5e-4), `train` and `validation` (shares:
            0.6 and 0.2), `shuffle` (whether to check with y shuffled: True), `device` ("auto").

    Raises:
        UsageError: values that are not finite numbers, constant columns, x and y of different length, too few
            rows, and what `mibench.run` raises.
    """
    return run(prepare(x, y, estimator, **settings))


def prepare(
    x: Any,  # noqa: ANN401 - whatever numpy or torch make an array of
    y: Any,  # noqa: ANN401
    estimator: OneOrMore[str] = DEFAULT_ESTIMATORS,
    *,
    n: int | str | None = None,
    critic: str = "separable",
    seeds: OneOrMore[int | str] = DEFAULT_SEEDS,
    steps: int | str = DEFAULT_STEPS,
    lr: float | str | None = None,
    train: float = 0.6,
    validation: float = 0.2,
    shuffle: bool = True,
    device: str = "auto",
) -> Estimation:
    """Check data and settings; nothing is trained. For the arguments see `estimate`."""
    columns = {"x": _numbers(x, "x"), "y": _numbers(y, "y")}
    rows = {name: len(values) for name, values in columns.items()}
    if rows["x"] != rows["y"]:
        raise UsageError(
            f"x has {rows['x']} rows, y has {rows['y']}.", "Give one row of x and one of y for each pair."
        )
    side_x, side_y = (_standardised(values, name) for name, values in columns.items())
    chosen = protocols.registry.choose("samples", size=rows["x"], train=train, validation=validation)
    protocol = protocols.registry.make(chosen)
    assert isinstance(protocol, Samples)
    size = (
        max(2, min(LARGEST_N, min(protocol.parts) // BATCHES_A_PART))
        if n is None
        else whole_number(n, "n", 2)
    )
    count = whole_number(steps, "steps", least=1)
    protocol.check(size, count)
    names = chosen_estimators(estimator)
    for name in names:
        estimators.registry.make(name).check(size)
    data = [Data(side_x, side_y, shuffled) for shuffled in (False, True)[: 1 + shuffle]]
    with_critic = encoders.registry.choose(NO_ENCODER), critics.registry.choose(critic)
    specs = grid(
        estimators=names,
        sources=[(task.choice, *with_critic) for task in data],
        protocols=[chosen],
        ns=[size],
        seeds=chosen_seeds(seeds),
        steps=count,
        lr=positive_rate(lr),
        schedule="constant",
        precision="float32",
    )
    where, message = devices.resolve(device)
    prepared = Estimation(tuple(specs), {task.choice: task for task in data}, protocol, size, where, message)
    check_memory(prepared.packs(prepared.specs), where)
    return prepared


def run(prepared: Estimation, report: Callable[[float], None] = lambda work: None) -> Estimates:
    """Run what was prepared; `report` is told of the work done, as the packs' `work` counts it."""
    done = engine.execute(prepared.packs(prepared.specs), prepared.device, report)
    outcomes = {outcome.spec: outcome for pack in done for outcome in pack}
    runs = pd.DataFrame([_row(outcomes[spec]) for spec in prepared.specs])
    table = pd.DataFrame(
        [_summary(str(label), group, prepared) for label, group in runs.groupby("estimator", sort=False)]
    )
    return Estimates(
        table, runs, prepared.n, prepared.protocol.size, prepared.protocol.parts, _warnings(table, runs)
    )


def _row(outcome: engine.Outcome) -> dict[str, Any]:
    readout = outcome.readout
    return {
        "estimator": outcome.spec.estimator.label,
        "seed": outcome.spec.seed,
        "shuffled": dict(outcome.spec.task.options)["shuffled"],
        "estimate_nats": readout.estimate if readout else math.nan,
        "train_nats": readout.train if readout else math.nan,
        "validation_nats": readout.validation if readout else math.nan,
        "best_step": readout.best_step if readout else None,
        "status": outcome.status,
        "message": outcome.message,
    }


def _summary(label: str, runs: pd.DataFrame, prepared: Estimation) -> dict[str, Any]:
    own, shuffled = runs[~runs["shuffled"]], runs[runs["shuffled"]]
    train, validation, test = prepared.protocol.parts
    share = test / (train + validation)
    value, low, high = interval(own["estimate_nats"].dropna().to_numpy(dtype=float), share)
    zero, zero_low, zero_high = interval(shuffled["estimate_nats"].dropna().to_numpy(dtype=float), share)
    ceiling = estimators.get(label).ceiling(prepared.n)
    return {
        "estimator": label,
        "estimate_nats": value,
        "low_nats": low,
        "high_nats": high,
        "ceiling_nats": math.nan if ceiling is None else ceiling,
        "train_nats": own["train_nats"].mean(),
        "validation_nats": own["validation_nats"].mean(),
        "shuffled_nats": zero,
        "shuffled_low_nats": zero_low,
        "shuffled_high_nats": zero_high,
        "runs": len(runs),
        "failed": int((runs["status"] != "ok").sum()),
    }


def interval(values: NDArray[np.float64], share: float) -> tuple[float, float, float]:
    """Return the mean of values over J random splits, and its 95% interval, corrected for rows in common.

    `share` is the ratio of test rows to the others. Reference: Nadeau & Bengio 2003, Machine Learning 52.
    """
    if len(values) < 2:
        only = float(values[0]) if len(values) else math.nan
        return only, math.nan, math.nan
    mean, half = float(values.mean()), half_width(float(values.std(ddof=1)), len(values), share)
    return mean, mean - half, mean + half


def _warnings(table: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    found = []
    for row in table.to_dict("records"):
        name = row["estimator"]
        if row["estimate_nats"] > NEAR_CEILING * row["ceiling_nats"]:
            found.append(
                f"{name} reads {row['estimate_nats']:.2f} nats, within 15% of its ceiling of "
                f"{row['ceiling_nats']:.2f} at this n: the truth may be far above. "
                "More samples allow a larger n."
            )
        beside = row["shuffled_low_nats"] > 0 or row["shuffled_high_nats"] < 0
        if beside and abs(row["shuffled_nats"]) > SHUFFLED_NATS:
            found.append(
                f"{name} reads {row['shuffled_nats']:.2f} nats where y were shuffled and the truth is 0: "
                "do not trust its value here."
            )
    found += _nothing_found(runs[~runs["shuffled"]])
    failed = runs[runs["status"] != "ok"]
    if len(failed):
        found.append(
            f"{len(failed)} of {len(runs)} runs failed and are in no value: {failed['message'].iloc[0]}."
        )
    if (runs.groupby("estimator")["seed"].nunique() < 2).all():
        found.append("One seed gives no interval: give two or more.")
    return found


def _nothing_found(runs: pd.DataFrame) -> list[str]:
    """Say in how many splits of each estimator a constant critic was kept."""
    constant = [
        f"{label} ({int((group['best_step'] == 0).sum())} of {len(group)} splits)"
        for label, group in runs.groupby("estimator", sort=False)
        if (group["best_step"] == 0).any()
    ]
    if not constant:
        return []
    why = "since no critic was better on validation than a constant one, which reads 0"
    return [f"No dependence was found, {why}: {', '.join(constant)}."]


def _numbers(values: Any, name: str) -> NDArray[np.float64]:  # noqa: ANN401
    """Return rows of finite numbers, (rows, columns)."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    try:
        array = np.asarray(values if isinstance(values, pd.DataFrame) else _plain(values), dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(
            f"{name} has values that are not numbers.",
            "Give numbers alone; leave out or encode other columns.",
        ) from None
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or 0 in array.shape:
        raise UsageError(
            f"{name} has the shape {array.shape}.", "Give rows and columns: reshape to (rows, columns)."
        )
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        row, column = bad[0]
        raise UsageError(
            f"{name} has {len(bad)} values that are NaN or infinite, first in row {row}, column {column}.",
            "Drop those rows, or fill them in.",
        )
    return array


def _plain(values: ArrayLike) -> ArrayLike:
    """Refuse what numpy would take for numbers though it is not: texts and complex values."""
    kind = np.asarray(values).dtype.kind
    if kind not in "biuf":
        raise TypeError(kind)
    return values


def _standardised(values: NDArray[np.float64], name: str) -> torch.Tensor:
    """Return columns of mean 0 and variance 1."""
    values = values / np.maximum(np.abs(values).max(0), np.finfo(float).tiny)  # or squares could overflow
    spread = values.std(0)
    constant = np.flatnonzero((values.min(0) == values.max(0)) | (spread == 0))
    if len(constant):
        raise UsageError(
            f"Column {constant[0]} of {name} is constant.", "Leave it out: it can have no information."
        )
    return torch.from_numpy((values - values.mean(0)) / spread)
