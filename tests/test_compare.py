"""`mibench compare` and `reproduce` as users see them."""

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

import mibench
from mibench import models
from mibench.api import reproduce as reproducing
from mibench.cli import app
from mibench.store.segments import Store

SMALL = ["--dim", "2", "--mi", "0.5,1", "-n", "4", "--steps", "3", "--seeds", "8", "--device", "cpu", "-q"]
SUITE = """
title = "A small one"
estimators = ["nwj", "smile", "smile[tau=1]"]
task = "gaussian"
dim = 2
mi = [1, 2]
n = 4
protocol = "staircase"
steps = 20
seeds = 2
published = "numbers.csv"
notes = ["smile[tau=1] is a known exception"]
[critics]
one = "separable[hidden=8]"
two = "bilinear"
"""
NUMBERS = """estimator,critic,true_mi_nats,estimate_nats,reading_error_nats
nwj,one,1,100.0,0.01
smile[tau=1],one,1,0.0,1000
"""


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SUITE)
    (tmp_path / "numbers.csv").write_text(NUMBERS)
    return path


def test_compare_leaves_tables_and_figures_and_runs_nothing_twice(tmp_path):
    out = tmp_path / "out"
    done = call("compare", "infonce", "nwj", "js", "smile", *SMALL, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert {path.name for path in out.iterdir()} == {
        ".mibench.json",
        "records",
        "comparison.csv",
        "comparison.md",
        "comparison.tex",
        "pairs.csv",
        "metrics_vs_true.png",
        "metrics_vs_true.pdf",
        "error_split.png",
        "error_split.pdf",
    }
    assert "p (Holm)" in done.stdout
    again = call("compare", "infonce", "nwj", "js", "smile", *SMALL, "--out", out, "--json")
    assert "64 of 64 runs are finished" in again.stderr
    content = json.loads(again.stdout)
    assert len(content["cells"]) == 4 * 2
    assert len(content["pairs"]) == 6 * 2
    assert {row["seeds"] for row in content["pairs"]} == {8}
    assert content["seeds_needed"] == 9


def test_compare_on_representations(tmp_path):
    words = ["-t", "linear-encoder", "--encoder", "linear[steps=3,dim=2,batch=8]", "-n", "4"]
    small = ["--steps", "3", "--seeds", "2", "--device", "cpu", "-q"]
    done = call("compare", "infonce", "nwj", *words, *small, "--out", tmp_path)
    assert done.exit_code == 0, done.stderr
    assert "Truth" in done.stdout
    assert "encoder linear[batch=8,dim=2,steps=3]" in " ".join(done.stdout.split())
    assert (tmp_path / "error_split.png").is_file()


def test_runs_of_one_training_say_so(tmp_path):
    call("compare", "js", "smile", "nwj", *SMALL, "--out", tmp_path)
    records = Store(tmp_path).load().values()
    trainings = {}
    for record in records:
        trainings.setdefault(record.training, set()).add(record.estimator)
    assert sorted(map(sorted, trainings.values())) == sorted([["js", "smile"], ["nwj"]] * 16)
    assert {record.objective for record in records} == {"jensen-shannon", "nwj"}


@pytest.mark.parametrize(
    ("words", "what", "how"),
    [
        (["infonce"], "two estimators at least", "mibench compare infonce nwj"),
        (["infonce", "infonce"], "two estimators at least", "Name two"),
        (["infonce", "nwjj"], "Unknown estimator 'nwjj'", "nwj"),
        (["infonce", "nwj", "--alpha", "0"], "alpha must lie", "0.05"),
        (["infonce", "nwj", "--alpha", "much"], "'much'", "number"),
        (["infonce", "nwj", "--protocol", "staircse"], "Unknown protocol 'staircse'", "staircase"),
        (["infonce", "nwj", "--protocol", "staircase", "--steps", "11"], "11 steps", "multiple of 5"),
        (["infonce", "nwj", "--protocol", "staircase", "--rho", "0.5"], "given by its true MI", "--mi"),
        (["infonce", "nwj", "--samples", "100", "--protocol", "stream"], "samples are given", "samples"),
        (["infonce", "nwj", "--samples", "100"], "fewer than two batches of n = 64", "n of at most 10"),
        (["infonce", "nwj", "--samples", "0"], "size of 'samples' must be at least 1", "1 or more"),
        (["infonce", "nwj", "-p", "samples[train=0.9]"], "leave a part empty", "below 1"),
        (["infonce", "nwj", "-p", "staircase[levels=2/2]"], "do not climb", "2/4/6"),
        (["interpolated[alpha=2]", "nwj"], "between 0 and 1", "TUBA"),
    ],
)
def test_mistakes_are_said_in_two_lines(words, what, how, tmp_path):
    done = call("compare", *words, "--out", tmp_path / "out")
    assert done.exit_code == 2
    first, second = done.stderr.strip().splitlines()
    assert what in first
    assert how in second
    assert not (tmp_path / "out").exists()


def test_compare_in_python():
    compared = mibench.compare(["infonce", "nwj"], dim=2, mi=[1], n=[4], steps=3, seeds=3, device="cpu")
    assert len(compared.cells) == 2
    assert compared.pairs["verdict"].item() == "cannot tell"
    with pytest.raises(mibench.UsageError, match="two estimators"):
        mibench.compare("infonce")


def test_samples_have_a_figure_and_show_their_optimism(tmp_path):
    small = ["--dim", "2", "--mi", "0.5,1", "-n", "4", "--steps", "3", "--seeds", "2", "--device", "cpu"]
    done = call("run", *small, "--samples", "40,80", "--out", tmp_path, "--json")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "bias_vs_samples.png").is_file()
    first = json.loads(done.stdout)["records"][0]
    assert first["samples"] == 40
    assert first["protocol"] == "samples"
    assert None not in (first["train_nats"], first["validation_nats"], first["best_step"])


