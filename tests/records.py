"""Records for the tests of what is computed from records."""

from mibench.store.record import FIELDS, KINDS, NO_ENCODER, Record

VALUES = {
    "training": "the key",
    "objective": "infonce",
    "estimator": "infonce",
    "task": "gaussian",
    "dim_x": 20,
    "dim_y": 20,
    "true_mi_nats": 4.0,
    "encoder": NO_ENCODER,
    "n": 64,
    "critic": "separable",
    "protocol": "stream",
    "steps": 1000,
    "lr": 0.002,
    "schedule": "one-cycle",
    "precision": "float32",
    "seed": 0,
    "estimate_nats": 3.0,
    "estimate_se_nats": 0.02,
    "batch_std_nats": 0.2,
    "batches": 100,
    "oracle_nats": 3.1,
    "oracle_se_nats": 0.02,
    "critic_gap_se_nats": 0.01,
    "log_ratio_rmse_nats": 0.3,
    "log_partition_nats": 0.05,
    "ceiling_nats": 4.1588830833596715,
    "saturated": False,
    "status": "ok",
    "message": "",
    "wall_s": 1.0,
    "training_s": 1.0,
    "device": "cpu",
    "version": "0.1.0",
    "finished_at": "2026-01-02T03:04:05Z",
}
"""The fields of a finished record that are not null, but for those that follow from others."""

MEASURED = (
    "estimate_nats",
    "estimate_se_nats",
    "batch_std_nats",
    "batches",
    "oracle_nats",
    "oracle_se_nats",
    "critic_gap_se_nats",
    "log_ratio_rmse_nats",
    "log_partition_nats",
)

DEFAULTS = {
    "simclr": {"temperature": 0.2},
    "cpc": {"horizon": 1},
    "smile": {"tau": 5.0},
    "separable": {"hidden": 256, "layers": 2, "embedding": 32},
    "staircase": {"levels": "2/4/6/8/10", "span": 200, "tail": 0.5},
    "samples": {"size": 5000, "train": 0.6, "validation": 0.2, "every": 25, "patience": 10},
}
"""Options that labels leave out, of some names."""

UNTRAINED = dict.fromkeys(("training", "objective", "critic", "steps", "lr", "schedule", "precision"))
"""The fields that are null in the records of an estimator that trains nothing."""


def record(key="k", **changes):
    values = {**dict.fromkeys(FIELDS), **VALUES, "key": key, "training": key, **changes}
    truth = dict.fromkeys(("true_mi_low_nats", "true_mi_high_nats"), values["true_mi_nats"])
    exact = {f"exact{end}": values[f"oracle{end}"] for end in ("_nats", "_se_nats")}
    chosen = {"choices": {kind: choice(values[kind]) for kind in KINDS}}
    return Record(
        **values | {name: value for name, value in (truth | exact | chosen).items() if name not in changes}
    )


def choice(label):
    """Return the name and options of a label, as records have them."""
    if label in (None, NO_ENCODER):
        return None
    name, _, rest = label.partition("[")
    given = dict(part.split("=", 1) for part in rest.removesuffix("]").split(",") if "=" in part)
    return {
        "name": name,
        "options": DEFAULTS.get(name, {}) | {key: _value(text) for key, text in given.items()},
    }


def _value(text):
    try:
        return float(text)
    except ValueError:
        return text


def failed(key="k", **changes):
    lost = {"status": "diverged", "message": "the objective is not finite", **dict.fromkeys(MEASURED)}
    return record(key, **lost | changes)
