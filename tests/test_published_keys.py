"""Every key of the published stores is found again: a run with their settings has nothing to do."""

import math
from pathlib import Path

import pytest

import mibench
from mibench.store.record import to_frame
from mibench.store.segments import Store

RESULTS = Path(__file__).parents[1] / "results"
STORES = sorted(str(path.parent.relative_to(RESULTS)) for path in RESULTS.rglob("records"))
SAME = ["estimator", "task", "encoder", "critic", "protocol", "steps", "lr", "schedule", "precision"]


def test_there_are_published_stores():
    assert len(STORES) >= 10


@pytest.mark.parametrize("name", STORES)
def test_keys_are_found_again(name):
    frame = to_frame(Store(RESULTS / name).load().values())
    assert len(frame)
    for values, records in frame.groupby(SAME, dropna=False):
        setting = dict(zip(SAME, values, strict=True))
        levels = {"mi": sorted(records["true_mi_nats"].unique())}
        if setting["task"] in ("gaussian", "cubic"):
            levels["dim"] = int(records["dim_x"].iloc[0])
        if setting["task"].startswith(("cpc", "digits")) or "levels=" in setting["protocol"]:
            del levels["mi"]  # it follows from the options of the task or the protocol
        levels["train_n"] = ["own" if math.isnan(n) else int(n) for n in records["train_n"].unique()]
        if setting["protocol"].startswith("samples"):
            levels["samples"] = sorted(int(size) for size in records["samples"].unique())
        planned = mibench.plan(
            n=sorted(int(n) for n in records["n"].unique()),
            seeds=sorted(int(seed) for seed in records["seed"].unique()),
            device="cpu",
            **{**setting, "steps": int(setting["steps"])},
            **levels,
        )
        assert set(records["key"]) <= {spec.key for spec in planned.specs}, setting
