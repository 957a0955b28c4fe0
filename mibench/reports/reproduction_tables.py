"""Our numbers beside published ones, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mibench.analysis.cells import shown_in
from mibench.analysis.reproduction import DIFFERS
from mibench.reports.tables import NOT_MEASURED, Table, caption, rounded, setting, table_of

_PUBLISHED = ("Published", "Ours - published", "Noise", "Verdict")


def table(rows: pd.DataFrame, notes: list[str], unit: str = "nats") -> Table:
    """Return ours beside theirs."""
    has_published = rows["published_nats"].notna().any()
    shown = [_row(row) for row in shown_in(rows, unit).to_dict("records")]
    said = [f"In {unit}. Ours: mean over seeds; Std: standard deviation from seed to seed."]
    if has_published:
        said.append(
            "Noise: half the width of the interval in which one more run of ours lies with probability 95%, "
            f"and the error of reading; '{DIFFERS}' lies outside it. One in twenty does so by chance; few "
            "seeds make the interval wide."
        )
    without = () if has_published else _PUBLISHED
    return table_of(shown, without, caption(rows, ["estimator", "critic", "true_mi_nats"]), [*said, *notes])


def _row(row: Mapping[Any, Any]) -> dict[str, str]:
    return {
        "critic": row["critic_name"],
        "estimator": row["estimator"],
        "True MI": setting(row["true_mi"]),
        "Ours": rounded(row["mean"]),
        "Std": rounded(row["std"]),
        "Seeds": str(row["runs"] - row["failed"]),
        "At exact ratio": rounded(row["exact"]),
        "Published": rounded(row["published"]),
        "Ours - published": rounded(row["difference"], sign=True),
        "Noise": rounded(row["noise"]),
        "Verdict": row["verdict"] or NOT_MEASURED,
    }
