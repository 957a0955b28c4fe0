"""Estimators that train nothing, through the engine: fresh batches, data sets, one's own data."""

import math

import pytest
import torch
from typer.testing import CliRunner

import mibench
from mibench import estimators
from mibench.cli import app
from mibench.errors import UsageError
from mibench.grid import read
from mibench.seeding import stream
from mibench.tasks.pair import of_rows, scaled

NAMES = ["ksg", "cca", "gcmi"]
GRID = {"task": "gaussian", "dim": 2, "mi": 1, "seeds": 2, "device": "cpu"}
FIT = ("critic", "steps", "lr", "schedule", "precision", "training", "objective", "best_step", "oracle_nats")


@pytest.fixture(scope="module")
def on_stream():
    return mibench.run(NAMES, n=[64, 256], **GRID)


def test_fresh_batches_of_n_rows_are_read(on_stream):
    assert (on_stream["status"] == "ok").all()
    assert on_stream[list(FIT)].isna().all(axis=None)
    assert (on_stream["batches"] >= 48).all()
    assert (on_stream["estimate_se_nats"] < 0.03).all()
    assert on_stream["true_mi_nats"].eq(1).all()
    ceilings = on_stream.groupby(["estimator", "n"])["ceiling_nats"].first()
    assert ceilings["ksg", 64] == estimators.get("ksg").ceiling(64)
    assert ceilings[["cca", "gcmi"]].isna().all()


def test_bias_against_n(on_stream):
    means = on_stream.groupby(["estimator", "n"])["estimate_nats"].mean()
    assert means["ksg", 64] < means["ksg", 256] - 0.1 < 0.9
    assert means["gcmi", 64] < means["gcmi", 256]
    for row in on_stream[on_stream["estimator"] == "cca"].to_dict("records"):
        assert row["estimate_nats"] == pytest.approx(1, abs=4 * row["estimate_se_nats"])


@pytest.mark.parametrize("name", NAMES)
def test_numbers_do_not_depend_on_what_else_is_run(name, on_stream):
    alone = mibench.run(name, n=64, **{**GRID, "seeds": [1]})
    together = on_stream[on_stream["key"] == alone["key"].item()]
    assert alone["estimate_nats"].item() == pytest.approx(together["estimate_nats"].item(), abs=1e-12)
    assert alone["batches"].item() == together["batches"].item()


@pytest.mark.parametrize("name", NAMES)
def test_a_data_set_is_read_whole(name):
    found = mibench.run(name, samples=1000, n=[64, 256], **GRID)
    assert list(found["n"]) == [1000, 1000]
    assert list(found["samples"]) == [1000, 1000]
    for row in found.to_dict("records"):
        made = mibench.tasks.get("gaussian", dim=2, mi=1)
        task = mibench.tasks.registry.describe(made)
        x, y = made.sample(1000, stream("samples", task.identity, row["seed"]), torch.float64)
        expected = estimators.get(name).estimate_from(x, y).item()
        assert row["estimate_nats"] == pytest.approx(expected, abs=1e-12)
        assert row["batches"] == 1
        assert row["estimate_se_nats"] is None or math.isnan(row["estimate_se_nats"])


@pytest.mark.parametrize("name", NAMES)
def test_settings_of_training_change_no_key(name):
    def keys(**settings):
        return [spec.key for spec in mibench.plan([name, "infonce"], n=64, **GRID, **settings).specs]

    plain = keys()
    changed = keys(steps=7, lr=0.1, schedule="constant", precision="float64", critic="joint")
    assert changed[:2] == plain[:2]  # of the estimator that trains nothing, at both seeds
    assert not set(changed[2:]) & set(plain[2:])
    assert keys(critic="joint,bilinear")[:2] == plain[:2]


def test_settings_of_stopping_change_no_key():
    split, usual = (
        mibench.plan("ksg", protocol=protocol, samples=500, **GRID).specs
        for protocol in ("samples[train=0.5,patience=3]", "samples")
    )
    assert [spec.key for spec in split] == [spec.key for spec in usual]


def test_a_critic_for_none_is_refused():
    with pytest.raises(UsageError, match="ksg trains nothing") as refused:
        mibench.plan("ksg", critic="joint", **GRID)
    assert refused.value.how == "Leave out --critic."


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (["--lr", "0.1", "--steps", "7"], "--steps, --lr"),
        (["--schedule", "constant", "--precision", "tf32"], "--schedule, --precision"),
    ],
)
def test_settings_of_training_for_none_are_refused(words, flags):
    done = CliRunner().invoke(app, ["run", "-e", "ksg,cca", "--dim", "2", *words, "--dry-run"])
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        f"Error: No estimator here can use {flags}: ksg trains nothing, cca trains nothing.",
        f"Leave out {flags}.",
    ]


