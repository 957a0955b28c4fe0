"""x and y as a user has them in memory: numbers are checked, columns standardised."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from mibench.errors import UsageError


def paired(x: Any, y: Any) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401 - what numpy or torch can read
    """Return x and y as (rows, columns), every column of mean 0 and variance 1.

    Raises:
        UsageError: values that are not finite numbers, constant columns, or different numbers of rows.
    """
    rows_x, rows_y = _numbers(x, "x"), _numbers(y, "y")
    if len(rows_x) != len(rows_y):
        raise UsageError(
            f"x has {len(rows_x)} rows, y has {len(rows_y)}.", "Give one row of x and one of y for each pair."
        )
    return _standardised(rows_x, "x"), _standardised(rows_y, "y")


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
    """Refuse what numpy would convert to numbers although it holds none: texts and complex values."""
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
            f"Column {constant[0]} of {name} is constant.", "Leave it out: it carries no information."
        )
    return torch.from_numpy((values - values.mean(0)) / spread)


def tied(values: torch.Tensor) -> float:
    """Return the share of rows whose value another row has as well, in the column where it is largest."""
    counts = (np.unique(column, return_counts=True)[1] for column in values.numpy().T)
    return max(int(count[count > 1].sum()) for count in counts) / len(values)
