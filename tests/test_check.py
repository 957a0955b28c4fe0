"""`mibench check` as users see it: an unchanged estimator, a changed one, and bad input."""

import ast
import dataclasses
import importlib
import json
import math
import sys
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import mibench
from mibench import estimators
from mibench.analysis.regression import CHANGED, EXACT_CHANGED, NOT_DETERMINISTIC
from mibench.api import check as checking
from mibench.api import fingerprint, freezing
from mibench.api.placement import Placement
from mibench.cli import app
from mibench.engine.loop import Trainer
from mibench.estimators.scores.infonce import InfoNCE
from mibench.estimators.scores.nwj import NWJ
from mibench.registry import Entry
from mibench.reports import regression_reports
from mibench.store import baseline as baselines

TINY = ["-e", "infonce,nwj", "--dim", "2", "--mi", "0.5", "-n", "8", "--steps", "5", "--seeds", "12"]
TINY += ["--device", "cpu", "-q"]

pytest_plugins = ["pytester"]


def call(*words):
    return CliRunner().invoke(app, ["check", *(str(word) for word in words)])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("baselines") / "tiny.json"
    done = call("--save", path, *TINY)
    assert done.exit_code == 0, done.stderr
    return path


@pytest.fixture
def text(saved):
    return saved.read_text()


def against(path, *words):
    return call("--baseline", path, "--device", "cpu", "-q", *words)


def planted(monkeypatch, shift, kind=NWJ):
    original = kind.estimate
    monkeypatch.setattr(kind, "estimate", lambda self, scores: original(self, scores) + shift)


def trained_faster(monkeypatch, factor):
    original = Trainer.set_rate
    monkeypatch.setattr(Trainer, "set_rate", lambda self, lr: original(self, factor * lr))


def test_an_unchanged_estimator_is_fine(saved):
    done = against(saved)
    assert done.exit_code == 0, done.stdout
    assert "every number must be the same" in " ".join(done.stdout.split())
    assert done.stdout.count(" fine") == 2
    assert "All 2 cells are fine." in done.stderr


def test_the_file_is_readable(saved, text):
    lines = text.splitlines()
    assert sum('"estimates_nats"' in line for line in lines) == 2
    content = json.loads(text)
    assert content["shared"]["n"] == 8
    assert content["seeds"] == list(range(12))
    assert content["cells"][1]["estimator"]["name"] == "nwj"
    assert str(Path.home()) not in text
    frozen = baselines.read(saved)
    assert baselines.to_text(frozen) == text
    frame = mibench.run("nwj", dim=2, mi=0.5, n=8, steps=5, seeds=12, critic="separable[hidden=64]")
    assert list(frozen.cells[1].estimates) == list(frame["estimate_nats"])


def test_a_planted_bias_is_caught_in_its_cell_alone(saved, monkeypatch):
    planted(monkeypatch, 0.05)
    done = against(saved, "--json")
    assert done.exit_code == 1
    infonce, nwj = json.loads(done.stdout)["cells"]
    assert infonce["status"] == "fine"
    assert nwj["status"] == CHANGED
    assert nwj["change_nats"] == pytest.approx(0.05)
    assert "1 of 2 cells fail" in done.stderr


