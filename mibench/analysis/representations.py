"""The representations that encoders make: where the truth of each lies, and what else is known of it."""

from __future__ import annotations

import re

import pandas as pd

from mibench.analysis.cells import REPRESENTATION, error_name, measured
from mibench.store.record import NO_ENCODER

SOURCE = ["task", "true_mi_nats", "encoder"]
"""What makes an encoder, beside its seed."""

_KNOWN = ["true_mi_low_nats", "true_mi_high_nats", *REPRESENTATION, "encoder_ceiling_nats"]


def representations(records: pd.DataFrame) -> pd.DataFrame:
    """Return one row per task and encoder, over the seeds of the encoder; none where there are no encoders.

    Columns: `task`, `true_mi_nats` (of the task), `encoder`; the means of `true_mi_low_nats` and
    `true_mi_high_nats`, which hold the truth of the representation, and of `alignment`, `uniformity`,
    `effective_rank`, `probe_accuracy`, `probe_nats` and `encoder_nats`, with their standard errors across
    seeds; `encoder_ceiling_nats`; `seeds`, `failed`: the numbers of encoders and of those that failed;
    `reasons`.
    """
    encoded = records[records["encoder"] != NO_ENCODER]
    # All runs on an encoder's representation have the same facts of it: the first that has any counts.
    encoders = encoded.groupby([*SOURCE, "seed"], sort=False, dropna=False)[_KNOWN].first().reset_index()
    cells = [
        {**dict(zip(SOURCE, source, strict=True)), **_row(group), "reasons": _reasons(encoded, source)}
        for source, group in encoders.groupby(SOURCE, sort=False, dropna=False)
    ]
    return pd.DataFrame(cells, columns=[*SOURCE, *_COLUMNS])


_COLUMNS = [
    "true_mi_low_nats",
    "true_mi_high_nats",
    *(name for column in REPRESENTATION for name in (column, error_name(column))),
    "encoder_ceiling_nats",
    "seeds",
    "failed",
    "reasons",
]


def _row(encoders: pd.DataFrame) -> dict[str, object]:
    finished = encoders.dropna(subset=["true_mi_low_nats"])
    known = encoders if finished.empty else finished
    return {
        **known[_KNOWN].mean(),
        **measured(known, REPRESENTATION),
        "seeds": len(encoders),
        "failed": len(encoders) - len(finished),
    }


def _reasons(records: pd.DataFrame, source: tuple[object, ...]) -> str:
    """Return why encoders failed: one message of those that differ in a number alone."""
    own = records[(records[SOURCE] == list(source)).all(axis=1)]
    lost = own[own["true_mi_low_nats"].isna()].drop_duplicates("seed")["message"]
    alike = lost.groupby(lost.map(lambda text: re.sub(r"\d[\d.e+-]*", "#", text)), sort=False).first()
    return "; ".join(alike)
