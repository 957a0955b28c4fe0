"""The files of a grid: those of an earlier grid go, and nothing else does."""

import json

import pytest
from records import record
from stores import by_noise, grid

from mibench.analysis.comparison import compare
from mibench.reports.output import MANIFEST, write_comparison, write_tables
from mibench.store.record import to_frame


def names(folder):
    return {path.name for path in folder.iterdir()} - {MANIFEST}


def test_files_of_an_earlier_grid_are_removed_and_a_user_s_own_are_not(tmp_path):
    own = ["vs_k.txt", "notes.md", "metrics_vs_true.svg"]
    for name in own:
        (tmp_path / name).write_text("mine")
    first = {path.name for path in write_tables(to_frame(by_noise(seeds=2)), tmp_path)}
    assert {"vs_k.png", "vs_k.pdf"} <= first
    second = {path.name for path in write_tables(to_frame([record("a")]), tmp_path)}
    assert "vs_k.png" not in second
    assert names(tmp_path) == {*second, *own}
    assert {(tmp_path / name).read_text() for name in own} == {"mine"}


def test_what_another_command_wrote_is_kept_unless_it_is_written_again(tmp_path):
    frame = to_frame(grid(seeds=2))
    compared = {path.name for path in write_comparison(compare(frame), tmp_path)}
    run = {path.name for path in write_tables(frame, tmp_path)}
    assert names(tmp_path) == compared | run
    assert "metrics_vs_true.png" in compared & run
    alone = {path.name for path in write_tables(frame[frame["estimator"] == "nwj"], tmp_path)}
    assert names(tmp_path) == alone | (compared - run)
    again = {path.name for path in write_comparison(compare(frame), tmp_path)}
    assert again == compared
    assert names(tmp_path) == alone | compared


def test_figures_without_a_manifest_are_left_alone(tmp_path):
    (tmp_path / "vs_k.png").write_text("of an older version, or the user's own")
    write_tables(to_frame([record("a")]), tmp_path)
    assert (tmp_path / "vs_k.png").exists()


@pytest.mark.parametrize(
    "manifest", ["{", "[]", "3", "null", '{"run": 3}', '{"run": ["../victim.md", "/etc/x.md", 3, "records"]}']
)
def test_a_manifest_can_remove_nothing_but_files_of_its_folder(manifest, tmp_path):
    folder = tmp_path / "out"
    (folder / "records").mkdir(parents=True)
    (tmp_path / "victim.md").write_text("kept")
    (folder / MANIFEST).write_text(manifest)
    write_tables(to_frame([record("a")]), folder)
    assert (tmp_path / "victim.md").exists()
    assert (folder / "records").is_dir()
    assert json.loads((folder / MANIFEST).read_text())["run"]