def test_a_change_below_the_tolerance_is_not_deterministic_here_and_fine_elsewhere(
    saved, tmp_path, text, monkeypatch
):
    trained_faster(monkeypatch, 1.001)
    done = against(saved, "--json")
    assert done.exit_code == 1
    assert [one["status"] for one in json.loads(done.stdout)["cells"]] == [NOT_DETERMINISTIC] * 2
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(text.replace(torch.__version__, "2.0.0"))
    done = against(elsewhere, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["differs"] == [f"torch 2.0.0 in the baseline, {torch.__version__} here"]


@pytest.mark.parametrize(
    ("item", "words", "tolerance"),
    [
        ("sources", [], 0.001),
        ("mibench", [], 0.001),
        *((item, [], 0.02) for item in ("torch", "python", "processor", "system", "device")),
        ("sources", ["--tolerance", "0.3"], 0.3),
        ("torch", ["--tolerance", "0.3"], 0.3),
    ],
)
def test_the_tolerance_is_small_where_only_what_is_tested_differs(item, words, tolerance, text, tmp_path):
    path = tmp_path / "other.json"
    content = json.loads(text)
    content["made_with"][item] = "another"
    path.write_text(json.dumps(content))
    found = json.loads(against(path, "--json", *words).stdout)
    assert found["tolerance_nats"] == tolerance
    assert found["differs"][0].startswith(f"{item} another in the baseline")
    assert found["fine"]


def test_a_change_of_the_estimator_itself_is_found_however_small(saved, text, tmp_path, monkeypatch):
    planted(monkeypatch, 1e-5)
    path = tmp_path / "elsewhere.json"
    path.write_text(text.replace(torch.__version__, "2.0.0"))
    infonce, nwj = json.loads(against(path, "--json").stdout)["cells"]
    assert infonce["status"] == "fine"
    assert nwj["status"] == EXACT_CHANGED
    assert nwj["message"].startswith("the value at the exact ratio changed: ")


def of_schema_1(text):
    """Return a baseline as version 0.1.0 wrote it."""
    content = json.loads(text) | {"schema": 1}
    for cell in content["cells"]:
        for name in ("names", *baselines.KNOWN):
            del cell[name]
    return json.dumps(content)


def test_a_baseline_of_schema_1_is_compared_in_what_it_has(text, tmp_path, monkeypatch):
    path = tmp_path / "schema_1.json"
    path.write_text(of_schema_1(text))
    done = against(path, "--json")
    assert done.exit_code == 0
    (words,) = json.loads(done.stdout)["not_compared"]
    assert words == "defaults, truth, ceiling and value at the exact ratio: a baseline of schema 1 has none"
    assert f"Not compared: {words}." in " ".join(against(path).stdout.split())
    planted(monkeypatch, 0.05)
    assert [one["status"] for one in json.loads(against(path, "--json").stdout)["cells"]] == ["fine", CHANGED]


def test_what_is_compared_is_not_said_not_to_be(saved):
    found = mibench.check(saved, device="cpu")
    assert found.not_compared == []
    assert all(verdict.cell.read_alike for verdict in found.verdicts)


def test_values_that_all_seeds_have_are_written_once(text):
    infonce, nwj = json.loads(text)["cells"]
    assert infonce["true_mi_low_nats"] == infonce["true_mi_high_nats"] == nwj["exact_nats"] == 0.5
    assert infonce["ceiling_nats"] == math.log(8)
    assert nwj["ceiling_nats"] is None
    assert len(infonce["oracle_nats"]) == len(nwj["oracle_nats"]) == 12
    assert infonce["names"]["critic"] == "separable[hidden=64]"


def test_a_baseline_holds_estimators_that_train_and_those_that_do_not(tmp_path):
    path = tmp_path / "both.json"
    assert call("--save", path, *TINY[2:], "-e", "infonce,ksg").exit_code == 0
    assert [cell["names"]["critic"] for cell in json.loads(path.read_text())["cells"]] == [
        "separable[hidden=64]",
        None,
    ]
    assert against(path).exit_code == 0


def test_an_estimate_above_its_ceiling_is_caught(saved, monkeypatch):
    planted(monkeypatch, math.log(8), InfoNCE)
    done = against(saved)
    assert done.exit_code == 1
    assert "above its ceiling" in done.stdout


def test_newly_failing_runs_are_caught(saved, monkeypatch):
    planted(monkeypatch, math.nan)
    done = against(saved)
    assert done.exit_code == 1
    assert "newly failing" in done.stdout
    assert "12 of 12 runs newly fail" in " ".join(done.stdout.split())


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """Return a function that installs a copy of NWJ from its source, as it is or with one text replaced."""
    source = Path(sys.modules[NWJ.__module__].__file__).read_text().replace('name = "nwj"', 'name = "copy"')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    entries = dict(estimators.registry.entries)
    entries["copy"] = Entry("copy", "copied_estimator", "NWJ", "", "a plug-in", "estimator")
    monkeypatch.setitem(estimators.registry.__dict__, "entries", entries)

    def install(old="", new=""):
        assert old in source
        (tmp_path / "copied_estimator.py").write_text(source.replace(old, new) if old else source)
        monkeypatch.delitem(sys.modules, "copied_estimator", raising=False)
        importlib.invalidate_caches()

    return install


def test_a_wrong_constant_in_a_copy_of_an_estimator_is_caught(copied, tmp_path):
    path = tmp_path / "baseline.json"
    copied()
    assert call("--save", path, *TINY, "-e", "copy").exit_code == 0
    copied()
    unchanged = against(path)
    assert unchanged.exit_code == 0
    assert "every number must be the same" in " ".join(unchanged.stdout.split())
    copied("(log_mean_exp_negatives(scores) - 1).exp()", "(log_mean_exp_negatives(scores) - 0.9).exp()")
    done = against(path, "--json")
    assert done.exit_code == 1
    content = json.loads(done.stdout)
    assert [(one["estimator"], one["status"]) for one in content["cells"]] == [
        ("infonce", "fine"),
        ("nwj", "fine"),
        ("copy", CHANGED),
    ]
    assert content["differs"][0].startswith("sources")


def test_another_version_of_an_estimator_is_named(saved, copied, monkeypatch):
    monkeypatch.setattr(NWJ, "version", 2)
    done = against(saved)
    assert done.exit_code == 2
    assert "incompatible version: estimator nwj: version 1 in the baseline, 2 here" in done.stderr


def test_a_baseline_of_ones_own_images_needs_the_file_wherever_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("own.npz", images=rng.random((40, 4, 4)), labels=np.arange(40) % 2)
    np.savez("other.npz", images=rng.random((40, 4, 4)), labels=np.arange(40) % 2)
    grid = ["-e", "infonce", "-t", "digits", "-n", "4", "--steps", "2", "--seeds", "2", "-q"]
    assert call("--save", "own.json", *grid, "--data", "own.npz", "--device", "cpu").exit_code == 0
    assert "own.npz" not in Path("own.json").read_text()
    Path("own.npz").rename("elsewhere.npz")
    assert against("own.json", "--data", "elsewhere.npz").exit_code == 0
    assert mibench.check("own.json", data="elsewhere.npz", device="cpu").fine
    for words in ([], ["--data", "other.npz"]):
        done = against("own.json", *words)
        assert done.exit_code == 2
        assert "not given" in done.stderr
    assert call("--save", "built-in.json", *grid, "--device", "cpu").exit_code == 0
    done = against("built-in.json", "--data", "other.npz")
    assert done.exit_code == 2
    assert "data is none in it" in done.stderr


def test_github(saved, monkeypatch):
    assert "::" not in against(saved, "--format", "github").stdout
    planted(monkeypatch, 0.05)
    done = against(saved, "--format", "github")
    assert done.exit_code == 1
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("::"))
    assert line.startswith("::error title=mibench check%3A nwj::changed by +0.050")
    assert "verdict" in done.stdout.lower()


