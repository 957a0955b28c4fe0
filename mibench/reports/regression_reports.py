"""The results of a check, for people and for machines: a table, JSON, GitHub annotations, JUnit XML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from mibench.analysis.cells import CELL
from mibench.analysis.regression import CANNOT_DETECT, Verdict
from mibench.reports.tables import TITLES, Table, caption, is_varying, rounded, setting, with_error
from mibench.store.record import to_json

SCHEMA = 2
"""Raised when the form of the JSON changes."""

SUITE = "mibench check"


def table(verdicts: Sequence[Verdict], notes: Sequence[str]) -> Table:
    """Return the cells and their verdicts, with notes."""
    settings = pd.DataFrame([dict(verdict.cell.settings) for verdict in verdicts], columns=CELL)
    varying = [name for name in CELL if name == "estimator" or is_varying(settings, name)]
    return Table(
        titles=[*(TITLES[name] for name in varying), "Baseline", "Now", "Change", "p (Holm)", "Verdict"],
        rows=[_row(verdict, varying) for verdict in verdicts],
        caption=caption(settings, varying),
        notes=[*notes, *(f"{verdict.cell.label}: {verdict.message}." for verdict in _explained(verdicts))],
    )


def _row(verdict: Verdict, varying: Sequence[str]) -> list[str]:
    return [
        *(setting(verdict.cell.settings[name]) for name in varying),
        rounded(verdict.before_nats),
        rounded(verdict.now_nats),
        with_error(verdict.change_nats, verdict.change_se_nats, sign=True),
        f"{verdict.p_holm:.2g}",
        _in_short(verdict),
    ]


def _in_short(verdict: Verdict) -> str:
    if verdict.status == CANNOT_DETECT and math.isfinite(verdict.detectable_nats):
        return f"cannot detect less than {verdict.detectable_nats:.3f} nats"
    return verdict.status


def _explained(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts whose message says more than their row, the first five."""
    return [v for v in verdicts if v.failing or math.isinf(v.detectable_nats)][:5]


def to_values(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return the verdicts as JSON values, with null where there is no number."""
    rows = [
        {
            **verdict.cell.settings,
            "ceiling_nats": verdict.cell.ceiling_nats,
            "runs": len(verdict.cell.seeds),
            "paired": verdict.cell.pairs.shape[1],
            "baseline_nats": verdict.before_nats,
            "estimate_nats": verdict.now_nats,
            "change_nats": verdict.change_nats,
            "change_se_nats": verdict.change_se_nats,
            "p_holm": verdict.p_holm,
            "detectable_nats": verdict.detectable_nats if verdict.detectable_nats < math.inf else math.nan,
            "status": verdict.status,
            "message": verdict.message,
        }
        for verdict in verdicts
    ]
    return to_json(pd.DataFrame(rows, dtype=object))


def github(verdicts: Sequence[Verdict]) -> list[str]:
    """Return an annotation for each cell with a message: an error where it fails, else a warning."""
    return [
        f"::{'error' if verdict.failing else 'warning'} "
        f"title={_property(f'{SUITE}: {verdict.cell.label}')}::{_escaped(verdict.message)}"
        for verdict in verdicts
        if verdict.message
    ]


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def junit(verdicts: Sequence[Verdict]) -> str:
    """Return the cells as test cases of JUnit's XML."""
    failing = [verdict for verdict in verdicts if verdict.failing]
    counts = {"tests": str(len(verdicts)), "failures": str(len(failing)), "errors": "0"}
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": SUITE, **counts, "skipped": "0"})
    for verdict in verdicts:
        case = ElementTree.SubElement(suite, "testcase", classname=SUITE, name=verdict.cell.label)
        if verdict.failing:
            failure = ElementTree.SubElement(case, "failure", type=verdict.status, message=verdict.message)
            failure.text = "\n".join(verdict.cell.failures.values()) or verdict.message
        elif verdict.message:
            ElementTree.SubElement(case, "system-out").text = verdict.message
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, "unicode", xml_declaration=True) + "\n"
