"""`mibench estimate` and `mibench.estimate`: your own data."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import mibench
from mibench.analysis.splits import interval
from mibench.api.arrays import tied
from mibench.api.estimate import prepare
from mibench.cli import app
from mibench.grid import read

QUICK = {"n": 8, "steps": 30, "seeds": 3, "device": "cpu"}
ROWS = 200


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def gaussian(rows=ROWS, dim=2, mi=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return mibench.tasks.get("gaussian", dim=dim, mi=mi).sample(rows, generator, torch.float64)


@pytest.fixture
def xy():
    x, y = gaussian()
    return x.numpy(), y.numpy()


def test_a_row_an_estimator_with_an_interval_and_what_it_was_fitted_on(xy):
    found = mibench.estimate(*xy, estimator=["infonce", "nwj"], **QUICK)
    assert list(found.table["estimator"]) == ["infonce", "nwj"]
    row = found.table.iloc[0]
    assert row["low_nats"] < row["estimate_nats"] < row["high_nats"]
    assert row["ceiling_nats"] == pytest.approx(math.log(8))
    assert math.isnan(found.table.iloc[1]["ceiling_nats"])
    assert (found.rows, found.parts, found.n) == (ROWS, (120, 40, 40), 8)
    own = found.runs[(found.runs["estimator"] == "infonce") & ~found.runs["shuffled"]]
    assert row["estimate_nats"] == pytest.approx(own["estimate_nats"].mean())
    assert list(found.table["runs"]) == [6, 6]


def test_the_same_data_give_the_same_numbers_in_whatever_form_they_come(xy):
    x, y = xy
    forms = [
        (x, y),
        (torch.from_numpy(x), torch.from_numpy(y).requires_grad_()),
        (pd.DataFrame(x, columns=["a", "b"]), y.tolist()),
        (3 * x - 7, y / 5),  # an affine map of a column changes no mutual information
    ]
    values = [
        mibench.estimate(*form, estimator="infonce", **QUICK).table["estimate_nats"].item() for form in forms
    ]
    assert values[0] == values[1] == values[2]
    assert values[3] == pytest.approx(values[0], abs=1e-4)


def test_columns_of_one_dimension_are_columns():
    x, y = gaussian(dim=1)
    flat = mibench.estimate(x[:, 0], y[:, 0], estimator="infonce", **QUICK)
    assert flat.table.equals(mibench.estimate(x, y, estimator="infonce", **QUICK).table)


def test_n_grows_with_the_data_up_to_500():
    for rows, n in ((1000, 50), (20_000, 500)):
        assert prepare(*gaussian(rows), read("estimate", {"device": "cpu"})).n == n


def test_interval_is_wider_than_if_splits_shared_no_rows():
    values = np.array([1.0, 1.2, 1.1, 0.9, 1.3])
    mean, low, high = interval(values, 0.25)
    assert mean == pytest.approx(1.1)
    half = 2.7764451 * values.std(ddof=1) * math.sqrt(1 / 5 + 0.25)
    assert (low, high) == pytest.approx((1.1 - half, 1.1 + half), abs=1e-6)
    assert math.isnan(interval(values[:1], 0.25)[1])
    assert math.isnan(interval(values[:0], 0.25)[0])


def test_corrected_intervals_cover_the_mean_over_data_sets():
    """A mean over test rows: where splits share rows the naive interval is far too narrow, ours is not."""
    generator = np.random.default_rng(0)
    covered = {0.0: 0, 0.25: 0}
    for _ in range(400):
        data = generator.normal(size=100)
        values = np.array([generator.permutation(data)[:20].mean() for _ in range(10)])
        for share in covered:
            _, low, high = interval(values, share)
            covered[share] += low <= 0 <= high
    assert covered[0.0] / 400 < 0.85
    assert 0.92 <= covered[0.25] / 400 <= 0.98


def test_how_rows_are_split_does_not_matter_to_what_splits_none(xy):
    def shuffled(train):
        found = mibench.estimate(*xy, "ksg,cca", train=train, seeds=4, device="cpu")
        values = found.runs[found.runs["shuffled"]].groupby("estimator")["estimate_nats"]
        return found.table, 3.1824463 * values.std() / math.sqrt(4)  # Student's t, 3 degrees of freedom

    (many, half), (few, _) = shuffled(0.6), shuffled(0.1)
    assert many.equals(few)
    widths = many.set_index("estimator")[["shuffled_low_nats", "shuffled_high_nats"]].diff(axis=1).iloc[:, 1]
    assert widths.to_numpy() == pytest.approx(2 * half[widths.index].to_numpy(), rel=1e-6)


def test_near_the_ceiling_there_is_a_warning():
    x = np.random.default_rng(0).normal(size=(1000, 5))
    found = mibench.estimate(x, x, estimator="infonce", n=4, steps=1000, seeds=2, lr=1e-3, device="cpu")
    assert found.table["estimate_nats"].item() > 0.85 * math.log(4)
    assert any("within 15% of its ceiling" in warning for warning in found.warnings)


def rounded(step, rows=1000):
    return [(side / step).round() * step for side in gaussian(rows, dim=1)]


def test_what_needs_distinct_values_is_warned_of_before_and_after():
    found = mibench.estimate(*rounded(0.1), "ksg,cca", seeds=2, device="cpu")
    before_x, before_y = found.warnings[:2]
    for side, share, words in (("x", 100, before_x), ("y", 99, before_y)):
        assert words.startswith(f"ksg needs distinct values, and in a column of {side} {share}% of the rows")
    whole = mibench.estimate(*rounded(0.3), "ksg", seeds=2, shuffle=False, device="cpu")
    assert whole.table["estimate_nats"].item() > whole.table["ceiling_nats"].item()
    assert "above its ceiling of" in whole.warnings[-1]
    assert not any("within 15%" in words for words in whole.warnings)
    for data, names in ((rounded(0.1), "cca"), (gaussian(1000, dim=1), "ksg")):
        assert not mibench.estimate(*data, names, seeds=2, shuffle=False, device="cpu").warnings


def test_the_share_of_equal_values_is_that_of_the_worst_column():
    columns = torch.tensor([[1.0, 1.0], [2.0, 1.0], [3.0, 2.0], [4.0, 1.0]])
    assert tied(columns) == 0.75
    assert tied(columns[:, :1]) == 0


def test_where_no_dependence_is_found_it_is_said():
    x, y = (np.random.default_rng(seed).normal(size=(ROWS, 1)) for seed in (1, 2))
    found = mibench.estimate(x, y, estimator="nwj", n=8, steps=30, seeds=4, lr=1e-9, device="cpu")
    assert found.table["estimate_nats"].item() == 0
    assert found.warnings == [
        "No dependence was found, since no critic was better on validation than a constant one, "
        "which gives 0: nwj (4 of 4 splits)."
    ]


def test_one_seed_has_no_interval_and_says_so(xy):
    found = mibench.estimate(*xy, estimator="infonce", **QUICK | {"seeds": 1})
    assert math.isnan(found.table["low_nats"].item())
    assert any("One seed" in warning for warning in found.warnings)


def test_failed_runs_are_counted_and_end_with_status_1(xy, tmp_path):
    np.savez(tmp_path / "data.npz", x=xy[0], y=xy[1])
    done = call(
        "estimate", tmp_path / "data.npz", "-e", "nwj", "-n", 8, "--lr", "1e30", "--steps", 20, "--json", "-q"
    )
    assert done.exit_code == 1
    content = json.loads(done.stdout)
    assert content["estimates"][0]["failed"] > 0
    assert any("failed" in warning for warning in content["warnings"])


def with_value(x, value):
    changed = x.copy()
    changed[3, 1] = value
    return changed


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            lambda x, y: (with_value(x, np.nan), y),
            "x has 1 values that are NaN or infinite, first in row 3, column 1",
        ),
        (lambda x, y: (x, with_value(y, np.inf)), "y has 1 values that are NaN"),
        (lambda x, y: (np.c_[x, np.ones(ROWS)], y), "Column 2 of x is constant"),
        (lambda x, y: (x, y[:-1]), "x has 200 rows, y has 199"),
        (lambda x, y: (x[:30], y[:30]), "fewer than two batches of n = 8"),
        (lambda x, y: (x.astype(str), y), "x has values that are not numbers"),
        (lambda x, y: (x.astype(complex), y), "x has values that are not numbers"),
        (lambda x, y: (x.astype(object), y), "x has values that are not numbers"),
        (lambda x, y: (x[None], y), "shape"),
        (lambda x, y: (x[:0], y[:0]), "shape"),
        (lambda x, y: ("data.csv", y), "not numbers"),
    ],
)
def test_bad_data_is_said_to_be_so(change, what, xy):
    with pytest.raises(mibench.UsageError) as raised:
        mibench.estimate(*change(*xy), estimator="infonce", **QUICK)
    assert what in raised.value.what
    assert raised.value.how


def test_nothing_is_trained_with_a_critic_that_cannot_see_the_data(xy, monkeypatch):
    monkeypatch.setattr("mibench.api.estimate.train_jobs", None)
    with pytest.raises(mibench.UsageError, match="takes tokens"):
        mibench.estimate(*xy, critic="embedding", **QUICK)


@pytest.fixture
def files(tmp_path, xy):
    x, y = xy
    np.savez(tmp_path / "data.npz", x=x, y=y, other=x[:, :1])
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    table = pd.DataFrame(np.c_[x, y], columns=["x_0", "x_1", "y_0", "y_1"]).assign(label="a")
    table.to_csv(tmp_path / "data.csv", index=False)
    table.iloc[:0].to_csv(tmp_path / "header.csv", index=False)
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    (tmp_path / "data.txt").write_text("1 2")
    return tmp_path


FAST = ["-e", "infonce", "-n", "8", "--steps", "30", "--seeds", "2", "--device", "cpu", "-q", "--json"]


def test_every_form_of_file_gives_the_same(files):
    forms = [
        ["data.npz"],
        ["x.npy", "y.npy"],
        ["data.csv"],
        ["data.csv", "--x", "x_0,x_1", "--y", "y_*"],
    ]
    values = []
    for words in forms:
        paths = [files / word if "." in word else word for word in words]
        done = call("estimate", *paths, *FAST)
        assert done.exit_code == 0, done.stderr
        values.append(json.loads(done.stdout)["estimates"][0]["estimate_nats"])
    assert values[0] == values[1]
    assert values[2] == values[3] == pytest.approx(values[0], abs=1e-3)


def test_the_table_says_what_the_numbers_are(files):
    done = call("estimate", files / "data.npz", *FAST[:-1])
    for word in ("120 train, 40 validation, 40 test; n = 8", "95% interval", "y shuffled", "infonce"):
        assert word in done.stdout
    bits = json.loads(call("estimate", files / "data.npz", *FAST, "--unit", "bits").stdout)["estimates"][0]
    nats = json.loads(call("estimate", files / "data.npz", *FAST).stdout)["estimates"][0]
    assert bits["estimate_bits"] == pytest.approx(nats["estimate_nats"] / math.log(2))


def test_the_table_says_what_its_estimators_do(files):
    def shown(names, *words):
        usual = ("--seeds", "2", "--device", "cpu", "-q", "--no-shuffle")
        done = call("estimate", files / "data.npz", "-e", names, *usual, *words)
        assert done.exit_code == 0, done.stderr
        return " ".join(done.stdout.split())

    small = ("-n", "8", "--steps", "30")
    untrained, bound, mixed = shown("ksg,cca"), shown("infonce", *small), shown("doe,nwj,cca", *small)
    assert "200 rows " in untrained
    assert "ksg and cca: from all rows at once, which gives no interval." in untrained
    for word in ("train", "Train", "n = ", "interval: ", "unseen", "lower bound"):
        assert word not in untrained
        assert (word in bound) is (word != "lower bound")
    assert "at once" not in bound
    assert "doe: no lower bound by construction." in mixed
    assert "does not hold the bias of the model" in mixed
    assert "cca: from all rows at once" in mixed


@pytest.mark.parametrize(
    ("words", "what", "how"),
    [
        (["none.npz"], "There is no file", ".npz"),
        (["data.txt"], "Cannot tell x and y", ".csv"),
        (["x.npy"], "Cannot tell x and y", "two .npy"),
        (["pickled.npy", "y.npy"], "Cannot read", ".npz"),
        (["broken.npz"], "Cannot read", ".npz"),
        (["data.npz", "--x", "xx"], "Unknown array", "x"),
        (["data.csv", "--x", "x_2"], "Unknown column", "x_"),
        (["data.csv", "--x", "label"], "not numeric", "encode"),
        (["header.csv"], "has no rows", "one row per pair"),
        (["data.csv", "--x", "x_0,y_0"], "in x and in y", "one of them"),
        (["data.npz", "-e", "infonse"], "Unknown estimator", "infonce"),
        (["data.npz", "-n", "100"], "fewer than two batches of n = 100", "at most 20"),
        (["data.npz", "-n", "1"], "n must be at least 2", "2 or more"),
        (["data.npz", "--unit", "bit"], "Unknown unit", "bits"),
        (["data.npz", "--lr", "0"], "lr must be positive", "above 0"),
        (["data.npz", "-c", "jiont"], "Unknown model", "joint"),
        (["data.npz", "-c", "embedding"], "'embedding' takes tokens", "separable"),
        (["data.npz", "-c", "joint,bilinear"], "one critic, and 2 are given", "Give one critic"),
        (["data.npz", "-n", "4,8"], "one n, and 2 are given", "Give one n"),
        (["data.npz", "--schedule", "constnt"], "Unknown schedule", "constant"),
        (["data.npz", "--precision", "tf32", "--device", "cpu"], "tf32 needs a CUDA device", "float32"),
        (["data.npz", "--train", "0.9"], "leave a part empty", "below 1"),
    ],
)
def test_mistakes_are_said_in_two_lines(words, what, how, files):
    paths = [
        files / word if word.partition(".")[2] in ("npz", "npy", "csv", "txt") else word for word in words
    ]
    done = call("estimate", *paths)
    assert done.exit_code == 2
    first, second = done.stderr.strip().splitlines()
    assert what in first
    assert how in second


def test_a_table_without_names_that_begin_with_x_and_y(tmp_path):
    pd.DataFrame({"a": [1.0, 2.0], "b": [2.0, 1.0]}).to_csv(tmp_path / "data.csv", index=False)
    done = call("estimate", tmp_path / "data.csv")
    assert done.exit_code == 2
    assert "begins with x" in done.stderr
    assert "It has a, b" in done.stderr


def test_parquet_is_read_where_pyarrow_is_installed(files, monkeypatch):
    (files / "data.parquet").write_bytes(b"")
    table = pd.read_csv(files / "data.csv")
    monkeypatch.setattr(pd, "read_parquet", lambda path: table)
    done = call("estimate", files / "data.parquet", *FAST)
    assert done.exit_code == 0, done.stderr

    def missing(path):
        raise ImportError

    monkeypatch.setattr(pd, "read_parquet", missing)
    done = call("estimate", files / "data.parquet", *FAST)
    assert done.exit_code == 2
    assert 'pip install "mibench[parquet]"' in done.stderr


@pytest.mark.slow
def test_ten_thousand_samples_of_the_20_dimensional_gaussian():
    """I = 4: a lower bound reads 3.3 or more from test data, none is above 4 by more than its interval."""
    found = mibench.estimate(*gaussian(10_000, dim=20, mi=4.0, seed=1), device="cpu")
    by_name = found.table.set_index("estimator")
    assert by_name.loc[["infonce", "nwj"], "estimate_nats"].max() >= 3.3
    assert (by_name["low_nats"] <= 4).all()
    assert (by_name["train_nats"] > by_name["estimate_nats"]).all()
    assert (by_name["shuffled_low_nats"] <= 0).all()
    assert (by_name["shuffled_high_nats"] >= 0).all()


@pytest.mark.slow
def test_ten_thousand_independent_samples():
    """A critic that finds nothing reads 0."""
    entries = mibench.estimators.registry.entries
    names = [name for name, entry in entries.items() if entry.family == "scores"]
    x, y = gaussian(10_000, dim=20, mi=0.0, seed=2)
    found = mibench.estimate(x, y, estimator=names, seeds=3, shuffle=False, device="cpu")
    assert list(found.table["estimator"]) == names
    for row in found.table.to_dict("records"):
        assert row["low_nats"] <= 0 <= row["high_nats"], row
    assert all("No dependence was found" in warning for warning in found.warnings)


@pytest.mark.slow
def test_ten_thousand_independent_samples_read_as_the_same_with_y_shuffled():
    """What a density or a denoiser gets wrong shows in the shuffled rows too."""
    x, y = gaussian(10_000, dim=20, mi=0.0, seed=2)
    found = mibench.estimate(x, y, estimator="doe,club,l1out,mmg", seeds=3, device="cpu")
    assert len(found.table) == 4
    for row in found.table.to_dict("records"):
        assert row["low_nats"] <= row["shuffled_high_nats"], row
        assert row["shuffled_low_nats"] <= row["high_nats"], row
    (warning,) = found.warnings
    assert "mmg" in warning
    assert "do not trust its value" in warning
