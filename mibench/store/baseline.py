"""A baseline: the results of a grid, frozen in a small file that is meant to be committed.

The file is JSON with one line per cell, so that a diff shows which cells are new. What all cells share is
written once, before them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mibench.errors import UsageError, unknown
from mibench.store.record import KINDS

SCHEMA = 2
"""Raised when the form of the file changes; newer ones are refused."""

KNOWN = (
    "true_mi_low_nats",
    "true_mi_high_nats",
    "ceiling_nats",
    "exact_nats",
    "oracle_nats",
    "batches",
)
"""Fields of a record that are frozen beside its estimate since schema 2. None depends on the trained critic,
but for `batches`, the number on which both the estimate and the value at the exact ratio were read."""

SHIPPED = Path(__file__).parents[1] / "baselines"
REFERENCE = "reference"

HOW_TO_MAKE = "Make one with: mibench check --save FILE."


@dataclass(frozen=True)
class FrozenCell:
    """The results of a cell in nats, one per seed.

    Attributes:
        identity: that of its runs, without the seed.
        estimates: None for a run that failed.
        failures: why runs failed, by seed.
        names: of its estimator, task, encoder, critic and protocol, with the options that are not the
            default; none in baselines of schema 1.
        known: the fields in `KNOWN`; none in baselines of schema 1.
    """

    identity: Mapping[str, Any]
    estimates: Sequence[float | None]
    failures: Mapping[int, str]
    names: Mapping[str, str | None]
    known: Mapping[str, Sequence[float | None]]


@dataclass(frozen=True)
class Baseline:
    """Frozen cells, over the same seeds, and what they were made with.

    Attributes:
        made_with: versions, machine and sources; where all are the same again, so must every number be.
    """

    made_with: Mapping[str, Any]
    seeds: Sequence[int]
    cells: Sequence[FrozenCell]


def find(name: Path | str) -> Path:
    """Return the path of a baseline: that of a shipped one by its name, or the path itself.

    Raises:
        UsageError: there is none.
    """
    shipped = {path.stem: path for path in SHIPPED.glob("*.json")}
    if str(name) in shipped:
        return shipped[str(name)]
    path = Path(name)
    if path.is_dir():
        raise UsageError(f"The baseline {str(name)!r} is a folder.", "Give a file.")
    if not path.is_file():
        beside = (str(path.with_name(other.name)) for other in path.parent.glob("*.json"))
        raise unknown("baseline", str(name), [*shipped, *beside], HOW_TO_MAKE)
    return path


def to_text(baseline: Baseline) -> str:
    """Return the text of a baseline's file."""
    first, *others = (cell.identity for cell in baseline.cells)
    shared = {
        key: value
        for key, value in first.items()
        if all(key in cell and value == cell[key] for cell in others)
    }
    head = {
        "schema": SCHEMA,
        "made_with": baseline.made_with,
        "shared": shared,
        "seeds": list(baseline.seeds),
    }
    lines = [f"  {json.dumps(key)}: {_json(value)}," for key, value in head.items()]
    cells = ",\n".join(f"    {_json(_cell_values(cell, shared))}" for cell in baseline.cells)
    return "{\n" + "\n".join(lines) + f'\n  "cells": [\n{cells}\n  ]\n}}\n'


def _cell_values(cell: FrozenCell, shared: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in cell.identity.items() if key not in shared}
    failures = {"failures": cell.failures} if cell.failures else {}
    names = {"names": cell.names} if cell.names else {}
    known = {name: _once(values) for name, values in cell.known.items()}
    return {**own, **names, **known, "estimates_nats": list(cell.estimates), **failures}


