"""Which processes write to a store, as others see it."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import mibench
from mibench.api.fingerprint import sources_digest
from mibench.errors import StoreError
from mibench.store.presence import SILENT_SECONDS, Presence, Progress, present


def files(out):
    return list((out / "running").glob("*.json")) if (out / "running").exists() else []


def another(out, age=0.0, **changes):
    """Leave the file of another process."""
    progress = Progress("1.0", "abc", host="elsewhere", pid=1) if not changes else Progress(**changes)
    context = Presence(out, progress)
    context.__enter__()
    context._ended.set()  # what a killed process does: nothing more
    (path,) = [path for path in files(out) if f"-{progress.pid}-" in path.name]
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_a_process_is_seen_while_it_writes_and_not_after(tmp_path):
    progress = Progress("1.0", "abc", part="3/16", runs=10)
    with Presence(tmp_path, progress):
        progress.finished += 4
        ((seen, age),) = present(tmp_path)
        assert (seen.version, seen.part, seen.runs, seen.pid) == ("1.0", "3/16", 10, os.getpid())
        assert age < SILENT_SECONDS
    assert not list(tmp_path.iterdir())


def test_what_it_has_done_is_written_every_few_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr("mibench.store.presence.REFRESH_SECONDS", 0.01)
    progress = Progress("1.0", "abc", runs=10)
    with Presence(tmp_path, progress):
        progress.finished, progress.failed = 4, 1
        deadline = time.monotonic() + 10
        while (seen := present(tmp_path)[0][0]).finished < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert (seen.finished, seen.failed, seen.left) == (4, 1, 5)


def test_two_of_one_version_write_at_once(tmp_path):
    another(tmp_path)
    with Presence(tmp_path, Progress("1.0", "abc")) as presence:
        assert presence.others == 1
        assert len(files(tmp_path)) == 2
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("maker", [("1.1", "abc"), ("1.0", "abd")])
def test_two_versions_do_not_write_to_one_folder(maker, tmp_path):
    another(tmp_path)
    with (
        pytest.raises(StoreError, match=r"Process 1 on elsewhere writes to .* with mibench 1\.0"),
        Presence(tmp_path, Progress(*maker)),
    ):
        pytest.fail("wrote")
    assert len(files(tmp_path)) == 1


def test_one_that_was_killed_is_no_obstacle(tmp_path):
    another(tmp_path, age=SILENT_SECONDS + 60)
    with Presence(tmp_path, Progress("1.1", "abc")):
        pass
    no_process = 2**22 + 1  # above the largest number of a process
    another(tmp_path, version="1.0", sources="abc", pid=no_process)
    ages = {progress.pid: age for progress, age in present(tmp_path)}
    assert ages[1] > SILENT_SECONDS
    assert ages[no_process] == float("inf")
    with Presence(tmp_path, Progress("1.1", "abc")):
        pass
    assert [progress.pid for progress, _ in present(tmp_path)] == [1]  # of the other nothing is known


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "running").write_text("a file")
    with (
        pytest.raises(StoreError, match="cannot be written"),
        Presence(tmp_path, Progress("1", "a")),
    ):
        pytest.fail("wrote")


def test_a_file_of_another_schema_is_no_process(tmp_path):
    (tmp_path / "running").mkdir()
    (tmp_path / "running" / "torn.json").write_text('{"version": "1.0", ')
    (tmp_path / "running" / "other.json").write_text(json.dumps({"pid": 3}))
    (tmp_path / "running" / "later.json").write_text(
        json.dumps({"version": "9.0", "sources": "x", "pid": 7, "host": "elsewhere", "new": 1})
    )
    assert [progress.version for progress, _ in present(tmp_path)] == ["9.0"]
    assert present(tmp_path / "nowhere") == []


def test_the_time_left_is_that_at_the_rate_so_far():
    progress = Progress("1.0", "abc", total=8.0, done=2.0, stage_started=100.0, updated=130.0)
    assert progress.seconds_left == 90.0
    assert Progress("1.0", "abc", total=8.0).seconds_left is None


def test_a_run_refuses_a_folder_in_which_another_version_writes(tmp_path):
    another(tmp_path)
    grid = {"dim": 2, "mi": 1, "n": 4, "seeds": 1, "steps": 2, "device": "cpu"}
    with pytest.raises(StoreError, match="Process 1 on elsewhere"):
        mibench.run("infonce", out=tmp_path, **grid)
    assert not list((tmp_path / "records").glob("*"))
    (path,) = files(tmp_path)
    path.unlink()
    another(tmp_path, version=mibench.__version__, sources=sources_digest(), host="elsewhere", pid=1)
    assert (mibench.run("infonce", out=tmp_path, **grid)["status"] == "ok").all()


def test_processes_that_begin_and_end_at_once_do_not_disturb_each_other(tmp_path):
    def come_and_go(_):
        for _ in range(100):
            with Presence(tmp_path, Progress("1.0", "abc")) as presence:
                assert presence._path.exists()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(4)))
    assert not files(tmp_path)
