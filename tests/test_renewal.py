"""Records that were judged by an earlier rule: judged anew where their encoder is kept, else run again."""

import shutil
from dataclasses import replace

import pytest
from stores import encoded, made_up, written
from typer.testing import CliRunner

import mibench
from mibench import tasks
from mibench.api.observer import SILENT, Observer
from mibench.api.plan import plan_grid
from mibench.api.report import gather
from mibench.api.run import run_plan
from mibench.cli import app
from mibench.grid import read
from mibench.store.record import is_superseded
from mibench.store.segments import Store, merge

GRID = {
    "estimator": "infonce",
    "task": "digits[m=2]",
    "encoder": "random",
    "n": [4, 8],
    "seeds": 2,
    "steps": 2,
    "critic": "bilinear",
    "device": "cpu",
}
EARLIER = {"truth": "linear probe and data processing", "true_mi_low_nats": 2.5, "probe_nats": 2.5}
UNKNOWN = {"oracle_nats": None, "oracle_se_nats": None, "exact_nats": None, "exact_se_nats": None}


@pytest.fixture(scope="module")
def current(tmp_path_factory):
    """A store of today: four runs, two encoders."""
    folder = tmp_path_factory.mktemp("current")
    mibench.run(out=folder, **GRID)
    return folder


def earlier(current, folder, **changes):
    """Write the store as an earlier version would have, and return its records."""
    shutil.copytree(current / "encoders", folder / "encoders")
    was = {key: replace(found, **EARLIER | UNKNOWN | changes) for key, found in Store(current).load().items()}
    with Store(folder).writer() as writer:
        for record in was.values():
            writer.append(record)
    return was


def ran(folder, rerun="never"):
    """Run the grid; return its records by key, and what was said."""
    said = []
    records = run_plan(plan_grid(read("run", GRID)), folder, rerun, Observer(said.append, SILENT.progress))
    return {record.key: record for record in records}, " ".join(said)


def test_todays_records_have_the_truth_that_the_store_asks_for(current):
    for record in Store(current).load().values():
        assert not is_superseded(record)
        assert record.true_mi_low_nats == record.true_mi_high_nats == tasks.get("digits", m=2).true_mi_nats
        assert record.oracle_nats is not None
        assert record.exact_nats is not None
        assert 0 < record.probe_nats < record.true_mi_low_nats


@pytest.mark.parametrize("changes", [{}, {"truth": None, "truth_confidence": None}])  # schema 4, and 3
def test_where_the_encoder_is_kept_the_truth_is_computed_again_and_nothing_trained(
    current, tmp_path, monkeypatch, changes
):
    was = earlier(current, tmp_path, **changes)
    assert all(map(is_superseded, was.values()))
    monkeypatch.setattr("mibench.api.run.train", lambda *_: pytest.fail("trained"))
    monkeypatch.setattr("mibench.engine.jobs.train_encoders", lambda *_: pytest.fail("trained an encoder"))
    found, said = ran(tmp_path)
    for key, today in Store(current).load().items():
        expected = replace(
            was[key],
            true_mi_low_nats=today.true_mi_low_nats,
            true_mi_high_nats=today.true_mi_high_nats,
            truth="enumeration of equal representations",
            truth_confidence=1.0,
            probe_nats=today.probe_nats,
        )
        assert found[key] == expected
    assert "4 runs are judged anew" in said
    assert Store(tmp_path).load() == found
    assert "judged" not in ran(tmp_path)[1]
    assert len(Store(tmp_path).segments) == 2


def test_a_truth_above_the_ceiling_saturates_a_record_that_is_judged_anew(current, tmp_path):
    """log 8 = 2.08 is below 3.5156, where the interval began at 1."""
    was = earlier(current, tmp_path, true_mi_low_nats=1.0, saturated=False)
    found, _ = ran(tmp_path)
    assert {record.saturated for record in found.values()} == {True}
    assert {record.estimate_nats for record in found.values()} == {
        record.estimate_nats for record in was.values()
    }


@pytest.mark.parametrize("rerun", ["never", "failed"])
def test_where_the_encoder_is_not_kept_the_run_is_not_done(current, tmp_path, rerun):
    earlier(current, tmp_path)
    one, _ = sorted((tmp_path / "encoders").iterdir())
    one.unlink()
    found, said = ran(tmp_path, rerun)
    assert "2 runs are judged anew" in said
    assert "2 runs were judged by an earlier rule: run again." in said
    assert not any(map(is_superseded, found.values()))
    assert sorted(record.oracle_nats is None for record in found.values()) == [False, False, True, True]
    assert "none is left to run" in ran(tmp_path)[1]


def test_a_dry_run_counts_what_is_not_done_and_writes_nothing(current, tmp_path):
    earlier(current, tmp_path)
    command = ["run", "-e", "infonce", "--task", "digits[m=2]", "--encoder", "random", "-n", "4,8"]
    command += ["--seeds", "2", "--steps", "2", "--critic", "bilinear", "--device", "cpu"]
    command += ["--out", str(tmp_path), "--dry-run"]
    assert "runs: 0 (4 of the grid" in CliRunner().invoke(app, command).stdout
    shutil.rmtree(tmp_path / "encoders")
    assert "runs: 4 (0 of the grid" in CliRunner().invoke(app, command).stdout
    assert len(Store(tmp_path).segments) == 1


def test_a_truth_that_stands_beats_a_later_record_without_one():
    now = encoded(truth="enumeration of equal representations", low=2.0, high=2.0)
    late = replace(now, truth=None, true_mi_low_nats=1.5, finished_at="2030-01-01T00:00:00Z")
    assert merge([now, late]) == merge([late, now]) == {now.key: now}


def test_only_representations_of_digits_are_superseded():
    assert is_superseded(encoded())
    assert not is_superseded(encoded(task="cpc"))
    assert not is_superseded(made_up(task="digits"))
    assert not is_superseded(encoded(true_mi_low_nats=None, true_mi_high_nats=None))


def test_a_report_names_the_runs_to_be_done_again(tmp_path):
    records = [*(encoded(seed=seed) for seed in range(3)), encoded("moco"), made_up()]
    (notice,) = gather([written(tmp_path / "old", records)], draw=False).notices
    assert notice.startswith("4 runs with encoder simclr and moco on digits were judged by an earlier rule")
    assert "mibench run" in notice
    now = [encoded(truth="enumeration of equal representations", low=2.0, high=2.0)]
    assert gather([written(tmp_path / "new", now)], draw=False).notices == []
