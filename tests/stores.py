"""Stores with results that nobody computed, for the tests of what is made of stores."""

import itertools
import math

from mibench.results.record import Record
from mibench.results.statistics import CELL
from mibench.results.store import Store

SCRIPT = "<script>alert('no')</script> & \"more\""


def made_up(estimator="infonce", true_mi=2.0, n=16, seed=0, **changes):
    """Return a finished record whose numbers depend on the arguments alone."""
    ceiling = math.log(n) if estimator.startswith("infonce") else None
    oracle = (min(true_mi, ceiling) if ceiling else true_mi) * 0.8 + 0.01 * seed
    settings = (str(value) for name, value in changes.items() if name in CELL)
    key = "-".join([estimator, str(true_mi), str(n), str(seed), *settings])
    values = dict(  # noqa: C408 - the fields as they are written
        key=key,
        training=key,
        objective=estimator,
        estimator=estimator,
        task="gaussian",
        dim_x=5,
        dim_y=5,
        true_mi_nats=true_mi,
        encoder="none",
        n=n,
        critic="separable",
        protocol="stream",
        samples=None,
        steps=1000,
        lr=0.002,
        schedule="one-cycle",
        precision="float32",
        seed=seed,
        estimate_nats=oracle - 0.1234 - 0.007 * seed * seed,
        estimate_se_nats=0.02,
        batch_std_nats=0.2,
        batches=100 + seed,
        oracle_nats=oracle,
        oracle_se_nats=0.02,
        critic_gap_se_nats=0.01,
        log_ratio_rmse_nats=0.3,
        log_partition_nats=0.05,
        alignment=None,
        uniformity=None,
        effective_rank=None,
        probe_accuracy=None,
        encoder_nats=None,
        encoder_ceiling_nats=None,
        train_nats=None,
        validation_nats=None,
        best_step=None,
        ceiling_nats=ceiling,
        saturated=ceiling is not None and true_mi > ceiling,
        status="ok",
        message="",
        wall_s=1.5,
        device="cpu",
        version="0.1.0",
        finished_at="2026-01-02T03:04:05Z",
    )
    values |= changes
    truth = dict.fromkeys(("true_mi_low_nats", "true_mi_high_nats"), values["true_mi_nats"])
    return Record(**truth | values)


def failure(estimator="mine", message=SCRIPT, **changes):
    """Return the record of a run that diverged."""
    measured = "estimate_nats estimate_se_nats batch_std_nats batches oracle_nats oracle_se_nats"
    ratio = "critic_gap_se_nats log_ratio_rmse_nats log_partition_nats"
    nothing = dict.fromkeys([*measured.split(), *ratio.split()])
    return made_up(estimator, status="diverged", message=message, **nothing | changes)


def grid(estimators=("infonce", "nwj"), levels=(2.0, 4.0, 10.0), ns=(16, 128), seeds=3, **changes):
    """Return the records of every combination."""
    combinations = itertools.product(estimators, levels, ns, range(seeds))
    return [made_up(*combination, **changes) for combination in combinations]


def written(folder, records):
    """Write records to a store and return its folder."""
    with Store(folder).writer() as writer:
        for record in records:
            writer.append(record)
    return folder
