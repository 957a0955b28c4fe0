"""What the README shows is what there is."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from mibench.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = re.findall(r"^\$ mibench (.*?)(?:\s{2,}#.*)?$", README, re.MULTILINE)


TRAINING = ("run", "compare", "reproduce")


@pytest.fixture
def a_folder(tmp_path, monkeypatch):
    """A folder with what the README's commands find in one."""
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(200, 4))
    pd.DataFrame(rows, columns=["x_0", "x_1", "y_0", "y_1"]).to_csv("data.csv", index=False)
    images = np.random.default_rng(0).random((600, 12, 12))
    np.savez("mine.npz", images=images, labels=np.arange(600) % 3)
    shutil.copytree(ROOT / "results/infonce_gaussian_20d", "results/infonce_gaussian_20d")
    return tmp_path


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("check")])
def test_commands_are_understood(command, a_folder):
    words = shlex.split(command)
    if words[0] in TRAINING:
        words += ["--out", str(a_folder / "out"), *["--dry-run"] * ("--dry-run" not in words)]
    if words[0] == "estimate":
        words += ["--steps", "2", "--seeds", "2", "-n", "8"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr


def test_check_commands_are_understood(a_folder):
    """What `check --save` freezes, `check --baseline` reads; the grid is made small."""
    default, save, compare = (shlex.split(command) for command in COMMANDS if command.startswith("check"))
    assert default == ["check"]
    small = ["--steps", "2", "--dim", "2", "-n", "4", "--quiet"]
    assert CliRunner().invoke(app, [*save, *small]).exit_code == 0
    done = CliRunner().invoke(app, [*compare, "--quiet"])
    assert done.exit_code == 0, done.stdout
    assert (a_folder / "check.xml").is_file()


def test_the_python_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    exec(code.replace("seeds=3", "seeds=1, steps=3"), names)
    assert len(names["frame"]) == 2
    assert names["scores"].shape == (64, 64)


def test_the_table_is_the_published_one():
    published = (ROOT / "results/infonce_gaussian_20d/table.md").read_text("utf-8")
    assert published.strip() in README


def test_the_comparison_is_the_published_one():
    folder = ROOT / "results/compare_gaussian_20d"
    published = (folder / "comparison.md").read_text("utf-8").splitlines()
    rows = [line for line in published if line.startswith("| 4 ")]
    assert len(rows) == 4 + 6
    assert all(row in README for row in rows)


def test_the_reproduction_is_the_published_one():
    """One line an estimator and level: theirs, ours, and the spread over seeds, for both critics."""
    tables = {
        critic: pd.read_csv(ROOT / f"results/song_ermon_2020/{critic}/reproduction.csv").set_index(
            ["estimator", "true_mi_nats"]
        )
        for critic in ("separable", "joint")
    }
    separable, joint = tables["separable"], tables["joint"]
    assert len(separable) == len(joint) == 25
    for (estimator, level), row in separable.iterrows():
        other = joint.loc[(estimator, level)]
        cells = [f"`{estimator}`", f"{level:g}", f"{row['published_nats']:.2f}", f"{row['mean_nats']:.2f}"]
        cells += [f"{row['std_nats']:.2f}", f"{other['published_nats']:.2f}", f"{other['mean_nats']:.2f}"]
        assert f"| {' | '.join(cells)} |" in README


def test_links_lead_to_files():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) >= 4
    for link in links:
        assert (ROOT / link).exists(), link


def test_what_is_said_of_representations_is_what_was_published():
    """Every number of the findings, in the order in which they are told."""

    def column(folder, name, **where):
        cells = pd.read_csv(ROOT / f"results/{folder}/table.csv")
        for key, value in where.items():
            cells = cells[cells[key] == value]
        return cells[name].tolist()

    said = " ".join(README.split())
    linear = {"folder": "linear_training", "encoder": "linear[steps=100]"}
    (truth,) = set(column(name="true_mi_low_nats", **linear))
    small, middle, large = column(name="mean_nats", **linear)
    assert (
        f"hold {truth:.2f} of 6 nats, exactly. InfoNCE reads {small:.2f}, {middle:.2f} and {large:.2f}"
        in said
    )
    assert max(map(abs, column(name="critic_gap_nats", **linear))) < 0.05

    names = column("digits_encoders", "encoder")
    means = dict(zip(names, column("digits_encoders", "mean_nats"), strict=True))
    probes = dict(zip(names, column("digits_encoders", "probe_accuracy"), strict=True))
    good = ["supervised", "simclr", "moco", "byol", "simsiam"]
    low, high = (f"{end(means[name] for name in good):.2f}" for end in (min, max))
    assert f"{low} to {high} nats with probes above 0.97" in said
    assert min(probes[name] for name in good) > 0.97
    poor = [f"{values[name]:.2f}" for values in (means, probes) for name in ("simcse", "random")]
    assert f"have {poor[0]} and {poor[1]} with probes of {poor[2]} and {poor[3]}" in said

    own = column("digits_temperature", "encoder_nats", n=128)
    assert f"falls from {own[0]:.2f} to {own[-1]:.2f} nats" in said
    probe = column("digits_temperature", "probe_accuracy", n=128)
    assert f"within {min(probe):.3f} to {max(probe):.3f}" in said
    (simcse,) = column("digits_encoders", "encoder_nats", encoder="simcse")
    assert f"`simcse` reads {simcse:.2f}." in said

    band = column("digits_training", "true_mi_low_nats", n=128)
    assert f"from {band[0]:.2f} to {band[-1]:.2f} of 1.76 nats" in said
    assert column("digits_dropout", "probe_accuracy", n=128)[-1] < probes["random"]

    errors = [f"{error:.2f}" for error in column("bigram", "log_ratio_rmse_nats")]
    assert f"{errors[0]}, {errors[1]}, {errors[2]} and {errors[3]} nats for k = 1, 4, 16 and 64" in said
    assert max(map(abs, column("bigram", "log_partition_nats"))) < 0.06

    failed = dict(zip(names, column("digits_encoders", "failed"), strict=True))
    assert failed == {name: 3 * (name == "simsiam[stop_gradient=false]") for name in names}

    four = {"folder": "digits", "encoder": "simclr", "estimator": "infonce", "n": 128}
    assert f"reads {column(name='mean_nats', **four)[0]:.2f} of `simclr`" in said
    times = {"folder": "cpc", "encoder": "cpc[negatives=times]", "task": "cpc[horizon=8]", "n": 512}
    (reads,), (exact,) = (column(name=name, **times) for name in ("encoder_nats", "true_mi_high_nats"))
    assert f"it reads {reads:.2f} nats, where the past knows {exact:.2f} of the future" in said
