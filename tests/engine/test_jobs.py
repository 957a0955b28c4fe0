"""A job is made of values alone: pickled and run in another process it ends as it does here."""

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest
import torch
from grids import CPU, LARGE, specs

from mibench import encoders, tasks
from mibench.api.encode import encode
from mibench.api.placement import Placement
from mibench.api.plan import placed
from mibench.engine.jobs import PackJob
from mibench.engine.plan import packs
from mibench.engine.sources import Rows, TaskPairs


@pytest.fixture(scope="module")
def worker():
    """Return an executor of one fresh process, which knows nothing of this one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


def job_of(specs_, source):
    (pack,) = packs(specs_, LARGE, source)
    return PackJob(pack.trainings, source)


def on_a_task():
    return job_of(specs("js smile", seeds=range(2), steps=5), TaskPairs())


def on_a_staircase():
    levels = {"protocol": "staircase[levels=1/2]", "mis": (1.0, 2.0), "steps": 20}
    return job_of(specs("nwj", **levels), TaskPairs())


def on_representations():
    encoder = encoders.registry.choose("linear[dim=2,batch=8,steps=4]")
    runs = [
        replace(spec, encoder=encoder)
        for spec in specs("infonce", task="linear-encoder", mis=(), seeds=range(2), steps=5)
    ]
    return job_of(runs, encode(runs, placed(runs, Placement("cpu"))))


def on_rows():
    runs = specs("infonce", mis=(), task="linear-encoder", protocol="samples[size=200]", steps=30)
    x, y = tasks.get("gaussian", dim=3, mi=1.0).sample(200, torch.Generator().manual_seed(0), torch.float64)
    return job_of(runs, Rows({runs[0].task: (x, y, False)}))


@pytest.mark.parametrize("make", [on_a_task, on_a_staircase, on_representations, on_rows])
def test_a_job_ends_alike_in_another_process(make, worker):
    job = make()
    here = job.run(CPU, float)
    there = worker.submit(pickle.loads(pickle.dumps(job)).run, CPU, float).result()
    assert [outcome.status for outcome in here] == len(job.specs) * ["ok"]
    for own, other in zip(here, there, strict=True):
        assert (own.spec, own.status, own.message) == (other.spec, other.status, other.message)
        assert own.spec.key == other.spec.key
        assert repr(own.readout) == repr(other.readout)  # NaN, as of an unknown oracle, equals nothing
        if own.readout.curve is not None:
            assert torch.equal(own.readout.curve, other.readout.curve)


def test_a_job_holds_no_more_than_its_own_runs():
    job = on_a_task()
    assert len(pickle.dumps(job)) < 5000
    halves = job.halves()
    assert [len(half.trainings) for half in halves] == [2, 2]
    assert sorted(spec.key for half in halves for spec in half.specs) == sorted(s.key for s in job.specs)
    (own,) = halves[0].halves()[0].halves()
    assert [[spec.estimator.name for spec in one.specs] for one in own.singles()] == [["js"], ["smile"]]