def test_run_on_the_staircase_draws_it(tmp_path):
    small = ["--dim", "2", "--mi", "0.5,1", "-n", "4", "--steps", "20", "--seeds", "2", "--device", "cpu"]
    done = call("run", "-e", "nwj", *small, "--protocol", "staircase", "--out", tmp_path, "--json")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "staircase.png").is_file()
    assert {row["protocol"] for row in json.loads(done.stdout)["records"]} == {"staircase[levels=0.5/1]"}


def test_reproduce_shows_ours_beside_theirs(suite, tmp_path):
    out = tmp_path / "out"
    done = call("reproduce", suite, "--out", out, "-q")
    assert done.exit_code == 0, done.stderr
    assert {path.name for path in out.glob("[!.]*.*")} == {
        f"{stem}.{kind}"
        for stem, kinds in {
            "reproduction": ("csv", "md", "tex"),
            "staircase_one": ("png", "pdf"),
            "staircase_two": ("png", "pdf"),
        }.items()
        for kind in kinds
    }
    assert "A small one" in done.stderr
    assert "smile[tau=1] is a known exception" in done.stdout
    rows = json.loads(call("reproduce", suite, "--out", out, "-q", "--json").stdout)["rows"]
    assert len(rows) == 2 * 3 * 2
    by_name = {(row["critic_name"], row["estimator"], row["true_mi_nats"]): row for row in rows}
    wrong = by_name["one", "nwj", 1.0]
    assert wrong["verdict"] == "differs"
    assert wrong["difference_nats"] == pytest.approx(wrong["mean_nats"] - 100)
    assert by_name["one", "smile[tau=1]", 1.0]["verdict"] == "within noise"
    assert by_name["two", "nwj", 1.0]["published_nats"] is None
    single = call("reproduce", suite, "--out", out, "-q", "--json", "--seeds", "1").stdout
    assert {row["verdict"] for row in json.loads(single)["rows"]} == {"", "cannot tell"}


def test_reproduce_runs_a_part_of_a_suite_and_keeps_whole_curves(suite, tmp_path):
    out = tmp_path / "out"
    done = call("reproduce", suite, "--critic", "two", "--only", "smile", "--out", out, "-q", "--json")
    rows = json.loads(done.stdout)["rows"]
    assert {row["estimator"] for row in rows} == {"smile", "smile[tau=1]"}
    assert {row["critic_name"] for row in rows} == {"two"}
    store = Store(out)
    records = list(store.load().values())
    assert len(records) == 2 * 2 * 2
    for record in records:
        curve = store.curve(record.key)
        assert curve.shape == (10,)
        assert np.isfinite(curve).all()
    assert store.curve("nothing") is None


@pytest.mark.parametrize("name", reproducing.suites())
def test_suites_of_the_package_are_sound(name):
    suite = reproducing.load(name)
    planned = suite.plan()
    assert {spec.fit.steps for spec in planned.specs} == {20_000}
    assert {spec.n for spec in planned.specs} == {64}
    assert len({spec.estimator.label for spec in planned.specs}) == len(suite.estimators)
    published = suite.published_numbers()
    if published is not None:
        names = {models.registry.choose(ours).label: name for name, ours in suite.critics.items()}
        runs = [
            (spec.estimator.label, names[spec.fit.model.label], dict(spec.task.options)["mi"])
            for spec in planned.specs
        ]
        columns = ["estimator", "critic", "true_mi_nats"]
        assert sorted(published[columns].itertuples(index=False, name=None)) == sorted(runs)


