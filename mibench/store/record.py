"""One row of results, finished or failed, and its form on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import pandas as pd

from mibench.limits import LARGEST, too_high

SCHEMA = 7
"""Raised when a record's fields change; older ones are upgraded on reading, newer ones refused."""

LAST_UNJUDGED = 4
"""Up to this schema, a finished run could read more than it rightly can."""

NO_ENCODER = "none"
"""The encoder of a record whose estimator saw the task's own pair."""


@dataclass(frozen=True)
class Record:
    """What is known of one run. All information is in nats; what was not measured or has no meaning is None.

    `true_mi_nats` is that of the task. Where an encoder stands between the task and the estimator, that of
    the representation lies between `true_mi_low_nats` and `true_mi_high_nats`; without one both are the
    task's.

    The error of a run splits into `exact - true_mi` (the estimator itself at this n, at the exact density
    ratio), `estimate - oracle` (this model and its training) and `oracle - exact` (the batches that were
    read).

    Attributes:
        key: sha256 of the run's identity.
        choices: by kind ("estimator", "task", "encoder", "critic", "protocol") the name and all options of
            what was run, `{"name": ..., "options": {...}}`, or None where there is none. The labels in the
            fields of those names are for reading. Records of older schemas lack the options that labels do
            not show.
        training: sha256 of what its training depends on: records that have the same one are read from the
            same model, which was trained once. `objective` is what it was trained by. Both are None, as are
            `critic, steps, lr, schedule, precision`, for estimators that train nothing.
        bound: "lower" or "upper" where the estimator bounds the MI (its docstring says in what sense).
        oracle_is_best: whether no model can do better, in expectation, than the value at the exact ratio.
        truth, truth_confidence: how the truth is known ("closed form"), and at what confidence.
        train_n: rows of a training batch where that was set; else they are `n`, as of a batch that is read.
        anchors: rows of a batch that was read which were scored against all others, where that was set.
        protocol: `stream`, `staircase` or `samples`; `samples` is the size of the data set in the last.
        estimate_nats, estimate_se_nats: mean over the batches that were read, and its standard error; a
            single reading of all rows has none.
        batch_std_nats: standard deviation of a single batch's value; `batches` of them were read.
        oracle_nats, oracle_se_nats: the same reading of the same batches at the exact density ratio; None
            where that is not known.
        exact_nats, exact_se_nats: what the estimator reads at the exact density ratio, in expectation: the
            truth, with an error of 0, where the estimator is unbiased there; else the mean over as many
            batches as its own variance asks for.
        log_ratio_rmse_nats: root mean square error of the learned log density ratio on joint samples, and
            `log_partition_nats` the log of E_Q of the learned ratio, 0 where it is normalised (Z = 1).
        alignment, uniformity, effective_rank, probe_accuracy: of the representation, on data that its encoder
            has not seen; `probe_nats` is the information of a linear probe's predictions, the least that the
            representation has, `encoder_nats` what the recipe itself reads there, and `encoder_ceiling_nats`
            the most that it can read.
        critic_gap_se_nats: standard error of estimate - oracle, from the differences batch by batch.
        train_nats, validation_nats: the estimate on those parts of the data set, and `best_step` the step at
            which the model stood that was read, under the protocol `samples`.
        ceiling_nats: the largest value that the estimator can return at this n.
        saturated: the true information (of a representation, the lower end) is above the ceiling.
        status: `ok`, `diverged` or `failed`; `message` says why.
        wall_s: the run's share of its pack's time; `training_s`, the share of its whole training with all
            that was read from it, which does not depend on how many estimators shared that training.
        finished_at: UTC, ISO 8601.
    """

    key: str
    training: str | None
    objective: str | None
    estimator: str
    bound: str | None
    oracle_is_best: bool | None
    task: str
    dim_x: int
    dim_y: int
    true_mi_nats: float
    true_mi_low_nats: float | None
    true_mi_high_nats: float | None
    truth: str | None
    truth_confidence: float | None
    encoder: str
    n: int
    critic: str | None
    protocol: str
    samples: int | None
    train_n: int | None
    anchors: int | None
    steps: int | None
    lr: float | None
    schedule: str | None
    precision: str | None
    seed: int
    choices: dict[str, Any]
    estimate_nats: float | None
    estimate_se_nats: float | None
    batch_std_nats: float | None
    batches: int | None
    oracle_nats: float | None
    oracle_se_nats: float | None
    exact_nats: float | None
    exact_se_nats: float | None
    critic_gap_se_nats: float | None
    log_ratio_rmse_nats: float | None
    log_partition_nats: float | None
    alignment: float | None
    uniformity: float | None
    effective_rank: float | None
    probe_accuracy: float | None
    probe_nats: float | None
    encoder_nats: float | None
    encoder_ceiling_nats: float | None
    train_nats: float | None
    validation_nats: float | None
    best_step: int | None
    ceiling_nats: float | None
    saturated: bool
    status: str
    message: str
    wall_s: float
    training_s: float | None
    device: str
    version: str
    finished_at: str


