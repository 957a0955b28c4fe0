"""README and docs/: commands are understood, links resolve, examples run, numbers are those of results/."""

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from mibench.cli import app
from mibench.store.segments import Store

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in [README, *DOCS, ROOT / "benchmarks/README.md", ROOT / "mibench/baselines/README.md"]
}
COMMAND = re.compile(r"^(?:\$|   ) (?:\w+=\w+ )*mibench (.*?)(?:\s{2,}#.*)?$", re.MULTILINE)
COMMANDS = list(dict.fromkeys(command for page in PAGES.values() for command in COMMAND.findall(page)))
TRAINING = ("run", "compare", "reproduce")
NEEDS_A_CLUSTER = "--scheduler"
"""Commands that `tests/engine/test_dask.py` types."""


@pytest.fixture
def a_folder(tmp_path, monkeypatch):
    """A folder with the files that the commands of the pages read."""
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(200, 4))
    pd.DataFrame(rows, columns=["x_0", "x_1", "y_0", "y_1"]).to_csv("data.csv", index=False)
    images = np.random.default_rng(0).random((600, 12, 12))
    np.savez("mine.npz", images=images, labels=np.arange(600) % 3)
    for name in ("results/infonce_gaussian_20d", "shared"):
        shutil.copytree(ROOT / "results/infonce_gaussian_20d", name)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [each for each in COMMANDS if not each.startswith("check") and NEEDS_A_CLUSTER not in each],
)
def test_commands_are_understood(command, a_folder):
    words = shlex.split(command)
    if words[0] in TRAINING:
        words += ["--out", str(a_folder / "out"), *["--dry-run"] * ("--dry-run" not in words)]
    if words[0] == "estimate":
        words += ["--steps", "2", "--seeds", "2", "-n", "8"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr


def test_check_commands_are_understood(a_folder):
    """The file that `check --save` writes is read by `check --baseline`; the grid is made small."""
    page = PAGES["docs/regression.md"]
    default, save, compare = (shlex.split(words) for words in COMMAND.findall(page) if "check" in words)
    assert default == ["check"]
    small = ["--steps", "2", "--dim", "2", "-n", "4", "--quiet"]
    assert CliRunner().invoke(app, [*save, *small]).exit_code == 0
    done = CliRunner().invoke(app, [*compare, "--quiet"])
    assert done.exit_code == 0, done.stdout
    assert (a_folder / "check.xml").is_file()


def test_commands_in_running_text_exist():
    """`mibench run --encoder` in a sentence: the command and its options, whatever stands for the values."""
    commands = typer.main.get_command(app).commands
    spoken = {words for page in PAGES.values() for words in re.findall(r"`mibench ([^`]+)`", page)}
    assert len(spoken) >= 10
    for name, *words in map(shlex.split, spoken):
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options | {"--help"}, (name, words)


def test_make_targets_exist():
    """`make run` and `make test`, but also every other target that a page names, with its variables."""
    commands = {
        words for page in PAGES.values() for words in re.findall(r"^\$ (make .*?)(?:\s+#.*)?$", page, re.M)
    }
    assert {"make run", "make test"} <= commands
    for command in commands:
        done = subprocess.run(
            [*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_main_job_is_what_make_run_does():
    (command,) = re.findall(r"mibench (run .*) \$\(ARGS\)", (ROOT / "Makefile").read_text("utf-8"))
    assert f"`mibench {command}`" in PAGES["README.md"]
    assert command in COMMANDS


@pytest.mark.parametrize("name", PAGES)
def test_links_resolve(name):
    folder = (ROOT / name).parent
    links = re.findall(r"\]\(([^)]+)\)", PAGES[name])
    for link in links:
        if link.startswith("https://"):  # of somebody else
            continue
        target, _, heading = link.partition("#")
        path = (folder / target).resolve() if target else ROOT / name
        assert path.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
            assert heading in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles], (
                link
            )


def test_every_page_is_in_the_index():
    linked = set(re.findall(r"\]\((\w[\w-]*\.md)\)", PAGES["docs/index.md"]))
    assert linked == {path.name for path in DOCS} - {"index.md"}


def test_the_readme_is_short():
    assert len(PAGES["README.md"].splitlines()) < 150


def test_the_python_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", PAGES["docs/python.md"], re.DOTALL)
    names = {}
    exec(code.replace("seeds=3", "seeds=1, steps=3"), names)
    assert len(names["frame"]) == 2
    assert names["scores"].shape == (64, 64)


def rows_of(text):
    """The rows of Markdown tables, without their padding."""
    return [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_the_tables_of_the_main_job_are_the_published_ones():
    published = (ROOT / "results/infonce_gaussian_20d/table.md").read_text("utf-8").strip()
    assert published in PAGES["docs/quickstart.md"]
    heading, line, *rows = rows_of(published)
    assert rows_of(PAGES["README.md"]) == [heading, line, *(row for row in rows if row[1] == "64")]


def test_the_comparison_is_the_published_one():
    published = rows_of((ROOT / "results/compare_gaussian_20d/comparison.md").read_text("utf-8"))
    rows = [row for row in published if row[0] == "4"]
    assert len(rows) == 4 + 6
    assert [row for row in rows_of(PAGES["docs/compare.md"]) if row[0] == "4"] == rows


def reproductions():
    """The published reproduction of each critic, by estimator and level."""
    return {
        critic: pd.read_csv(ROOT / f"results/song_ermon_2020/{critic}/reproduction.csv").set_index(
            ["estimator", "true_mi_nats"]
        )
        for critic in ("separable", "joint")
    }


def test_the_reproduction_is_the_published_one():
    """One row per estimator and level: theirs, ours, and the spread over seeds, for both critics."""
    separable, joint = reproductions().values()
    assert len(separable) == len(joint) == 25
    expected = []
    for (estimator, level), row in separable.iterrows():
        other = joint.loc[(estimator, level)]
        numbers = row["published_nats"], row["mean_nats"], row["std_nats"]
        numbers += other["published_nats"], other["mean_nats"]
        expected.append((f"`{estimator}`", f"{level:g}", *(f"{number:.2f}" for number in numbers)))
    assert rows_of(PAGES["docs/reproduce.md"])[2 : 2 + len(expected)] == expected


def lee_rhee():
    """Published and our estimates, and the difference, by critic, estimator and level in bits."""
    table = pd.read_csv(ROOT / "results/lee_rhee_2024/reproduction.csv")
    bits = (table["true_mi_nats"] / np.log(2)).round().astype(int)
    return table.assign(bits=bits).set_index(["critic_name", "estimator", "bits"])


def test_the_second_reproduction_is_the_published_one():
    table = lee_rhee()
    expected = []
    for estimator, bits in table.index.droplevel("critic_name").unique():
        rows = [table.loc[(critic, estimator, bits)] for critic in ("bilinear", "separable")]
        numbers = (row[name] for row in rows for name in ("published_nats", "mean_nats"))
        expected.append((f"`{estimator}`", str(bits), *(f"{number:.2f}" for number in numbers)))
    assert len(expected) == 8 * 5
    assert rows_of(PAGES["docs/reproduce.md"])[-len(expected) :] == expected


def test_what_is_said_of_the_second_reproduction():
    table = lee_rhee().sort_index()
    difference = table["difference_nats"]
    smile = ["smile", "smile[tau=1]", "smile[tau=none]"]
    assert decimals("reproduce.md", "Where both train and read alike") == {"0.01", "0.02", "0.04", "0.09"}
    assert difference.loc[:, "infonce"].abs().max() < 0.01
    for critic, of_dv, of_smile in (("bilinear", 0.025, 0.01), ("separable", 0.045, 0.095)):
        assert difference[critic, "dv"].abs().max() < of_dv
        assert difference[critic].loc[smile].abs().max() < of_smile
    js = difference["separable", "js"]
    assert decimals("reproduce.md", "*JS*") == shown(js[2], -js[10], 1 / np.e)
    mean, published = table["mean_nats"]["separable"], table["published_nats"]["separable"]
    assert published["mine[rate=0.1]"].between(mean["mine[rate=0.1]"], mean["dv"]).all()
    nwj = -difference["separable", "nwj"]
    assert decimals("reproduce.md", "*NWJ*") == {"2.7", "1.3", *shown(nwj[[8, 10]].max())}


def decimals(page, mark):
    """The numbers with a decimal point in the paragraphs and list items of a page that contain `mark`."""
    parts = [" ".join(part.split()) for part in re.split(r"\n\n|\n(?=- )", PAGES[f"docs/{page}"])]
    found = [part for part in parts if mark in part]
    assert found, mark
    text = re.sub(r"`[^`]*`|\]\([^)]*\)", "", " ".join(found))
    return set(re.findall(r"(?<![\d.])\d+\.\d+(?!\.?\d)", text))


def shown(*values, digits=2):
    return {f"{value:.{digits}f}" for value in values}


def column(folder, name, **where):
    cells = pd.read_csv(ROOT / f"results/{folder}/table.csv")
    for key, value in where.items():
        cells = cells[cells[key] == value]
    return cells[name].tolist()


def test_what_is_said_of_the_main_job():
    rows = {
        level: pd.read_csv(ROOT / "results/infonce_gaussian_20d/table.csv")
        .query(f"n == 64 and true_mi_nats == {level}")
        .iloc[0]
        for level in (2, 10)
    }
    far = rows[10]
    expected = shown(far["mean_nats"], -far["bound_gap_nats"], -far["bias_nats"])
    assert decimals("quickstart.md", "no critic and no training") == expected
    assert all(number in PAGES["README.md"].replace("\n", " ") for number in expected)
    assert rows[2]["critic_gap_nats"] / rows[2]["bias_nats"] == pytest.approx(1 / 3, abs=0.05)


def test_what_is_said_of_one_training_for_many_n():
    page = "large-n.md"
    table = pd.read_csv(ROOT / "results/train_n/table.csv").fillna({"train_n": 0})
    cells = table.set_index(["estimator", "train_n", "n"]).sort_index()
    infonce = cells.loc["infonce"]
    read = [infonce.loc[(train_n, 1024), "mean_nats"] for train_n in (16, 256, 0)]
    (exact,) = {infonce.loc[(0, 1024), "exact_nats"]}
    assert decimals(page, "*The ceiling is that") == shown(np.log(16), *read, exact)
    gaps = [infonce.loc[cell, "train_gap_nats"] for cell in ((256, 16), (16, 1024), (256, 1024))]
    assert decimals(page, "*A larger n trains") == shown(gaps[0], -gaps[1], -gaps[2])
    for name, spread in (("nwj", 0.1), ("nce", 0.02)):
        assert np.ptp(cells.loc[(name, 16), "mean_nats"]) < spread
        assert np.ptp(cells.loc[(name, 256), "mean_nats"]) < spread
    assert all(np.ptp(cells.loc[("smile", n), "mean_nats"].loc[64:]) < 0.1 for n in (16, 256))
    runs = Store(ROOT / "results/train_n").load().values()
    lost = [
        run.estimate_nats < 1 for run in runs if (run.estimator, run.train_n, run.n) == ("nce", None, 1024)
    ]
    assert sorted(lost) == [False, True, True]


def test_what_is_said_of_the_reproduction():
    tables = reproductions()
    joint, separable = (
        tables[name].published_nats - tables[name].mean_nats for name in ("joint", "separable")
    )
    assert decimals("reproduce.md", "every level, and NWJ") == {"0.11", "0.02"}
    assert joint.loc[["infonce", "smile", "smile[tau=none]"]].abs().max() < 0.115
    assert joint.loc["nwj"].loc[[2, 4]].abs().max() < 0.025
    assert separable.loc["infonce"].abs().max() < 0.015

    runs = Store(ROOT / "results/song_ermon_2020/separable").load().values()
    frame = pd.DataFrame([vars(run) for run in runs]).assign(upper=lambda runs: runs.seed.isin([0, 3, 4, 6]))
    groups = frame.groupby(["estimator", "true_mi_nats", "upper"]).estimate_nats.mean().unstack()
    levels = [groups.loc[("smile", level), upper] for level in (4, 10) for upper in (True, False)]
    assert decimals("reproduce.md", "two groups of four") == shown(*levels) | {"0.06", "0.05", "0.25"}
    published = tables["separable"].published_nats
    upper, lower = (published - groups[group] for group in (True, False))
    assert upper.loc[["smile", "smile[tau=none]"]].abs().max() < 0.065
    assert lower.loc["smile[tau=1]"].abs().max() < 0.055
    assert separable.loc[["smile", "smile[tau=1]", "smile[tau=none]"]].abs().max() < 0.255
    first = published - frame[frame.seed == 0].set_index(["estimator", "true_mi_nats"]).estimate_nats
    assert first.loc[["infonce", "smile", "smile[tau=none]"]].abs().max() < 0.065


def test_what_is_said_of_representations():
    """The numbers of each finding; the link to its results marks the paragraph."""
    page = "representations.md"
    linear = {"folder": "linear_training", "encoder": "linear[steps=100]"}
    (truth,) = set(column(name="true_mi_low_nats", **linear))
    read = column(name="mean_nats", **linear)
    assert decimals(page, "results/linear_training/") == shown(truth, *read) | {"0.05"}
    assert max(map(abs, column(name="critic_gap_nats", **linear))) < 0.05

    names = column("digits_encoders", "encoder")
    means = dict(zip(names, column("digits_encoders", "mean_nats"), strict=True))
    probes = dict(zip(names, column("digits_encoders", "probe_accuracy"), strict=True))
    good, poor = ["supervised", "simclr", "moco", "byol", "simsiam"], ["simcse", "random"]
    ends = [end(means[name] for name in good) for end in (min, max)]
    others = [values[name] for values in (means, probes) for name in poor]
    (simcse,) = column("digits_encoders", "encoder_nats", encoder="simcse")
    untrained = {"folder": "digits_encoders", "encoder": "random"}
    (truth,) = set(column("digits_encoders", "true_mi_low_nats")[:-1])
    (bias,), (missed,) = (column(name=name, **untrained) for name in ("bias_nats", "critic_gap_nats"))
    expected = shown(*ends, *others, simcse, truth, -bias, -missed) | {"0.96"}
    assert decimals(page, "results/digits_encoders/") == expected
    assert set(column("digits_encoders", "true_mi_high_nats")[:-1]) == {truth}
    assert min(probes[name] for name in good) > 0.96

    own = column("digits_temperature", "encoder_nats", n=128)
    probe = column("digits_temperature", "probe_accuracy", n=128)
    expected = shown(own[0], own[-1]) | shown(min(probe), max(probe), digits=3) | {"0.05"}
    assert decimals(page, "results/digits_temperature/") == expected

    probe = column("digits_training", "probe_nats", n=128)
    read = column("digits_training", "mean_nats", n=128)
    (exact,) = {
        *column("digits_training", "true_mi_low_nats"),
        *column("digits_training", "true_mi_high_nats"),
    }
    assert decimals(page, "results/digits_training/") == shown(probe[0], probe[-1], read[0], read[-1], exact)
    assert probe == sorted(probe)
    assert read == sorted(read)

    dropout = column("digits_dropout", "probe_accuracy", n=128)[-1]
    assert decimals(page, "results/digits_dropout/") == shown(dropout, probes["random"]) | {"0.8"}
    assert dropout < probes["random"]

    errors = column("bigram", "log_ratio_rmse_nats")
    assert decimals(page, "results/bigram/") == shown(*errors) | {"0.06"}
    assert max(map(abs, column("bigram", "log_partition_nats"))) < 0.06

    failed = dict(zip(names, column("digits_encoders", "failed"), strict=True))
    assert failed == {name: 3 * (name == "simsiam[stop_gradient=false]") for name in names}


def test_what_is_said_of_digits_and_cpc():
    page = "representations.md"
    four = {"folder": "digits", "encoder": "simclr", "estimator": "infonce", "n": 128}
    (read,), (at_exact,) = (column(name=name, **four) for name in ("mean_nats", "exact_nats"))
    (bias,), (own,) = (column(name=name, **four) for name in ("bias_nats", "bound_gap_nats"))
    (truth,) = {*column("digits", "true_mi_low_nats"), *column("digits", "true_mi_high_nats")}
    assert decimals(page, "Four images hold") == shown(read, at_exact, -bias, -own, truth)
    assert set(column("digits", "bound_gap_nats", estimator="nwj")) == {0}

    ends = zip(column("cpc", "true_mi_low_nats"), column("cpc", "true_mi_high_nats"), strict=True)
    widths = [high - low for low, high in ends]
    assert decimals(page, "grey bands") == shown(min(widths), max(widths))
    times = {"folder": "cpc", "encoder": "cpc[negatives=times]", "task": "cpc[horizon=8]", "n": 512}
    (own,), (exact,) = (column(name=name, **times) for name in ("encoder_nats", "true_mi_high_nats"))
    assert decimals(page, "at horizon 8") == shown(own, exact)


def test_layers_are_those_that_are_checked():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    block = PAGES["docs/plugins.md"].partition("## Layers\n\n")[2].partition("\n\n")[0]
    assert [f"    {layer}".replace("mibench.", "") for layer in layers] == block.split("\n")


def test_the_examples_of_new_things_are_there():
    page = (
        PAGES["docs/plugins.md"].partition("Where a new thing goes")[2].partition("From another package")[0]
    )
    rows = re.findall(r"^\| [^|]+ \| (`[^|]+) \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    assert len(rows) > 12
    for folders, examples in rows:
        (folder, *_) = (ROOT / "mibench" / name for name in re.findall(r"`([\w/]+)/`", folders))
        for name in re.findall(r"`([\w/.-]+\.\w+)`", examples):
            assert any((place / name).is_file() for place in (folder, ROOT / "mibench")), name
