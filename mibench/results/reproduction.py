"""Our numbers beside published ones: how far apart, and is that more than the noise of a run?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mibench.results.statistics import CONFIDENCE, in_unit, summarise
from mibench.results.tables import NOT_MEASURED, Table, caption, rounded, setting

DIFFERS, WITHIN, CANNOT_TELL = "differs", "within noise", "cannot tell"

COLUMNS = ["estimator", "critic_name", "true_mi_nats"]


def beside(records: pd.DataFrame, published: pd.DataFrame | None) -> pd.DataFrame:
    """Return one row a cell: the columns of `summarise`, `published_nats`, the difference, and a verdict.

    `published` has the columns estimator, critic, true_mi_nats, estimate_nats and reading_error_nats, and
    `records` a column `critic_name`. A published number is taken as one run. It `differs` where it lies
    outside the interval in which one more run of ours would lie with probability 95%, widened by the error of
    reading the number from a figure: `noise_nats` is half its width. With one seed nothing can be told.
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
    """Return half the width of the interval for one more run."""
    from scipy import stats  # takes a second to import

    runs = row["runs"] - row["failed"]
    if runs < 2:
        return math.nan
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, runs - 1))
    return float(quantile * row["std_nats"] * math.sqrt(1 + 1 / runs) + row["reading_error_nats"])


def _verdict(row: Mapping[Any, Any]) -> str:
    if math.isnan(row["difference_nats"]):
        return ""
    if math.isnan(row["noise_nats"]):
        return CANNOT_TELL
    return DIFFERS if abs(row["difference_nats"]) > row["noise_nats"] else WITHIN


def table(rows: pd.DataFrame, notes: list[str], unit: str = "nats") -> Table:
    """Return ours beside theirs."""
    has_published = rows["published_nats"].notna().any()
    titles = ["critic", "estimator", "True MI", "Ours", "Std", "Seeds", "Exact critic"]
    titles += ["Published", "Ours - published", "Noise", "Verdict"] if has_published else []
    shown = []
    for row in in_unit(rows, unit).to_dict("records"):
        finished = row["runs"] - row["failed"]
        words = [row["critic_name"], row["estimator"], setting(row[f"true_mi_{unit}"])]
        words += [rounded(row[f"mean_{unit}"]), rounded(row[f"std_{unit}"]), str(finished)]
        words.append(rounded(row[f"oracle_{unit}"]))
        if has_published:
            words += [rounded(row[f"published_{unit}"]), rounded(row[f"difference_{unit}"], sign=True)]
            words += [rounded(row[f"noise_{unit}"]), row["verdict"] or NOT_MEASURED]
        shown.append(words)
    said = [f"In {unit}. Ours: mean over seeds; Std: standard deviation from seed to seed."]
    if has_published:
        said.append(
            "Noise: half the width of the interval in which one more run of ours lies with probability 95%, "
            f"and the error of reading; '{DIFFERS}' lies outside it. One in twenty does so by chance; few "
            "seeds make the interval wide."
        )
    return Table(titles, shown, caption(rows, ["estimator", "critic", "true_mi_nats"]), [*said, *notes])