_KNOWN_TODAY = {"digits": "enumeration of equal representations"}
"""By task, how the truth of representations is known today, where earlier versions had an interval."""


def is_superseded(record: Record) -> bool:
    """Return whether a record has a truth of its representation that is known better today."""
    today = _KNOWN_TODAY.get(record.choices["task"]["name"], record.truth)
    return record.encoder != NO_ENCODER and record.true_mi_low_nats is not None and record.truth != today


FIELDS: tuple[str, ...] = tuple(field.name for field in fields(Record))
STATUSES = ("ok", "diverged", "failed")
BOUNDS = ("lower", "upper", None)
KINDS = ("estimator", "task", "encoder", "critic", "protocol")
_TYPES = {
    name: get_args(hint) or (hint,) for name, hint in get_type_hints(Record).items() if name != "choices"
}
_WHOLE = {name for name, types in _TYPES.items() if int in types}
_FLOATS = [name for name, types in _TYPES.items() if NoneType in types and {int, float} & set(types)]
_LEAST = {
    **dict.fromkeys(("dim_x", "dim_y", "n", "samples", "steps", "batches"), 1),
    **dict.fromkeys(("seed", "best_step"), 0),
}
_MEASURED = ("true_mi_low_nats", "true_mi_high_nats", "estimate_nats")


class NewerSchemaError(ValueError):
    """A record written by a newer version of the program."""


def to_line(record: Record) -> str:
    """Return the record as one line of JSON."""
    return json.dumps({"schema": SCHEMA, **asdict(record)}, allow_nan=False) + "\n"


def from_line(line: str) -> Record:
    """Return the record of one line of JSON.

    Raises:
        NewerSchemaError: the line says that it has a newer schema.
        ValueError: it is not a record.
    """
    values = json.loads(line, parse_constant=_not_a_number)
    if not isinstance(values, dict) or type(values.get("schema")) is not int:
        raise ValueError("not a record")
    schema = values.pop("schema")
    if schema < 1:
        raise ValueError(f"schema cannot be {schema}")
    if schema > SCHEMA:
        raise NewerSchemaError(f"its schema is {schema}, and this version reads up to {SCHEMA}")
    for old, upgrade in _UPGRADES.items():
        if schema <= old:
            values = upgrade(values)
    record = _checked(values)
    return replace(record, **_judged_now(record)) if schema <= LAST_UNJUDGED else record


def _checked(values: dict[str, Any]) -> Record:
    """Return the record of values, or raise a ValueError that says which cannot be."""
    if set(values) != set(FIELDS):
        raise ValueError("a record with other fields")
    for name, types in _TYPES.items():
        if not _is_one(values[name], types):
            raise ValueError(f"{name} cannot be {values[name]!r}")
    for name, least in _LEAST.items():
        if values[name] is not None and values[name] < least:
            raise ValueError(f"{name} cannot be {values[name]!r}")
    if not _are_choices(values["choices"], values):
        raise ValueError(f"choices cannot be {values['choices']!r}")
    # A lone surrogate can be written in JSON but in no file of text.
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    record = Record(
        **values | {name: text.encode("utf-8", "replace").decode() for name, text in texts.items()}
    )
    if record.status not in STATUSES:
        raise ValueError(f"status cannot be {record.status!r}")
    if record.bound not in BOUNDS:
        raise ValueError(f"bound cannot be {record.bound!r}")
    if record.status == "ok" and None in (getattr(record, name) for name in _MEASURED):
        raise ValueError("a finished run without its result")
    return record


def _is_one(value: object, types: tuple[Any, ...]) -> bool:
    """Return whether a JSON value is of one of some types and no number too large to calculate with.

    In JSON a whole float is an int.
    """
    if type(value) is int:
        return (int in types or float in types) and abs(value) < 2**63
    return type(value) in types and not (isinstance(value, float) and abs(value) > LARGEST)


def _are_choices(value: Any, labels: Mapping[str, Any]) -> bool:  # noqa: ANN401 - any JSON value
    """Return whether a JSON value has a choice for each kind that has a label."""
    if not isinstance(value, dict) or value.keys() != set(KINDS):
        return False
    nothing = {"critic": None, "encoder": NO_ENCODER}
    return all(
        choice is None if kind in nothing and labels[kind] == nothing[kind] else _is_choice(choice)
        for kind, choice in value.items()
    )


