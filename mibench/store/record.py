"""One row of results, finished or failed, and its form on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

import pandas as pd

SCHEMA = 3
"""Raised when a record's fields change; older ones are upgraded on reading, newer ones refused."""

NO_ENCODER = "none"
"""The encoder of a record whose estimator saw the task's own pair."""


@dataclass(frozen=True)
class Record:
    """What is known of one run. All information is in nats; what a failed run did not measure is None.

    `true_mi_nats` is that of the task. Where an encoder stands between the task and the critic, that of the
    representation lies between `true_mi_low_nats` and `true_mi_high_nats`; without one both are the task's.

    The error of a run splits into `oracle - true_mi` (the bound at this n: no critic can do better) and
    `estimate - oracle` (this critic and its training), each with a sampling error.

    Attributes:
        key: sha256 of the run's identity.
        training: sha256 of what its training depends on: records that have the same one are read-outs of the
            same critic, which was trained once. `objective` is what it was trained by.
        protocol: `stream`, `staircase` or `samples`; `samples` is the size of the data set in the last.
        estimate_nats, estimate_se_nats: mean over the read-out batches, and its standard error.
        batch_std_nats: standard deviation of a single batch's value; `batches` of them were read.
        oracle_nats, oracle_se_nats: the same read-out on the same batches with the exact critic; None where
            the density ratio of a representation is not known.
        log_ratio_rmse_nats: root mean square error of the learned log density ratio on joint samples, and
            `log_partition_nats` the log of E_Q of the learned ratio, 0 where it is normalised (Z = 1).
        alignment, uniformity, effective_rank, probe_accuracy: of the representation, on data that its encoder
            never met; `encoder_nats` is what the recipe itself reads there, and `encoder_ceiling_nats` the
            most that it can read.
        critic_gap_se_nats: standard error of estimate - oracle, from the differences batch by batch.
        train_nats, validation_nats: the read-out on those parts of the data set, and `best_step` the step at
            which the critic stood that was read, under the protocol `samples`.
        ceiling_nats: the largest value that the read-out can return at this n.
        saturated: the true information (of a representation, the lower end) is above the ceiling.
        status: `ok`, `diverged` or `failed`; `message` says why.
        wall_s: the run's share of its pack's time.
        finished_at: UTC, ISO 8601.
    """

    key: str
    training: str | None
    objective: str | None
    estimator: str
    task: str
    dim_x: int
    dim_y: int
    true_mi_nats: float
    true_mi_low_nats: float | None
    true_mi_high_nats: float | None
    encoder: str
    n: int
    critic: str | None
    protocol: str
    samples: int | None
    steps: int | None
    lr: float | None
    schedule: str | None
    precision: str | None
    seed: int
    estimate_nats: float | None
    estimate_se_nats: float | None
    batch_std_nats: float | None
    batches: int | None
    oracle_nats: float | None
    oracle_se_nats: float | None
    critic_gap_se_nats: float | None
    log_ratio_rmse_nats: float | None
    log_partition_nats: float | None
    alignment: float | None
    uniformity: float | None
    effective_rank: float | None
    probe_accuracy: float | None
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
    device: str
    version: str
    finished_at: str


FIELDS: tuple[str, ...] = tuple(field.name for field in fields(Record))
STATUSES = ("ok", "diverged", "failed")
_NUMBERS_OR_NONE = [field.name for field in fields(Record) if field.type in ("float | None", "int | None")]
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
        ValueError: it is no record.
    """
    values = json.loads(line, parse_constant=_no_number)
    if not isinstance(values, dict) or not isinstance(values.get("schema"), int):
        raise ValueError("no record")
    schema = values.pop("schema")
    if schema > SCHEMA:
        raise NewerSchemaError("newer schema")
    if schema == 1:
        values = _from_schema_1(values)
    if schema <= 2:
        values = _from_schema_2(values)
    if set(values) != set(FIELDS):
        raise ValueError("a record with other fields")
    for field in fields(Record):
        if type(values[field.name]).__name__ not in _type_names(field.type):
            raise ValueError(f"{field.name} cannot be {values[field.name]!r}")
    record = Record(**values)
    if record.status not in STATUSES:
        raise ValueError(f"status cannot be {record.status!r}")
    if record.status == "ok" and None in (getattr(record, name) for name in _MEASURED):
        raise ValueError("a finished run without its result")
    return record


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
    return values | truth | dict.fromkeys(_SINCE_SCHEMA_3) | {"encoder": "none"}


def _type_names(annotation: object) -> list[str]:
    """Return the names of the types that JSON may have for an annotation: a whole float is an int there."""
    return str(annotation).replace("float", "float int").replace("None", "NoneType").split()


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return records as a table, a column a field; what was not measured is NaN."""
    frame = pd.DataFrame([asdict(record) for record in records], columns=list(FIELDS))
    return frame.astype(dict.fromkeys(_NUMBERS_OR_NONE, float) | {"saturated": bool})


def to_json(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as JSON values, with null for NaN."""
    return [{str(key): _json_value(value) for key, value in row.items()} for row in frame.to_dict("records")]


def _json_value(value: Any) -> Any:  # noqa: ANN401 - whatever a cell holds
    return None if isinstance(value, float) and math.isnan(value) else value