def test_annotations_are_escaped(saved, monkeypatch):
    planted(monkeypatch, 0.05)
    found = mibench.check(saved, device="cpu")
    one = dataclasses.replace(
        found.failing[0],
        cell=dataclasses.replace(found.failing[0].cell, label="a, b: 5%\nc"),
        message="50%: d,\ne",
    )
    assert regression_reports.github([one]) == [
        "::error title=mibench check%3A a%2C b%3A 5%25%0Ac::50%25: d,%0Ae"
    ]


def test_junit(saved, tmp_path, monkeypatch):
    planted(monkeypatch, 0.05)
    path = tmp_path / "junit.xml"
    assert against(saved, "--junit", path).exit_code == 1
    root = ElementTree.parse(path).getroot()
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    infonce, nwj = root.iter("testcase")
    assert list(infonce) == []
    assert nwj.get("name") == "nwj"
    assert nwj.find("failure").get("type") == CHANGED
    assert "changed by +0.050" in nwj.find("failure").get("message")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["-e", "infonce"], "estimator is ba, cca,"),
        (["--mi", "1"], "mi is 0.5, 1.5, 6, none in it, 1 here"),
        (["-n", "64"], "n is 4, 64, 8 in it, 64 here"),
        (["-e", "infonse"], "Unknown estimator 'infonse'"),
    ],
    ids=str,
)
def test_a_baseline_of_several_grids_says_what_is_another(words, what):
    done = call("-q", "--device", "cpu", *words)
    assert done.exit_code == 2
    assert what in done.stderr


