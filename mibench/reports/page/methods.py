"""The methods of a set of records in words, with citations, as a paper has them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from mibench.analysis.cells import CELL, FIT, NATS_IN, summarise
from mibench.reports.page.citations import ADAM, BARBER_AGAKOV, ONE_CYCLE, Citations
from mibench.reports.page.content import About
from mibench.reports.page.templates import environment
from mibench.reports.tables import setting
from mibench.reports.words import INSIDE_NOTE, counted, listed, numbers, seeds, sentence_part
from mibench.store.record import NO_ENCODER

_TRAINING = ["protocol", "samples", *FIT[1:]]


def methods(
    records: pd.DataFrame,
    citations: Citations,
    about: About,
    unit: str = "nats",
    target_se_nats: float = math.nan,
    most_rows: int = 0,
) -> list[str]:
    """Return the methods as paragraphs: what was estimated, how models were trained, what is reported.

    `target_se_nats` and `most_rows` are where the engine stops reading fresh batches.
    """
    made = environment()
    made.filters |= {
        "filled": lambda protocol: made.from_string(protocol["methods"]).render(protocol),
        "listed": listed,
        "named": partial(_named, citations),
        "numbers": numbers,
        "seeds": seeds,
        "setting": setting,
        "spread": _spread,
    }
    made.tests["nan"] = pd.isna
    made.globals |= {"cite": citations.cite, "counted": counted, "unit": unit}
    made.globals |= {"ADAM": ADAM, "ONE_CYCLE": ONE_CYCLE, "BARBER_AGAKOV": BARBER_AGAKOV}
    made.globals |= {"target_se_nats": target_se_nats, "most_rows": most_rows, "inside_note": INSIDE_NOTE}
    facts = _subjects(records, about, unit) | _training(records, about) | _reporting(records)
    text: Any = made.get_template("methods.j2").make_module(facts)
    return [" ".join(part().split()) for part in (text.subjects, text.training, text.reporting)]


def _named(citations: Citations, items: Sequence[Mapping[str, str]]) -> str:
    """Return labels as a list, each with its citation, and in brackets what it is."""
    words = []
    for item in items:
        about = f" ({item['about']})" if item["about"] else ""
        words.append(f"{item['label']}{citations.cite(item['reference'], item['bibtex'])}{about}")
    return listed(words)


def _spread(values: Sequence[float]) -> str:
    """Return `100`, or `100 to 2,000`."""
    return " to ".join(dict.fromkeys(f"{int(value):,}" for value in (min(values), max(values))))


def _subjects(records: pd.DataFrame, about: About, unit: str) -> dict[str, Any]:
    """Return what was estimated, by what, and how the truth is known."""
    encoded = records[records["encoder"] != NO_ENCODER]
    encoders = encoded.drop_duplicates(["task", "true_mi_nats", "encoder", "seed"])
    dims = sorted(set(zip(records["dim_x"], records["dim_y"], strict=True)))
    return {
        "tasks": _items(records, "task", about),
        "dims": dims,
        "square": all(x == y for x, y in dims),
        "levels": list(records["true_mi_nats"].dropna() / NATS_IN[unit]),
        "encoders": _items(encoded, "encoder", about),
        "truths": _truths(encoded),
        "count_encoders": len(encoders),
        "lost_encoders": int(encoders["true_mi_low_nats"].isna().sum()),
        "estimators": _items(records, "estimator", about),
        "critics": _items(records.dropna(subset="critic"), "critic", about),
        "untrained": list(records[records["critic"].isna()]["estimator"].unique()),
        "ns": list(records["n"]),
    }


def _reporting(records: pd.DataFrame) -> dict[str, Any]:
    """Return what is reported of how many runs, and who made them."""
    finished, cells = records[records["status"] == "ok"], summarise(records)
    return {
        "finished": len(finished),
        "split": int(finished["oracle_nats"].notna().sum()),
        "has_single": bool((cells["runs"] - cells["failed"] == 1).any()),
        "saturated": int(cells["saturated"].sum()),
        "cells": len(cells),
        "failed": len(records) - len(finished),
        "failures": _failures(records),
        "runs": len(records),
        "makers": [
            {"version": version, "device": device, "runs": len(group)}
            for (version, device), group in records.groupby(["version", "device"])
        ],
    }


def _items(records: pd.DataFrame, kind: str, about: About) -> list[dict[str, str]]:
    """Return each label of a kind with what it is: its reference, and a formula or summary with options."""
    items: list[dict[str, str]] = []
    for _, record in records.drop_duplicates(kind).iterrows():
        choice = record["choices"][kind]
        known = about.get((kind, choice["name"]), {})
        summary = sentence_part(str(known.get("summary", "")))
        options = ", ".join(f"{name} {setting(value)}" for name, value in choice["options"].items())
        formula = str(known.get("formula", ""))
        repeated = any(formula in item["about"] for item in items)
        words = {
            "task": [summary],
            "encoder": ["" if repeated else formula, options],
            "critic": [summary, options],
            "estimator": [],
        }[kind]
        described = ("; " if kind == "critic" else ", ").join(filter(None, words))
        reference, bibtex = (str(known.get(name, "")) for name in ("reference", "bibtex"))
        items.append(
            {
                "label": str(record[kind]),
                "about": described,
                "reference": reference,
                "bibtex": bibtex if kind == "estimator" else "",
            }
        )
    return items


_LOWER_ENDS = {
    "cpc": "h(y) + E log q(y | z) with a Gaussian regression q that was fitted to other data",
    "digits": "the exact MI of the table of the classes that linear probes, trained on other images, predict "
    "on either side",
}
"""How the MI of representations is bounded from below, in records that do not say it themselves."""


def _truths(encoded: pd.DataFrame) -> list[dict[str, Any]]:
    """Return how the MI of representations is known: on which tasks, exactly or in between, and how."""
    known = encoded.dropna(subset=["true_mi_low_nats", "true_mi_high_nats"])
    is_exact = known["true_mi_low_nats"] == known["true_mi_high_nats"]
    names = known["choices"].map(lambda choices: choices["task"]["name"])
    how = known["truth"].where(known["truth"].notna() | is_exact, names.map(_LOWER_ENDS))
    return [
        {
            "exact": exact,
            "how": words if isinstance(words, str) else "",
            "tasks": list(group["task"].unique()),
            "confidence": group["truth_confidence"].min(),
            "by_regression": words == _LOWER_ENDS["cpc"],
        }
        for (exact, words), group in known.groupby([is_exact, how], sort=False, dropna=False)
    ]


def _training(records: pd.DataFrame, about: About) -> dict[str, Any]:
    """Return how models were trained, which estimators shared them, and what each protocol did."""
    trained = records.dropna(subset="critic")
    groups = [group for _, group in trained.groupby(_TRAINING, sort=False, dropna=False)]
    users = [sorted(group["estimator"].unique()) for group in groups]
    is_said = len(set(map(tuple, users))) > 1
    each = [
        {**group.iloc[0][_TRAINING], "users": names if is_said else []}
        for group, names in zip(groups, users, strict=True)
    ]
    alike = [column for column in ("precision", "protocol") if trained[column].nunique() == 1]
    counts = records.groupby(CELL, dropna=False)["seed"].nunique()
    return {
        "trainings": {"alike": alike, "each": each},
        "seeds_least": counts.min(),
        "seeds_most": counts.max(),
        "seeds_used": list(records["seed"]),
        "shared": _shared(trained),
        "protocols": [_protocol(group, about) for _, group in records.groupby("protocol", sort=False)],
    }


def _shared(trained: pd.DataFrame) -> list[tuple[tuple[str, ...], str]]:
    """Return the estimators that were read from the same models, and the objective of these."""
    readers = trained.groupby("training")["estimator"].unique().map(sorted).map(tuple)
    objective = trained.drop_duplicates("training").set_index("training")["objective"]
    groups = sorted({names for names in readers if len(names) > 1})
    return [(names, str(objective[readers[readers == names].index[0]])) for names in groups]


def _protocol(group: pd.DataFrame, about: About) -> dict[str, Any]:
    """Return what a protocol says of its methods, with what can be filled in: its options, and counts."""
    choice, steps = group["choices"].iloc[0]["protocol"], group["best_step"].dropna()
    known = about.get(("protocol", choice["name"]), {})
    # Of a version with other options nothing is said.
    is_as_stored = {option["name"] for option in known.get("options", ())} <= choice["options"].keys()
    return {
        **choice["options"],
        "methods": str(known.get("methods", "")) if is_as_stored else "",
        "reference": str(known.get("reference", "")),
        "batches": list(group["batches"].dropna()),
        "best_steps": list(steps[steps > 0]),
        "constant": int((steps == 0).sum()),
    }


def _failures(records: pd.DataFrame) -> list[str]:
    """Say for each estimator how many runs failed, and why."""
    failed, sentences = records[records["status"] != "ok"], []
    for label, group in failed.groupby("estimator", sort=False):
        reasons = group.groupby("status", sort=False)["message"].first()
        why = "; ".join(": ".join(filter(None, reason)) for reason in reasons.items())  # type: ignore[arg-type]
        more = ", for example" if group["message"].nunique() > len(reasons) else ""
        sentences.append(f"{label} {len(group)} of {(records['estimator'] == label).sum()} ({why}{more})")
    return sentences
