"""The pytest fixture `mibench_check`: `mibench check` within a test.

    def test_bias(mibench_check):
        mibench_check("baseline.json")

pytest finds it where mibench is installed. Importing this module imports neither torch nor pandas.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from mibench.api.check import Check


class MibenchCheck(Protocol):
    """What the fixture gives: `mibench.check`, which fails the test where a cell fails."""

    def __call__(
        self,
        baseline: Path | str = "reference",
        *,
        tolerance: float | None = None,
        alpha: float = 0.01,
        data: Path | str | Sequence[Path | str] = (),
        device: str = "auto",
    ) -> Check:
        """Return what was found, where it is fine."""


@pytest.fixture(scope="session")
def mibench_check() -> MibenchCheck:
    """Compare the runs of a baseline, done anew, with it; the test fails where a cell does."""

    def checked(
        baseline: Path | str = "reference",
        *,
        tolerance: float | None = None,
        alpha: float = 0.01,
        data: Path | str | Sequence[Path | str] = (),
        device: str = "auto",
    ) -> Check:
        from mibench.api.check import check
        from mibench.reports.tables import markdown

        found = check(baseline, tolerance=tolerance, alpha=alpha, data=data, device=device)
        if not found.fine:
            pytest.fail(f"{found.summary}\n\n{markdown(found.table())}", pytrace=False)
        return found

    return checked
