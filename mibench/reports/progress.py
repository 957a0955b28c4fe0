"""Tables of a store that is being written: the processes at work, and how far they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mibench.reports.tables import NOT_MEASURED, Table, table_of
from mibench.store.presence import SILENT_SECONDS, Progress


def table(present: Sequence[tuple[Progress, float]]) -> Table:
    """Return a row for each process, given how old its last sign of life is in seconds."""
    rows = [_row(*each) for each in present]
    return table_of(rows, [], "", [])


def _row(progress: Progress, age: float) -> dict[str, str]:
    is_silent = age > SILENT_SECONDS
    share = progress.done / progress.total if progress.total else 0.0
    left = progress.seconds_left
    return {
        "process": f"{progress.host} {progress.pid}",
        "part": progress.part or "all",
        "workers": str(progress.workers),
        "stage": _sign_of_life(age) if is_silent else progress.title,
        "done": f"{share:.0%}",
        "finished": str(progress.finished),
        "failed": str(progress.failed),
        "left": str(progress.left),
        "runs/min": rate(progress),
        "time left": NOT_MEASURED if left is None or is_silent else duration(left),
    }


def _sign_of_life(age: float) -> str:
    return f"silent for {duration(age)}" if math.isfinite(age) else "killed"


def rate(progress: Progress) -> str:
    """Return how many runs a minute have ended, as a text."""
    minutes = (progress.updated - progress.started) / 60
    ended = progress.finished + progress.failed
    return f"{ended / minutes:.1f}" if ended and minutes > 0 else NOT_MEASURED


def duration(seconds: float) -> str:
    """Return a time as a text of its two largest units."""
    whole = max(0, round(seconds))
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
