"""Our numbers beside published ones, as a table."""

from __future__ import annotations

import pandas as pd

from mibench.analysis.cells import in_unit
from mibench.analysis.reproduction import DIFFERS
from mibench.reports.tables import NOT_MEASURED, Table, caption, rounded, setting


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