def test_levels_in_bits_are_nats_in_runs_and_numbers(suite):
    made = reproducing.load("lee-rhee-2024")
    assert made.settings["mi"] == [2 * math.log(2) * factor for factor in (1, 2, 3, 4, 5)]
    numbers = made.published_numbers().set_index(["critic", "estimator", "true_mi_nats"])["estimate_nats"]
    assert numbers["bilinear", "infonce", 4 * math.log(2)] == 2.1302
    assert numbers["bilinear", "nwj", 2 * math.log(2)] == -0.5365
    assert numbers["separable", "mine[rate=0.1]", 10 * math.log(2)] == 4.4940
    suite.write_text(SUITE.replace("n = 4", 'n = 4\nunit = "bits"'))
    with pytest.raises(mibench.UsageError, match="of 1 nats, which the suite lacks") as found:
        reproducing.load(str(suite)).published_numbers()
    assert "0.6931472, 1.386294 nats" in found.value.how
    (suite.parent / "numbers.csv").write_text(NUMBERS.replace(",1,", ",0.6931472,"))
    assert set(reproducing.load(str(suite)).published_numbers()["true_mi_nats"]) == {math.log(2)}


def test_published_names_are_ours_however_they_are_spelled(suite):
    (suite.parent / "numbers.csv").write_text(NUMBERS.replace("nwj,", "smile[tau=5.0],"))
    made = reproducing.load(str(suite))
    assert list(made.published_numbers()["estimator"]) == ["smile", "smile[tau=1]"]
    for only, expected in ((["smile[tau=5]"], {"smile"}), (["smile"], {"smile", "smile[tau=1]"})):
        assert {spec.estimator.label for spec in made.plan(only=only).specs} == expected


BAD = [
    ("titel = 'x'", "titel", "title"),
    ("title = 'x'", "no 'estimators'", "Add estimators"),
    ("title = ", "Cannot read the suite", "TOML"),
    (SUITE.replace("numbers.csv", "none.csv"), "published numbers", "CSV"),
    (SUITE.replace('"nwj"', '"nwjj"'), "nwjj", "nwj"),
    (SUITE.replace('notes = ["smile[tau=1] is a known exception"]', 'notes = "one"'), "notes of", "a list"),
    (SUITE.replace("n = 4", "n = [4, 8]"), "n of the suite", "whole number"),
    (SUITE.replace("n = 4", 'n = 4\nunit = "bit"'), "Unknown unit 'bit'", "bits"),
    (SUITE.replace("mi = [1, 2]", 'mi = ["much"]'), "'much'", "number"),
    (SUITE.replace("mi = [1, 2]", "mi = [1.5, 2]"), "of 1 nats, which the suite lacks", "1.5, 2 nats"),
    (SUITE.replace("two =", '"a/b" ='), "characters other than letters", "[critics]"),
    (SUITE.replace('"smile[tau=1]"]', "5]"), "not text", "in quotes"),
    (SUITE.replace('"bilinear"', "5"), "critics of the suite", "in quotes"),
    (SUITE.replace('"nwj", ', ""), "estimator in", "lacks"),
    (SUITE.partition("[critics]")[0] + "critics = 3", "critics of the suite", "a table"),
]


@pytest.mark.parametrize(("text", "what", "how"), BAD)
def test_a_suite_with_a_mistake_is_said_to_have_one(text, what, how, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    (tmp_path / "numbers.csv").write_text(NUMBERS)
    done = call("reproduce", path, "--out", tmp_path / "out")
    assert done.exit_code == 2
    first, second = done.stderr.strip().splitlines()
    assert what in first
    assert how in second


@pytest.mark.parametrize(
    ("words", "what", "how"),
    [
        (["song-ermon-2021"], "Unknown suite", "song-ermon-2020"),
        (["song-ermon-2020", "--critic", "seperable"], "seperable", "separable"),
        (["song-ermon-2020", "--only", "infonc"], "infonc", "infonce"),
    ],
)
def test_unknown_names_of_a_suite(words, what, how, tmp_path):
    done = call("reproduce", *words, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert what in done.stderr
    assert f"Did you mean '{how}'" in done.stderr