def _once(values: Sequence[float | None]) -> list[float | None] | float | None:
    """Return the value of all seeds where they have the same, else the values."""
    return values[0] if len(set(values)) == 1 else list(values)


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def read(path: Path) -> Baseline:
    """Return the baseline of a file.

    Raises:
        UsageError: it cannot be read, is damaged, or was written by a newer version.
    """
    try:
        values = json.loads(path.read_text("utf-8"), parse_constant=_no_number)
        if isinstance(values, dict) and isinstance(values.get("schema"), int) and values["schema"] > SCHEMA:
            raise UsageError(
                f"The baseline {path} was written by a newer version of mibench: its schema is "
                f"{values['schema']}, and this version reads up to {SCHEMA}.",
                "Upgrade mibench, or make the baseline again with --save.",
            )
        return _from_values(values)
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.", HOW_TO_MAKE) from error
    except UsageError:
        raise
    except KeyError as error:
        raise _damaged(path, f"{error} is missing") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise _damaged(path, str(error)) from error


def _from_values(values: Any) -> Baseline:  # noqa: ANN401 - any JSON value
    _must(
        isinstance(values, dict) and values.get("schema") in range(1, SCHEMA + 1), "not a baseline of mibench"
    )
    seeds, shared = values["seeds"], values["shared"]
    whole = isinstance(seeds, list) and all(type(seed) is int and seed >= 0 for seed in seeds)
    _must(whole and seeds and len(set(seeds)) == len(seeds), "the seeds must be whole numbers, each once")
    _must(isinstance(shared, dict) and isinstance(values["made_with"], dict), "a part is not an object")
    _must(isinstance(values["cells"], list) and values["cells"], "there are no cells")
    known = KNOWN if values["schema"] > 1 else ()
    cells = [
        _cell(given, shared, len(seeds), known, number) for number, given in enumerate(values["cells"], 1)
    ]
    return Baseline(values["made_with"], seeds, cells)


def _cell(
    given: Any,  # noqa: ANN401 - any JSON value
    shared: Mapping[str, Any],
    seeds: int,
    known: Sequence[str],
    number: int,
) -> FrozenCell:
    _must(isinstance(given, dict), f"cell {number} is not an object")
    identity = {**shared, **given}
    estimates, failures = identity.pop("estimates_nats"), identity.pop("failures", {})
    names = identity.pop("names") if known else {}
    _must(isinstance(names, dict) and names.keys() <= {*KINDS}, f"cell {number} has no names")
    _must(isinstance(estimates, list), f"cell {number} has no list of estimates")
    values = {"estimates": estimates} | {name: _each(identity.pop(name), seeds) for name in known}
    for name, column in values.items():
        _must(len(column) == seeds, f"cell {number} has {len(column)} {name} for {seeds} seeds")
        _must(all(map(_is_measured, column)), f"{name} of cell {number} has a value that is no finite number")
    words = {int(seed): str(why) for seed, why in failures.items()}
    return FrozenCell(identity, values.pop("estimates"), words, names, values)


def _each(value: Any, seeds: int) -> list[Any]:  # noqa: ANN401 - any JSON value
    """Return the values of the seeds, which have one in common unless there is a list."""
    return value if isinstance(value, list) else [value] * seeds


def _is_measured(value: object) -> bool:
    return value is None or (type(value) in (int, float) and math.isfinite(value))  # type: ignore[arg-type]


def _must(true: object, what: str) -> None:
    if not true:
        raise ValueError(what)


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is not a number")


def _damaged(path: Path, what: str) -> UsageError:
    return UsageError(
        f"The baseline {path} is damaged: {what}.", "Restore it from a copy, or make it again with --save."
    )


def writable(path: Path) -> None:
    """Raise a UsageError where a new baseline cannot be written; nothing is."""
    if path.exists():
        what = "a folder" if path.is_dir() else "there already"
        raise UsageError(f"{str(path)!r} is {what}.", "Give another file, or delete that one first.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {str(path.parent)!r}.", "Make it first, or give another file.")
    if not path.suffix:
        raise UsageError(f"{str(path)!r} has no suffix.", f"Call it {path.name}.json.")


def write(path: Path, baseline: Baseline) -> None:
    """Write a baseline to a file that is new.

    Raises:
        UsageError: it cannot be written.
    """
    text = to_text(baseline)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror}.", "Give another file.") from error
