"""From the outcome of a run to its record."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mibench import __version__, estimators, tasks
from mibench.api.plan import Plan
from mibench.engine.jobs import Outcome
from mibench.engine.plan import objective_of, training_key
from mibench.engine.protocols import registry as protocols
from mibench.engine.sources import TaskPairs
from mibench.limits import LARGEST
from mibench.store.record import FIELDS, NO_ENCODER, Record
from mibench.tasks.pair import Pair, Truth


def record_of(outcome: Outcome, planned: Plan, pairs: TaskPairs) -> Record:
    """Return the record of a run of a plan."""
    spec, objective = outcome.spec, objective_of(outcome.spec)
    task, estimator = tasks.registry.make(spec.task), estimators.registry.make(spec.estimator)
    dims, representation, ceiling = pairs.dims(spec), pairs.representation(spec), estimator.ceiling(spec.n)
    pair = task.pair() if representation is None else representation.pair
    truth = None if pair is None else pair.truth
    values = {
        **dict.fromkeys(FIELDS),
        **_same_named({} if representation is None else representation.facts),
        **_same_named({} if spec.fit is None else vars(spec.fit)),
        **_same_named({} if outcome.readout is None else vars(outcome.readout)),
        **_same_named(vars(outcome)),
        **{kind: choice.label for kind, choice in spec.choices.items() if choice is not None},
        "key": spec.key,
        "training": None if objective is None else training_key(spec),
        "objective": None if objective is None else objective.label,
        "bound": estimator.bound.side,
        "oracle_is_best": estimator.oracle_is_best,
        "dim_x": dims.x,
        "dim_y": dims.y,
        "true_mi_nats": task.true_mi_nats,
        "encoder": NO_ENCODER if spec.encoder is None else spec.encoder.label,
        "n": spec.n,
        "samples": protocols.make(spec.protocol).rows_held or None,
        "seed": spec.seed,
        "choices": {
            kind: None if choice is None else {"name": choice.name, "options": dict(choice.options)}
            for kind, choice in spec.choices.items()
        },
        "ceiling_nats": ceiling,
        **_judged_by(truth, ceiling),
        "device": str(planned.device),
        "version": __version__,
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if (
        estimator.unbiased_at_exact_ratio
        and truth is not None
        and truth.value is not None
        and values["oracle_nats"] is not None
    ):
        values |= {"exact_nats": truth.value, "exact_se_nats": 0.0}
    return Record(**values)


def judged_anew(record: Record, pair: Pair) -> Record:
    """Return a record with the truth, and what else is known, of its representation today."""
    return replace(record, **_same_named(pair.facts), **_judged_by(pair.truth, record.ceiling_nats))


def _judged_by(truth: Truth | None, ceiling: float | None) -> dict[str, Any]:
    """Return the fields of a record that say what the truth is, and how it is to the ceiling."""
    if truth is None:
        return {"saturated": False}
    return {
        "true_mi_low_nats": truth.low,
        "true_mi_high_nats": truth.high,
        "truth": truth.how,
        "truth_confidence": truth.confidence,
        "saturated": ceiling is not None and truth.low > ceiling,
    }


def _same_named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a record has under the same name, with the unit or without; None for NaN.

    So are numbers beyond what a record can have.
    """
    named = {name if name in FIELDS else f"{name}_nats": value for name, value in values.items()}
    return {name: _known(value) for name, value in named.items() if name in FIELDS}


def _known(value: Any) -> Any:  # noqa: ANN401 - any value of a record
    return None if isinstance(value, float) and not abs(value) <= LARGEST else value