def test_settings_for_none_are_refused_of_own_data_too():
    x, y = mibench.tasks.get("gaussian", dim=2, mi=1.0).sample(200, torch.Generator().manual_seed(0))
    for settings, words in (
        ({"steps": 7}, "--steps"),
        ({"schedule": "one-cycle"}, "--schedule"),
        ({"n": 8}, "n: "),
    ):
        with pytest.raises(UsageError, match=f"No estimator here can use {words}"):
            mibench.estimate(x, y, "ksg,cca", device="cpu", **settings)
        mibench.api.estimate.prepare(
            x, y, read("estimate", {"estimator": "ksg,infonce", "device": "cpu", **settings})
        )
    mibench.estimate(x, y, "ksg", seeds=2, steps=2000, schedule="constant", device="cpu")  # the defaults


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"estimator": "ksg[k=16]", "n": [16, 64]}, r"ksg\[k=16\] needs n > 16, not n = 16"),
        ({"estimator": "cca", "n": 16, "dim": 20}, "needs n > dim_x"),
        ({"estimator": "gcmi", "n": 16, "dim": 20}, "needs n > dim_x"),
        ({"estimator": "ksg", "task": "bigram"}, "tokens"),
        ({"estimator": "ksg", "protocol": "staircase"}, "trains none"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_runs(settings, words):
    with pytest.raises(UsageError, match=words):
        mibench.plan(**settings, device="cpu")


def test_own_data_are_read_whole_and_once():
    x, y = mibench.tasks.get("gaussian", dim=2, mi=1.0).sample(300, torch.Generator().manual_seed(0))
    found = mibench.estimate(x, y, NAMES, seeds=3, device="cpu")
    table = found.table.set_index("estimator")
    whole = scaled(of_rows(x.double(), y.double()), torch.Generator()).draw(300, torch.Generator())
    for name in NAMES:
        expected = estimators.get(name).estimate_from(*whole).item()
        assert table.loc[name, "estimate_nats"] == pytest.approx(expected, abs=1e-12)
        assert abs(table.loc[name, "shuffled_nats"]) < 0.1
    # Every seed would read the same rows: there is no interval, and one of no width would mislead.
    assert table[["low_nats", "high_nats"]].isna().all(axis=None)
    assert table[["shuffled_low_nats", "shuffled_high_nats"]].notna().all(axis=None)
    assert table["runs"].eq(1 + 3).all()
    assert found.warnings == []


def test_own_data_without_an_interval_ask_for_no_more_seeds():
    x, y = mibench.tasks.get("gaussian", dim=2, mi=1.0).sample(300, torch.Generator().manual_seed(0))
    assert mibench.estimate(x, y, "ksg", seeds=2, shuffle=False, device="cpu").warnings == []
    both = mibench.estimate(x, y, "ksg,infonce", seeds=1, steps=5, n=8, shuffle=False, device="cpu")
    assert "One seed gives no interval: give two or more." in both.warnings


def test_command_line_shows_what_has_no_meaning_as_a_dash(tmp_path):
    words = ["run", "-e", "ksg,infonce", "--dim", "2", "--mi", "1", "-n", "16", "--seeds", "1"]
    shown = CliRunner().invoke(app, [*words, "--steps", "5", "--device", "cpu", "--out", str(tmp_path)])
    assert shown.exit_code == 0
    line = next(line for line in shown.stdout.splitlines() if line.split()[:1] == ["ksg"])
    assert line.split()[3] == "–"  # it has no critic
    assert line.split()[7:9] == ["–", "–"]  # and its error no parts


def test_a_baseline_needs_no_critic(tmp_path):
    path = str(tmp_path / "baseline.json")
    tiny = ["--dim", "2", "--mi", "1", "-n", "16", "--seeds", "8", "--device", "cpu"]
    saved = CliRunner().invoke(app, ["check", "--save", path, "-e", "ksg,gcmi", *tiny])
    assert saved.exit_code == 0, saved.stderr
    done = CliRunner().invoke(app, ["check", "--baseline", path, "--device", "cpu"])
    assert done.exit_code == 0, done.stderr


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", [*NAMES, "ksg[variant=2]"])
@pytest.mark.parametrize(("n", "dim"), [(64, 5), (400, 1)])
def test_cuda_and_cpu_agree(name, n, dim, generator):
    x, y = (torch.randn(3, n, dim, generator=generator, dtype=torch.float64) for _ in range(2))
    cpu, cuda = (
        estimators.get(name).estimate_from(*(side.to(d) for side in (x, y))) for d in ("cpu", "cuda")
    )
    assert torch.allclose(cpu, cuda.cpu(), atol=1e-10)
