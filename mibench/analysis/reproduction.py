"""Our numbers beside published ones: how far apart, and is that more than the noise of a run?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mibench.analysis.cells import summarise
from mibench.analysis.significance import half_width

DIFFERS, WITHIN, CANNOT_TELL = "differs", "within noise", "cannot tell"

COLUMNS = ["estimator", "critic_name", "true_mi_nats"]


def beside(records: pd.DataFrame, published: pd.DataFrame | None) -> pd.DataFrame:
    """Return one row per cell: the columns of `summarise`, `published_nats`, the difference, and a verdict.

    `published` has the columns estimator, critic, true_mi_nats, estimate_nats and reading_error_nats, and
    `records` a column `critic_name`. A published number is taken as one run. It `differs` where it lies
    outside the interval in which one more run of ours would lie with probability 95%, widened by the error of
    reading the number from a figure: `noise_nats` is half its width.
    One seed cannot tell.
    """
    cells = summarise(records)
    names = records.drop_duplicates("critic").set_index("critic")["critic_name"]
    cells["critic_name"] = cells["critic"].map(names)
    if published is None:
        nothing = pd.DataFrame(columns=[*COLUMNS, "published_nats", "reading_error_nats"])
        published = nothing.astype(
            {"true_mi_nats": float, "published_nats": float, "reading_error_nats": float}
        )
    else:
        published = published.rename(columns={"critic": "critic_name", "estimate_nats": "published_nats"})
    rows = cells.merge(published, on=COLUMNS, how="left")
    rows["difference_nats"] = rows["mean_nats"] - rows["published_nats"]
    rows["noise_nats"] = [_noise(row) for row in rows.to_dict("records")]
    rows["verdict"] = [_verdict(row) for row in rows.to_dict("records")]
    return rows


def _noise(row: Mapping[Any, Any]) -> float:
    """Return half the width of the interval for one more run, and the error of reading."""
    runs = row["runs"] - row["failed"]
    return float(half_width(row["std_nats"], runs, extra=1.0) + row["reading_error_nats"])


def _verdict(row: Mapping[Any, Any]) -> str:
    if math.isnan(row["difference_nats"]):
        return ""
    if math.isnan(row["noise_nats"]):
        return CANNOT_TELL
    return DIFFERS if abs(row["difference_nats"]) > row["noise_nats"] else WITHIN
