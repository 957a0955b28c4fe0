"""Cells, tables and figures of records with a known summary."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure
from records import failed, record
from scipy import stats

from mibench.analysis.cells import CELL, in_unit, summarise
from mibench.reports import tables
from mibench.reports.figures.levels import BIAS_VS_N, ESTIMATE_VS_TRUE
from mibench.reports.figures.style import save
from mibench.store.record import to_frame, to_json

ESTIMATES, ORACLES = [2.9, 3.0, 3.2], [3.1, 3.05, 3.15]


@pytest.fixture
def frame():
    good = [
        record(f"a{seed}", seed=seed, estimate_nats=estimate, oracle_nats=oracle)
        for seed, (estimate, oracle) in enumerate(zip(ESTIMATES, ORACLES, strict=True))
    ]
    others = [
        record("b", n=32, true_mi_nats=6.0, ceiling_nats=math.log(32), saturated=True),
        failed("c", seed=3),
        failed("d", estimator="nwj", ceiling_nats=None),
    ]
    return to_frame(good + others)


def test_cell(frame):
    cell = summarise(frame).iloc[0]
    assert cell["runs"] == 4
    assert cell["failed"] == 1
    assert cell["mean_nats"] == pytest.approx(np.mean(ESTIMATES))
    assert cell["bias_nats"] == pytest.approx(np.mean(ESTIMATES) - 4)
    assert cell["std_nats"] == pytest.approx(np.std(ESTIMATES, ddof=1))
    assert cell["bias_se_nats"] == pytest.approx(stats.sem(ESTIMATES))
    assert cell["rmse_nats"] == pytest.approx(math.sqrt(np.mean((np.array(ESTIMATES) - 4) ** 2)))
    assert cell["bound_gap_nats"] == pytest.approx(np.mean(ORACLES) - 4)
    assert cell["critic_gap_nats"] == pytest.approx(np.mean(ESTIMATES) - np.mean(ORACLES))
    assert cell["critic_gap_se_nats"] == pytest.approx(stats.sem(np.subtract(ESTIMATES, ORACLES)))
    low, high = stats.t.interval(0.95, 2, np.mean(ESTIMATES), stats.sem(ESTIMATES))
    assert (cell["mean_low_nats"], cell["mean_high_nats"]) == pytest.approx((low, high))


def test_error_splits_exactly(frame):
    summary = summarise(frame).dropna(subset="mean_nats")
    assert np.allclose(summary["bias_nats"], summary["bound_gap_nats"] + summary["critic_gap_nats"])


def test_a_single_seed_has_the_error_of_its_read_out_and_no_interval(frame):
    cell = summarise(frame).iloc[1]
    assert cell["bias_se_nats"] == 0.02
    assert cell["critic_gap_se_nats"] == 0.01
    assert math.isnan(cell["mean_low_nats"])
    assert math.isnan(cell["std_nats"])
    assert bool(cell["saturated"])


def test_a_cell_without_finished_runs_is_kept(frame):
    cell = summarise(frame).iloc[2]
    assert (cell["runs"], cell["failed"]) == (1, 1)
    assert math.isnan(cell["mean_nats"])


def test_intervals_cover_as_often_as_they_say():
    generator = np.random.default_rng(0)
    records = [
        record(f"{cell}-{seed}", steps=cell + 1, seed=seed, estimate_nats=generator.normal(3.0, 0.1))
        for cell in range(1000)
        for seed in range(5)
    ]
    summary = summarise(to_frame(records))
    covered = (summary["mean_low_nats"] < 3.0) & (summary["mean_high_nats"] > 3.0)
    assert 0.93 < covered.mean() < 0.97


def test_bits_are_for_showing(frame):
    summary = summarise(frame)
    bits = in_unit(summary, "bits")
    assert np.allclose(bits["bias_bits"], summary["bias_nats"] / math.log(2), equal_nan=True)
    assert not [column for column in bits if column.endswith("_nats")]
    assert in_unit(summary, "nats") is summary


def test_json_has_null_for_what_was_not_measured(frame):
    rows = to_json(frame)
    assert rows[-1]["estimate_nats"] is None
    assert rows[0]["estimate_nats"] == 2.9
    assert to_json(summarise(frame))[2]["mean_nats"] is None


def test_table(frame):
    shown = tables.table(summarise(frame))
    assert shown.titles == [
        "estimator",
        "True MI",
        "n",
        "Estimate",
        "Bias",
        "= at exact ratio",
        "+ model, training",
        "Ceiling",
        "Failed",
    ]
    first, saturated, lost = shown.rows
    assert first[:4] == ["infonce", "4", "64", "3.033"]
    assert first[4] == "-0.967 ±0.088 ‡"
    assert first[-1] == "1 of 4"
    assert saturated[4].endswith("†")
    assert lost[3:7] == ["–"] * 4
    assert "2 of 6 runs failed" in " ".join(shown.notes)
    assert "critic separable" in shown.caption


def test_markdown_and_latex_have_every_row(frame):
    shown = tables.table(summarise(frame))
    lines = tables.markdown(shown).splitlines()
    assert [line.count("|") for line in lines[:5]] == [len(shown.titles) + 1] * 5
    assert len({len(line) for line in lines[:5]}) == 1
    latex = tables.latex(shown)
    assert latex.count(r"\\") == 1 + len(shown.rows)
    for word in (r"\toprule", r"\midrule", r"\bottomrule", r"$\pm$", r"$^\dagger$", "$-$0.967"):
        assert word in latex
    assert not set("±†‡–") & set(latex)


@pytest.mark.parametrize("draw", [BIAS_VS_N, ESTIMATE_VS_TRUE])
@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_figures_say_what_failed_and_where_the_ceiling_is(frame, draw, unit, tmp_path):
    figure = draw.draw(summarise(frame), unit)
    assert isinstance(figure, Figure)
    first, second = figure.axes
    assert first.get_title() == "infonce\nof survivors, failed: 1 of 5 runs (1 at\nn = 64)"
    assert second.get_title() == "nwj\nfailed: 1 of 1 runs (1 at n = 64)"
    legend = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"mean, 95%", "at exact ratio"} < legend
    assert legend & {"log n", "log n − I"}
    paths = save(figure, tmp_path / "figure")
    assert [path.suffix for path in paths] == [".png", ".pdf"]
    assert all(path.stat().st_size > 1000 for path in paths)


def test_bias_figure_draws_estimate_oracle_and_log_n_minus_mi():
    records = [
        record(
            f"{n}",
            n=n,
            estimate_nats=math.log(n) - 1.5,
            oracle_nats=math.log(n) - 1.2,
            ceiling_nats=math.log(n),
        )
        for n in (16, 64)
    ]
    (axis,) = BIAS_VS_N.draw(summarise(to_frame(records)), "nats").axes
    lines = [np.asarray(line.get_ydata(), dtype=float) for line in axis.lines if len(line.get_xdata()) == 2]
    logs = np.log([16, 64]) - 4
    for offset in (0, -1.2, -1.5):
        assert any(np.allclose(line, logs + offset) for line in lines)


def test_a_single_point_still_shows_oracle_and_ceiling():
    summary = summarise(to_frame([record("a")]))
    (bias,), (estimate,) = (
        BIAS_VS_N.draw(summary, "nats").axes,
        ESTIMATE_VS_TRUE.draw(summary, "nats").axes,
    )
    for axis in (bias, estimate):
        styles = {line.get_linestyle(): line for line in axis.lines}
        assert styles["--"].get_marker() == "_"
        assert len(styles[":"].get_xdata()) == 2


def test_ceilings_that_are_not_log_n_are_labelled_as_such():
    summary = summarise(to_frame([record("a", ceiling_nats=math.log(2 * 64 - 1))]))
    (axis,) = ESTIMATE_VS_TRUE.draw(summary, "nats").axes
    assert [text.get_text() for text in axis.texts] == ["ceiling, n = 64"]


def test_cells_without_a_result_do_not_stretch_the_axes():
    frame = to_frame([record("a"), failed("b", true_mi_nats=1e9)])
    (axis,) = ESTIMATE_VS_TRUE.draw(summarise(frame), "nats").axes
    assert axis.get_xlim()[1] < 10


def test_cells_are_everything_but_the_seed_and_what_was_measured():
    settings = {"estimator", "task", "dim_x", "dim_y", "true_mi_nats", "n", "critic", "steps", "lr"}
    assert set(CELL) == settings | {
        *("train_n", "anchors", "encoder", "schedule", "precision", "protocol", "samples")
    }
