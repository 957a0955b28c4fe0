"""Stores with made-up results, for the tests of what is computed from stores."""

import itertools
import math

from records import MEASURED, failed, record

from mibench.analysis.cells import CELL
from mibench.store.segments import Store

SCRIPT = "<script>alert('no')</script> & \"more\""


def made_up(estimator="infonce", true_mi=2.0, n=16, seed=0, **changes):
    """Return a finished record whose numbers depend on the arguments alone."""
    ceiling = math.log(n) if estimator.startswith("infonce") else None
    oracle = (min(true_mi, ceiling) if ceiling else true_mi) * 0.8 + 0.01 * seed
    settings = (str(value) for name, value in changes.items() if name in CELL)
    key = "-".join([estimator, str(true_mi), str(n), str(seed), *settings])
    made = {
        "estimator": estimator,
        "objective": estimator,
        "dim_x": 5,
        "dim_y": 5,
        "true_mi_nats": true_mi,
        "n": n,
        "seed": seed,
        "estimate_nats": oracle - 0.1234 - 0.007 * seed * seed,
        "batches": 100 + seed,
        "oracle_nats": oracle,
        "ceiling_nats": ceiling,
        "saturated": ceiling is not None and true_mi > ceiling,
        "wall_s": 1.5,
        "training_s": 1.5,
    }
    changes = {"key": key, **made, **changes}
    return record(changes.pop("key"), **changes)


def failure(estimator="mine", message=SCRIPT, **changes):
    """Return the record of a run that diverged."""
    lost = vars(failed(message=message))
    return made_up(estimator, **{name: lost[name] for name in (*MEASURED, "status", "message")} | changes)


def grid(estimators=("infonce", "nwj"), levels=(2.0, 4.0, 10.0), ns=(16, 128), seeds=3, **changes):
    """Return the records of every combination."""
    combinations = itertools.product(estimators, levels, ns, range(seeds))
    return [made_up(*combination, **changes) for combination in combinations]


def encoded(encoder="simclr", low=1.9, high=2.3, *, seed=0, n=16, estimator="infonce", **changes):
    """Return a finished record of a representation; its truth moves a little with the seed of its encoder."""
    shift = 0.01 * seed
    ceiling = math.log(n) if estimator.startswith("infonce") else None
    read = min(low + 0.3 * (high - low), ceiling - 0.1 if ceiling else math.inf) - 0.2 + 0.02 * seed
    facts = {
        "alignment": 0.4 + shift,
        "uniformity": -2.5 - shift,
        "effective_rank": 12.0 + seed,
        "probe_accuracy": 0.9 + shift / 2,
        "encoder_nats": 2.0 + shift,
        "encoder_ceiling_nats": math.log(511),
    }
    ratio = {} if low == high else dict.fromkeys(("oracle_nats", "oracle_se_nats", "critic_gap_se_nats"))
    values = {
        "key": "-".join(map(str, (encoder, estimator, n, seed, *changes.values()))),
        "task": "digits",
        "dim_x": 32,
        "dim_y": 32,
        "true_mi_low_nats": low + shift,
        "true_mi_high_nats": high + shift,
        "estimate_nats": read,
        "oracle_nats": read + 0.1,
        "log_ratio_rmse_nats": None,
        "log_partition_nats": None,
    }
    known = {"saturated": ceiling is not None and low > ceiling, **facts, **ratio}
    return made_up(estimator, 2.303, n, seed, encoder=encoder, **values | known | changes)


COLLAPSED = "the encoder collapsed: all inputs have nearly one representation (effective rank 1.02)"


def collapsed(encoder="simsiam[stop=false]", *, seed=0, message=COLLAPSED, **changes):
    """Return the record of a run whose encoder collapsed, or failed otherwise."""
    facts = "true_mi_low_nats true_mi_high_nats alignment uniformity probe_accuracy encoder_nats"
    read = "encoder_ceiling_nats estimate_nats estimate_se_nats batch_std_nats batches"
    nothing = dict.fromkeys([*facts.split(), *read.split()])
    about = {"effective_rank": 1.02, "status": "failed", "message": message, "saturated": False}
    return encoded(encoder, seed=seed, **nothing | about | changes)


def by_temperature(temperatures=(0.05, 0.1, 0.2, 0.5, 1), ns=(16, 64, 512), seeds=3):
    """Return the records of `digits` with simclr at several temperatures: 0.2 is its default."""
    records = []
    for place, temperature in enumerate(temperatures):
        label = "simclr" if temperature == 0.2 else f"simclr[temperature={temperature:g}]"
        for n, seed in itertools.product(ns, range(seeds)):
            facts = {
                "alignment": 0.2 + 0.15 * place + 0.01 * seed,
                "uniformity": -3.2 + 0.4 * place + 0.02 * seed,
                "probe_accuracy": 0.95 - 0.03 * abs(place - 2) + 0.002 * seed,
                "effective_rank": 20 - 3.0 * place + 0.2 * seed,
                "encoder_nats": 2.3 - 0.2 * abs(place - 2) + 0.02 * seed,
            }
            records.append(encoded(label, 2.1 - 0.1 * abs(place - 2), 2.303, n=n, seed=seed, **facts))
    return records


def by_horizon(horizons=(1, 2, 4, 8), ns=(16, 64, 512), seeds=3, a=0.9, dim=4):
    """Return the records of `cpc` at several horizons; 1 is its default."""
    records = []
    for horizon, n, seed in itertools.product(horizons, ns, range(seeds)):
        truth = -0.5 * dim * math.log(1 - a ** (2 * horizon))
        label = "cpc" if horizon == 1 else f"cpc[horizon={horizon}]"
        read = min(0.9 * truth, math.log(n) - 0.3) + 0.02 * seed
        facts = dict.fromkeys(("alignment", "uniformity", "probe_accuracy"))
        low = 0.9 * truth
        known = {"task": label, "dim_y": 16, "estimate_nats": read, "encoder_nats": 0.85 * truth}
        record = encoded("cpc", low, truth - 0.02, n=n, seed=seed, true_mi_nats=truth, **known | facts)
        records.append(record)
    return records


def by_noise(ks=(1, 4, 16, 64), ns=(128,), seeds=3):
    """Return the records of NCE at several numbers of noise words on `bigram`, whose truth is exact."""
    return [
        made_up(
            f"nce[k={k}]",
            2.0,
            n,
            seed,
            task="bigram",
            estimate_nats=2.0 - 0.5 / k + 0.02 * seed,
            log_ratio_rmse_nats=0.8 / math.sqrt(k) + 0.01 * seed,
            log_partition_nats=0.3 / k - 0.01 * seed,
        )
        for k, n, seed in itertools.product(ks, ns, range(seeds))
    ]


def written(folder, records):
    """Write records to a store and return its folder."""
    with Store(folder).writer() as writer:
        for record in records:
            writer.append(record)
    return folder
