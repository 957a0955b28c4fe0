"""`mibench watch`: what is seen of a store that is being written."""

import json

import pytest
from typer.testing import CliRunner

import mibench
from mibench.cli import app
from mibench.reports import progress as reports
from mibench.store.presence import Presence, Progress

GRID = {"dim": 2, "mi": 1, "n": [4, 8], "seeds": 2, "steps": 5, "device": "cpu"}


def watch(*arguments):
    return CliRunner().invoke(app, ["watch", *map(str, arguments)])


@pytest.fixture
def out(tmp_path):
    mibench.run("infonce", out=tmp_path, **GRID)
    return tmp_path


def test_a_store_that_nobody_writes_is_shown_once(out):
    shown = watch(out)
    assert shown.exit_code == 0
    assert "4 runs finished, 0 failed" in shown.stdout
    assert "infonce" in shown.stdout
    assert "No process is at work there." in shown.stderr


def test_processes_at_work_are_shown_with_what_is_left(out):
    progress = Progress("1.0", "abc", part="3/16", runs=12, finished=4, failed=1, title="Training 12 models")
    progress.total, progress.done = 10.0, 5.0
    progress.started = progress.stage_started = progress.updated - 60
    with Presence(out, progress):
        shown = watch(out, "--once")
        content = json.loads(watch(out, "--json").stdout)
    row = next(line for line in shown.stdout.splitlines() if "3/16" in line)
    assert row.split()[2:] == [
        "3/16",
        "1",
        "Training",
        "12",
        "models",
        "50%",
        "4",
        "1",
        "7",
        "5.0",
        "1",
        "min",
        "0",
        "s",
    ]
    assert "No process" not in shown.stderr
    assert content["finished"] == 4
    assert [one["part"] for one in content["processes"]] == ["3/16"]
    assert len(content["summary"]) == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (3600, "1 h 0 min"), (200_000, "2 d 7 h")],
)
def test_times_have_two_units(seconds, text):
    assert reports.duration(seconds) == text


def test_one_that_is_silent_or_was_killed_is_told():
    progress = Progress("1.0", "abc", total=2.0, done=1.0)
    (silent,) = reports.table([(progress, 120.0)]).rows
    (killed,) = reports.table([(progress, float("inf"))]).rows
    assert "silent for 2 min 0 s" in silent
    assert "killed" in killed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "There is no folder 'nowhere'"),
        ([".", "--interval", "0"], "interval must be positive"),
        ([".", "--unit", "bans"], "Unknown unit 'bans'"),
    ],
)
def test_what_cannot_be_watched_is_told(arguments, message):
    shown = watch(*arguments)
    assert shown.exit_code == 2
    assert message in shown.stderr