def test_too_few_seeds_are_said_when_they_are_saved_and_when_they_are_compared(tmp_path, monkeypatch):
    path = tmp_path / "few.json"
    done = call("--save", path, *TINY[:-5], "--seeds", "3", *TINY[-3:])
    assert done.exit_code == 0
    assert "in 2 cells: 9 seeds are needed" in done.stderr
    trained_faster(monkeypatch, 10)
    elsewhere = path.read_text().replace(torch.__version__, "2.0.0")
    path.write_text(elsewhere)
    done = against(path, "--format", "github")
    assert done.exit_code == 0
    assert "::warning title=mibench check%3A nwj::cannot detect any change with 3 paired" in done.stdout
    assert "2 of 2 cannot detect" in done.stderr


def test_failed_runs_are_saved_as_failed(tmp_path):
    path = tmp_path / "diverged.json"
    done = call("--save", path, "-e", "nwj", *TINY[2:], "--lr", "1e30")
    assert done.exit_code == 1
    assert "12 of 12 runs failed" in done.stderr
    (cell,) = json.loads(path.read_text())["cells"]
    assert cell["estimates_nats"] == [None] * 12
    assert cell["failures"]["3"].startswith("diverged")
    assert against(path).exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--rho", "-0.5", "--dim", "2", "-e", "smile[tau=none]"],
        ["-t", "cubic", "--dim", "2", "--mi", "0.5", "-e", "js"],
        ["-p", "staircase", "--dim", "2", "--mi", "0.5,1", "-e", "js", "--steps", "20"],
        ["--samples", "100", "--dim", "2", "--mi", "0.5", "-e", "js", "--precision", "float64"],
        ["-t", "linear-encoder", "--encoder", "linear[steps=3,dim=2,batch=8]", "-e", "js"],
    ],
    ids=["rho", "cubic", "staircase", "samples", "encoder"],
)
def test_every_grid_comes_back_from_its_file(words, tmp_path):
    path = tmp_path / "baseline.json"
    steps = [] if "--steps" in words else ["--steps", "5"]
    done = call("--save", path, *words, *steps, "-n", "8", "--seeds", "2", "-q", "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    done = against(path, *words)  # the grid may be given again, where it is the same
    assert done.exit_code == 0, done.stderr


def test_an_encoder_is_in_an_identity_only_where_there_is_one(text, tmp_path):
    assert "encoder" not in json.loads(text)["shared"]
    path = tmp_path / "baseline.json"
    words = ["-t", "linear-encoder", "--encoder", "linear[steps=3,dim=2,batch=8]", "-e", "infonce,js"]
    small = ["-n", "8", "--steps", "3", "--seeds", "2", "-q", "--device", "cpu"]
    assert call("--save", path, *words, *small).exit_code == 0
    assert json.loads(path.read_text())["shared"]["encoder"]["name"] == "linear"
    other = against(path, "--encoder", "linear[steps=4,dim=2,batch=8]", "-t", "linear-encoder")
    assert other.exit_code == 2
    assert "encoder is linear[batch=8,dim=2,steps=3] in it" in other.stderr
    path.write_text(path.read_text().replace('"batch": 8, ', ""))
    assert "encoder linear: batch missing in the baseline, 256 here" in against(path).stderr


def test_ba_is_refused_where_only_the_dimensions_of_a_representation_are_known(tmp_path):
    path = tmp_path / "baseline.json"
    words = ["-t", "linear-encoder", "--encoder", "linear[steps=3,dim=2,batch=8]", "-e", "doe"]
    small = ["-n", "8", "--steps", "3", "--seeds", "2", "-q", "--device", "cpu"]
    assert call("--save", path, *words, *small).exit_code == 0
    path.write_text(path.read_text().replace('"name": "doe"', '"name": "ba"'))
    done = against(path)
    assert done.exit_code == 2
    assert "cannot be run here. Estimator 'ba' needs the differential entropy of Y" in done.stderr


def test_settings_of_training_are_of_those_that_train():
    names = {"infonce", "ksg"}
    for given in ({"steps": 7}, {"lr": 0.1}, {}):
        planned = freezing.plan_to_freeze({"seeds": 1, "device": "cpu", **given})
        assert names <= {spec.estimator.name for spec in planned.specs}
    assert freezing.plan_to_freeze({"estimator": "ksg", "seeds": 1, "device": "cpu"}).specs
    with pytest.raises(mibench.UsageError, match="No estimator here can use --steps"):
        freezing.plan_to_freeze({"estimator": "ksg", "steps": 7, "device": "cpu"})


def test_a_grid_of_untrained_estimators_is_another_than_a_baseline_with_trained_ones(saved):
    done = against(saved, "-e", "ksg")
    assert done.exit_code == 2
    assert "is of another grid: estimator is infonce, nwj in it, ksg here" in done.stderr


BAD = [
    (["--baseline", "none.json"], "Unknown baseline", "--save"),
    (["--baseline", "referense"], "Unknown baseline 'referense'", "Did you mean 'reference'?"),
    (["--baseline", "."], "is a folder", "file"),
    (["--baseline", "tiny.jsn"], "Unknown baseline 'tiny.jsn'", "Did you mean 'tiny.json'?"),
    (["-n", "9"], "is of another grid: n is 8 in it, 9 here", "--save"),
    (["-e", "infonce"], "estimator is infonce, nwj in it, infonce here", "--save"),
    (["--mi", "1,2"], "mi is 0.5 in it, 1, 2 here", "--save"),
    (["--rho", "0.1"], "rho is none in it, 0.1 here", "--save"),
    (["-e", "infonse"], "Unknown estimator 'infonse'", "infonce"),
    (["--tolerance", "-1"], "must not be negative", "0.02"),
    (["--tolerance", "small"], "'small'", "number"),
    (["--alpha", "1"], "between 0 and 1", "0.01"),
    (["--format", "githb"], "Unknown format 'githb'", "github"),
    (["--format", "github", "--json"], "both write to stdout", "one"),
    (["--junit", "none/junit.xml"], "cannot be written", "folder"),
    (["--junit", "."], "cannot be written", "folder"),
    (["--device", "gpu"], "Unknown device 'gpu'", "cuda"),
    (["--save", "tiny.json"], "is there already", "delete"),
    (["--save", "none/new.json"], "no folder 'none'", "Make it first"),
    (["--save", "."], "is a folder", "file"),
    (["--save", "new"], "has no suffix", "new.json"),
    (["--save", "new.json", "--junit", "junit.xml"], "--save and --junit", "one"),
    (["--save", "new.json", "--json"], "--save and --json", "one"),
    (["--save", "new.json", "--baseline", "tiny.json"], "--save and --baseline", "one"),
    (["--save", "new.json", "-e", "infonse"], "Unknown estimator 'infonse'", "infonce"),
    (["--save", "new.json", "--steps", ""], "''", "number"),
]


@pytest.mark.parametrize(("words", "what", "how"), BAD, ids=lambda v: " ".join(v) if type(v) is list else "")
def test_bad_input_gets_two_lines_and_status_2_and_writes_nothing(
    words, what, how, text, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.json").write_text(text)
    baseline = [] if {"--baseline", "--save"} & set(words) else ["--baseline", "tiny.json"]
    done = call(*baseline, *words)
    assert done.exit_code == 2
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first.startswith("Error: ")
    assert what in first
    assert how in second
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.json"]
    assert (tmp_path / "tiny.json").read_text() == text


DAMAGED = [
    (lambda text: text[:-20], "is damaged"),
    (lambda text: "", "is damaged"),
    (lambda text: "[1, 2]", "is damaged: not a baseline of mibench"),
    (
        lambda text: '{"schema": 3}',
        "newer version of mibench: its schema is 3, and this version reads up to 2",
    ),
    (lambda text: '{"schema": 0}', "is damaged: not a baseline of mibench"),
    (lambda text: text.replace('"batches"', '"bunches"'), "is damaged: 'batches' is missing"),
    (
        lambda text: text.replace('"oracle_nats": [', '"oracle_nats": [1, '),
        "cell 1 has 13 oracle_nats for 12",
    ),
    (
        lambda text: text.replace('"exact_nats": 0.5', '"exact_nats": "0.5"'),
        "exact_nats of cell 2 has a value",
    ),
    (lambda text: text.replace('"names": {', '"names": {"a": 1, '), "cell 1 has no names"),
    (lambda text: text.replace('"seeds"', '"seedlings"'), "is damaged: 'seeds' is missing"),
    (lambda text: text.replace("[0, 1,", "[1, 1,"), "each once"),
    (lambda text: text.replace("[0, 1,", "[0.5, 1,"), "whole numbers"),
    (lambda text: text.replace("[0, 1,", "[1,"), "12 estimates for 11 seeds"),
    (lambda text: text.replace('"estimates_nats": [', '"estimates_nats": [NaN, '), "NaN is not a number"),
    (lambda text: text.replace('"estimates_nats": [', '"estimates_nats": ["1", '), "is damaged: cell 1"),
    (lambda text: text.replace('"n": 8', '"n": 1'), "n must be at least 2"),
    (lambda text: text.replace('"n": 8, ', ""), "cannot be read ('n')"),
    (lambda text: text.replace('"n": 8', '"n": 8, "m": 9'), "m 9 in the baseline, missing here"),
    (lambda text: text.replace('"key_version": ', '"key_version": 9'), "key_version 9"),
    (lambda text: text.replace('"critic": {', '"critic": 5, "c": {'), "cannot be read"),
    (lambda text: text.replace('"name": "nwj"', '"name": "nwjj"'), "Unknown estimator 'nwjj'"),
    (
        lambda text: text.replace('"name": "nwj"', '"name": "infonce"'),
        "temperature missing in the baseline, 1 here",
    ),
    (
        lambda text: text.replace('"hidden": 64', '"hiden": 64'),
        "Unknown option of model 'separable': 'hiden'",
    ),
    (
        lambda text: text.replace('"hidden": 64, ', ""),
        "critic separable: hidden missing in the baseline, 256 here",
    ),
    (lambda text: text.replace('"one-cycle"', '"two-cycle"'), "Unknown schedule 'two-cycle'"),
]


@pytest.mark.parametrize(("damage", "what"), DAMAGED, ids=[what for _, what in DAMAGED])
def test_a_baseline_that_cannot_be_used_says_why(damage, what, text, tmp_path):
    path = tmp_path / "damaged.json"
    path.write_text(damage(text))
    assert path.read_text() != text
    done = against(path)
    assert done.exit_code == 2
    assert done.stdout == ""
    first, _ = done.stderr.splitlines()
    assert what in first
    assert "damaged.json" in first


def test_a_cell_that_stands_twice(text, tmp_path):
    path = tmp_path / "twice.json"
    lines = text.splitlines()
    (index,) = (i for i, line in enumerate(lines) if '"nwj"' in line)
    path.write_text("\n".join([*lines[:index], lines[index] + ",", *lines[index:]]))
    assert "has a cell twice" in against(path).stderr


def test_the_api(saved, monkeypatch):
    found = mibench.check(str(saved), device="cpu")
    assert found.fine
    assert found.seeds_needed == 9
    planted(monkeypatch, 0.05)
    assert not mibench.check(saved, device="cpu").fine
    assert mibench.check(saved, tolerance=0.1, device="cpu").verdicts[1].status == EXACT_CHANGED
    with pytest.raises(mibench.UsageError, match="alpha"):
        mibench.check(saved, alpha=0)


def test_as_many_threads_as_when_the_baseline_was_made(saved):
    frozen = baselines.read(saved)
    before = torch.get_num_threads()
    with checking.as_made(dataclasses.replace(frozen, made_with={"threads": before + 1})):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with checking.as_made(dataclasses.replace(frozen, made_with={})):
        assert torch.get_num_threads() == before


def test_the_threads_of_the_baseline_are_no_difference(text, tmp_path):
    path = tmp_path / "threads.json"
    path.write_text(text.replace(f'"threads": {torch.get_num_threads()}', '"threads": 2'))
    assert path.read_text() != text
    assert mibench.check(path, device="cpu").differs == []


TOP = {path.stem for path in fingerprint.PACKAGE.iterdir() if path.suffix in ("", ".py")} - {"__pycache__"}
MAKE_NUMBERS = {"engine", "encoders", "tasks", "estimators", "models", "batch", "objectives", "scores"}
MAKE_NUMBERS |= {"convolution", "geometry", "networks", "options", "registry", "notation", "seeding", "spec"}
MAKE_NUMBERS |= {"limits", "process", "tiles", "validation"}


def test_every_module_is_known_to_make_numbers_or_not():
    assert not MAKE_NUMBERS & set(fingerprint.AROUND)
    assert TOP - set(fingerprint.AROUND) <= MAKE_NUMBERS
    hashed = {path.relative_to(fingerprint.PACKAGE).parts[0] for path in fingerprint.sources()}
    assert {name.removesuffix(".py") for name in hashed} == TOP - set(fingerprint.AROUND)


def test_what_makes_numbers_imports_nothing_outside_the_fingerprint():
    for path in fingerprint.sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                package, _, rest = (name or "").partition(".")
                imported = rest.partition(".")[0]
                assert package != "mibench" or imported not in {*fingerprint.AROUND} - {"errors"}, path


def test_a_new_module_enters_the_fingerprint(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path)
    (tmp_path / "spec.py").write_text("")
    before = fingerprint.made_with(torch.device("cpu"), [])["sources"]
    (tmp_path / "cli.py").write_text("")
    assert fingerprint.made_with(torch.device("cpu"), [])["sources"] == before
    (tmp_path / "flows.py").write_text("")
    assert fingerprint.made_with(torch.device("cpu"), [])["sources"] != before


def test_the_fixture(saved, pytester):
    pytester.makepyfile(
        f"""
        import pytest
        from mibench.estimators.scores.nwj import NWJ

        def test_fine(mibench_check):
            assert mibench_check({str(saved)!r}, device="cpu").fine

        def test_changed(mibench_check, monkeypatch):
            estimate = NWJ.estimate
            monkeypatch.setattr(NWJ, "estimate", lambda self, scores: estimate(self, scores) + 0.05)
            mibench_check({str(saved)!r}, device="cpu")
        """
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n", "0")
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*1 of 2 cells fail.*", "*| nwj *| changed |*"])


def test_the_plugin_does_not_import_torch(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_nothing_heavy():
            assert "mibench.pytest_plugin" in sys.modules
            assert not {"torch", "pandas", "numpy"} & set(sys.modules)
        """
    )
    pytester.runpytest_subprocess("-n", "0").assert_outcomes(passed=1)


def test_the_reference_has_only_this_packages_estimators_and_is_of_the_default_grid():
    frozen = baselines.read(baselines.find("reference"))
    assert files("mibench").joinpath("baselines/reference.json").is_file()
    planned = freezing.plan_of(frozen, "reference", Placement("cpu"))
    own = {entry.name for entry in estimators.registry.entries.values() if entry.origin == "mibench"}
    frozen_names = {spec.estimator.name for spec in planned.specs}
    assert len(frozen_names) >= 9
    assert frozen_names <= own  # a new estimator enters when the file is next made, see its README
    default = freezing.plan_to_freeze({"device": "cpu"}).specs
    assert set(planned.specs) == {spec for spec in default if spec.estimator.name in frozen_names}
    assert not any(cell.failures for cell in frozen.cells)


def test_without_a_grid_all_grids_of_the_reference_are_frozen():
    specs = freezing.plan_to_freeze({"device": "cpu", "seeds": "2"}).specs
    assert {spec.seed for spec in specs} == {0, 1}
    assert len(set(specs)) == len(specs)
    assert {spec.task.name for spec in specs} == {
        *("gaussian", "cubic", "bigram", "digits", "linear-encoder", "cpc")
    }
    assert {4, 8} < {spec.n for spec in specs}
    assert max(dict(spec.task.options).get("mi") or 0 for spec in specs if spec.task.name == "gaussian") >= 6
    assert {"nce[k=1]", "smile[tau=1]"} < {spec.estimator.label for spec in specs}
    alone = freezing.plan_to_freeze({"device": "cpu", "seeds": "2", "estimator": "infonce"}).specs
    assert len(alone) == 2 * 2
