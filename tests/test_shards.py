"""Parts of a grid that are run by commands which know nothing of each other."""

import json
import os
import subprocess
import sys
import time

import pytest

import mibench
from mibench.api.placement import Placement
from mibench.api.plan import placed
from mibench.api.shards import part_of
from mibench.engine.balance import deal, divided, makespan
from mibench.engine.encoding import encoder_of
from mibench.errors import UsageError
from mibench.store.segments import Store

GRID = {"dim": 2, "mi": [1, 2], "n": [4, 8, 16], "seeds": 4, "steps": 5, "device": "cpu"}


class Stick:
    """Work of some length that can be halved down to 1."""

    def __init__(self, work):
        self.work = work

    def halves(self):
        return [Stick(self.work / 2)] * 2 if self.work > 1 else [self]


def lengths(sticks):
    return [stick.work for stick in sticks]


@pytest.mark.parametrize(
    ("works", "count", "expected"),
    [
        ([8], 1, [8]),
        ([8], 2, [4, 4]),
        ([8], 3, [1] * 8),  # the loads are 3, 3 and 2 where halves would be 4, 4 and 0
        ([1], 4, [1]),
        ([4, 4], 2, [4, 4]),
        ([4, 4, 4], 2, [2] * 6),
        ([8, 1, 1], 2, [4, 4, 1, 1]),
        ([], 3, []),
    ],
)
def test_long_jobs_are_halved_where_that_saves_time(works, count, expected):
    assert lengths(divided([Stick(work) for work in works], count)) == expected


def test_jobs_are_dealt_the_longest_first():
    assert [lengths(share) for share in deal([Stick(work) for work in (1, 5, 2, 4, 3)], 2)] == [
        [5, 2, 1],
        [4, 3],
    ]
    assert makespan([Stick(work) for work in (1, 5, 2, 4, 3)], 2) == 8


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_parts_share_nothing_and_together_are_the_whole(count):
    planned = mibench.plan("infonce,nwj,js,smile", **GRID)
    parts = [part_of(planned, f"{number}/{count}").specs for number in range(1, count + 1)]
    together = [spec.key for part in parts for spec in part]
    assert len(together) == len(set(together))
    assert set(together) == {spec.key for spec in planned.specs}
    assert part_of(planned, None) is planned


def test_parts_do_not_depend_on_what_runs_them():
    planned = mibench.plan("infonce,nwj,js,smile", **GRID)
    other = placed(planned.specs, Placement("cpu", workers="2"))
    assert part_of(planned, "2/3").specs == part_of(other, "2/3").specs


def test_parts_take_about_equally_long():
    planned = mibench.plan("infonce,nwj", dim=20, mi=[2, 4, 6], n=[16, 64, 256], seeds=8, device="cpu")
    times = [sum(job.work for job in part_of(planned, f"{number}/4").jobs()) for number in range(1, 5)]
    assert max(times) < 1.3 * min(times)


def test_runs_on_one_encoder_are_in_one_part():
    planned = mibench.plan("infonce,nwj", "linear-encoder", n=[4, 8], seeds=5, steps=5, device="cpu")
    parts = [part_of(planned, f"{number}/3").specs for number in range(1, 4)]
    encoders = [{encoder_of(spec) for spec in part} for part in parts]
    assert sorted(map(len, encoders)) == [1, 2, 2]
    assert len(set.union(*encoders)) == 5


@pytest.mark.parametrize("text", ["17/16", "0/4", "3", "a/b", "1/0", "-1/4", "1.5/4", ""])
def test_a_part_that_is_none_is_refused_before_anything_runs(text, tmp_path):
    with pytest.raises(UsageError, match="shard"):
        mibench.run("infonce", shard=text, out=tmp_path / "out", **GRID)
    assert not (tmp_path / "out").exists()


def test_parts_one_after_the_other_are_the_whole(tmp_path):
    for number in (1, 2, 3):
        mibench.run("infonce", shard=f"{number}/3", out=tmp_path, **GRID)
    shared = {key: record.estimate_nats for key, record in Store(tmp_path).load().items()}
    whole = mibench.run("infonce", **GRID).set_index("key")["estimate_nats"].to_dict()
    assert shared == whole


COMMAND = ["--dim", "2", "--mi", "1", "-n", "4,5,6,7,8,9,10,11", "--steps", "100", "--seeds", "4"]
COMMAND += ["--device", "cpu", "-q"]


def start(out, *more):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mibench.cli", "run", *COMMAND, "--out", str(out), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def lines(out):
    """Return the whole lines; the last one may be in the making."""
    texts = [path.read_text() for path in out.glob("records/*.jsonl")]
    return [json.loads(line) for text in texts for line in text.splitlines(keepends=True) if line[-1] == "\n"]


@pytest.mark.slow
def test_eight_processes_write_at_once_and_one_is_killed(tmp_path):
    out = tmp_path / "shared"
    shards = [start(out, "--shard", f"{number}/8") for number in range(1, 9)]
    deadline = time.monotonic() + 120
    while not lines(out) and time.monotonic() < deadline:
        time.sleep(0.05)
    killed = next(shard for shard in shards if shard.poll() is None)
    killed.kill()
    texts = [shard.communicate(timeout=120)[1].decode() for shard in shards]
    assert sorted(shard.returncode for shard in shards) == [-9] + 7 * [0]
    assert sum("of the grid is done" in text for text in texts) == 7
    assert not list(out.glob("*.png"))
    gathered = start(out, "--json")
    shown = json.loads(gathered.communicate(timeout=120)[0])
    assert gathered.returncode == 0
    assert list(out.glob("*.png"))
    keys = [record["key"] for record in lines(out)]
    assert len(keys) == len(set(keys)) == 32
    calm = start(tmp_path / "calm", "--json")
    undisturbed = json.loads(calm.communicate(timeout=120)[0])
    measured = ("key", "estimate_nats", "oracle_nats", "batches", "status")
    assert [[one[name] for name in measured] for one in shown["records"]] == [
        [one[name] for name in measured] for one in undisturbed["records"]
    ]