def _is_choice(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    return (
        isinstance(value, dict)
        and value.keys() == {"name", "options"}
        and isinstance(value["name"], str)
        and isinstance(value["options"], dict)
        and all(_is_one(option, (str, int, float, bool, NoneType)) for option in value["options"].values())
    )


def _from_schema_1(values: dict[str, Any]) -> dict[str, Any]:
    """Return a record of the time when every run was a stream and had a training of its own."""
    own = {"training": values.get("key"), "objective": values.get("estimator"), "protocol": "stream"}
    return values | own | dict.fromkeys(("samples", "train_nats", "validation_nats", "best_step"))


_SINCE_SCHEMA_3 = (
    "log_ratio_rmse_nats",
    "log_partition_nats",
    "alignment",
    "uniformity",
    "effective_rank",
    "probe_accuracy",
    "encoder_nats",
    "encoder_ceiling_nats",
)


def _from_schema_2(values: dict[str, Any]) -> dict[str, Any]:
    """Return a record of the time when there were no encoders and every truth was a number."""
    truth = dict.fromkeys(("true_mi_low_nats", "true_mi_high_nats"), values.get("true_mi_nats"))
    return values | truth | dict.fromkeys(_SINCE_SCHEMA_3) | {"encoder": NO_ENCODER}


_SINCE_SCHEMA_4 = ("bound", "oracle_is_best", "truth", "truth_confidence", "training_s")


def _from_schema_3(values: dict[str, Any]) -> dict[str, Any]:
    """Return a record of the time when names and options were known from labels alone."""
    labels = {kind: str(values.get(kind)) for kind in KINDS}
    choices = {
        kind: None if kind == "encoder" and label == NO_ENCODER else _choice(kind, label)
        for kind, label in labels.items()
    }
    return values | dict.fromkeys(_SINCE_SCHEMA_4) | {"choices": choices}


_UNBIASED_IN_SCHEMA_4 = ("nwj", "js", "tuba", "nce", "ba", "doe")


def _from_schema_4(values: dict[str, Any]) -> dict[str, Any]:
    """Return a record of the time when values at the exact ratio were all sampled, and none was too high."""
    exact = {"exact_nats": values.get("oracle_nats"), "exact_se_nats": values.get("oracle_se_nats")}
    ends = values.get("true_mi_low_nats"), values.get("true_mi_high_nats")
    is_unbiased = str(values.get("estimator")).partition("[")[0] in _UNBIASED_IN_SCHEMA_4
    if is_unbiased and exact["exact_nats"] is not None and ends[0] == ends[1]:
        exact = {"exact_nats": ends[0], "exact_se_nats": 0.0}
    probe = ends[0] if values.get("probe_accuracy") is not None else None
    return values | exact | {"probe_nats": probe}


def _from_schema_5(values: dict[str, Any]) -> dict[str, Any]:
    """Return a record of the time when models were read at the n of their training."""
    return values | {"train_n": None}


def _from_schema_6(values: dict[str, Any]) -> dict[str, Any]:
    """Return a record of the time when nobody could say how many rows of a batch are anchors."""
    return values | {"anchors": None}


def _judged_now(record: Record) -> dict[str, Any]:
    """Return the status of a finished run that reads more than it rightly can, as it is judged today."""
    if record.status != "ok" or record.critic is None or record.bound == "upper":
        return {}
    assert record.estimate_nats is not None
    message = too_high(record.estimate_nats, record.oracle_nats, record.n)
    return {"status": "diverged", "message": message} if message else {}


_UPGRADES = {
    1: _from_schema_1,
    2: _from_schema_2,
    3: _from_schema_3,
    4: _from_schema_4,
    5: _from_schema_5,
    6: _from_schema_6,
}


@cache
def _options_of_schema_3() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the defaults at that time of the options that labels show where they differ from them."""
    found: dict[str, Any] = json.loads(
        Path(__file__).with_name("options_of_schema_3.json").read_text("utf-8")
    )
    return found


def _choice(kind: str, label: str) -> dict[str, Any]:
    """Return the name and options of a label such as `nce[k=5]`."""
    name, _, rest = label.partition("[")
    parts = (part.partition("=") for part in rest.removesuffix("]").split(",") if "=" in part)
    given = {key: _value(text) for key, _, text in parts}
    return {"name": name, "options": _options_of_schema_3()[kind].get(name, {}) | given}


def _value(text: str) -> str | int | float | bool | None:
    """Return the value of an option from its text in a label."""
    words = {"none": None, "true": True, "false": False}
    if text in words:
        return words[text]
    for kind in (int, float):
        with suppress(ValueError):
            if math.isfinite(number := kind(text)):
                return number
    return text


def _not_a_number(word: str) -> float:
    raise ValueError(f"{word} is not a number")


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return records as a table with one column per field; what was not measured is NaN."""
    # Not asdict, which copies the choices.
    rows = [[getattr(record, name) for name in FIELDS] for record in records]
    frame = pd.DataFrame(rows, columns=list(FIELDS))
    frame = frame.astype(dict.fromkeys(_FLOATS, float) | {"saturated": bool})
    return frame.astype({"steps": int}) if frame["steps"].notna().all() else frame


def to_json(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as JSON values, with null for NaN."""
    rows = frame.to_dict("records")
    return [{str(key): _json_value(str(key), value) for key, value in row.items()} for row in rows]


def _json_value(name: str, value: Any) -> Any:  # noqa: ANN401 - any value of a cell
    if isinstance(value, float):
        return None if math.isnan(value) else int(value) if name in _WHOLE else value
    return value
