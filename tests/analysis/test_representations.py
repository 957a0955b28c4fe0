"""Truths that are intervals: bias and its error by hand, tables, and figures that show the right data."""

import math
import statistics as by_hand
from pathlib import Path

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from records import failed, record
from stores import by_horizon, by_noise, by_temperature, collapsed, encoded, made_up

from mibench.analysis.cells import (
    REPRESENTATION,
    from_interval,
    has_own_truth,
    in_unit,
    is_elsewhere,
    summarise,
)
from mibench.analysis.comparison import compare
from mibench.analysis.representations import representations
from mibench.reports import comparison_tables, tables
from mibench.reports.figures.levels import BIAS_VS_N, ESTIMATE_VS_TRUE
from mibench.reports.figures.probe import ESTIMATE_VS_PROBE
from mibench.reports.figures.sweep import sweeps
from mibench.reports.output import write_comparison, write_tables
from mibench.reports.representation_tables import table as representations_table
from mibench.store.record import from_line, to_frame

INTERVALS = [(2.0, 2.3), (1.9, 2.2), (2.1, 2.3)]
BELOW, INSIDE, ABOVE = [1.6, 1.75, 1.7], [2.0, 2.2, 2.15], [2.5, 2.4, 2.45]


def test_a_truth_is_of_the_representation_only_where_an_encoder_stands():
    """A task whose truth is an interval, as by Monte Carlo, has it in the table under its own name."""
    ends = {"true_mi_nats": 2.0, "true_mi_low_nats": 1.9, "true_mi_high_nats": 2.1}
    own = summarise(to_frame([record(seed=seed, key=str(seed), **ends) for seed in range(3)]))
    assert has_own_truth(own).all()
    assert not is_elsewhere(own).any()
    shown = tables.table(own)
    assert dict(zip(shown.titles, shown.rows[0], strict=True))["Truth"] == "1.900 to 2.100"
    (note,) = (note for note in shown.notes if note.startswith("Truth:"))
    assert note == (
        "Truth: as far as it is known; True MI: its middle. Where it is an interval that holds the truth, "
        "the bias is the distance from its nearer end, 0 inside."
    )
    assert own["bound_gap_nats"].isna().all()  # only known up to the interval
    assert own["critic_gap_nats"].notna().all()
    drawn = ESTIMATE_VS_TRUE.draw(own, "nats").axes[0]
    assert drawn.get_xlabel() == "True MI [nats]"
    encoded = summarise(to_frame(runs(BELOW)))
    assert is_elsewhere(encoded).all()
    assert ESTIMATE_VS_TRUE.draw(encoded, "nats").axes[0].get_xlabel() == "True MI of the task [nats]"


def runs(estimates, intervals=INTERVALS, **changes):
    return [
        encoded(low=low, high=high, seed=seed, true_mi_low_nats=low, true_mi_high_nats=high, **changes)
        if estimate is None
        else encoded(
            low=low,
            high=high,
            seed=seed,
            true_mi_low_nats=low,
            true_mi_high_nats=high,
            estimate_nats=estimate,
            **changes,
        )
        for seed, (estimate, (low, high)) in enumerate(zip(estimates, intervals, strict=True))
    ]


def cell_of(records):
    (cell,) = summarise(to_frame(records)).to_dict("records")
    return cell


@pytest.mark.parametrize("estimates", [BELOW, INSIDE, ABOVE], ids=["below", "inside", "above"])
def test_bias_is_the_distance_from_the_interval(estimates):
    cell = cell_of(runs(estimates))
    mean = math.fsum(estimates) / 3
    low, high = (math.fsum(ends) / 3 for ends in zip(*INTERVALS, strict=True))
    expected = mean - low if mean < low else mean - high if mean > high else 0.0
    assert cell["bias_nats"] == pytest.approx(expected, abs=1e-14)
    assert (cell["true_mi_low_nats"], cell["true_mi_high_nats"]) == pytest.approx((low, high))
    nearer = 0 if mean < (low + high) / 2 else 1
    differences = [e - ends[nearer] for e, ends in zip(estimates, INTERVALS, strict=True)]
    assert cell["bias_se_nats"] == pytest.approx(by_hand.stdev(differences) / math.sqrt(3))
    distances = [
        e - low if e < low else e - high if e > high else 0.0
        for e, (low, high) in zip(estimates, INTERVALS, strict=True)
    ]
    assert cell["rmse_nats"] == pytest.approx(math.sqrt(math.fsum(d * d for d in distances) / 3))
    assert math.isnan(cell["bound_gap_nats"])
    assert math.isnan(cell["critic_gap_nats"])


def test_an_exact_truth_that_moves_with_the_seed_takes_its_own_noise_away():
    points = [(low, low) for low, _ in INTERVALS]
    cell = cell_of(runs([low - 0.3 for low, _ in points], points, oracle_nats=1.9))
    assert cell["bias_nats"] == pytest.approx(-0.3)
    assert cell["bias_se_nats"] == pytest.approx(0, abs=1e-12)
    assert cell["std_nats"] > 0.05
    gaps = [1.9 - low for low, _ in points]
    assert cell["bound_gap_nats"] == pytest.approx(math.fsum(gaps) / 3)
    assert cell["bound_gap_se_nats"] == pytest.approx(by_hand.stdev(gaps) / math.sqrt(3))
    assert cell["bias_nats"] == pytest.approx(cell["bound_gap_nats"] + cell["critic_gap_nats"])


def test_an_exact_truth_is_as_it_ever_was_to_the_bit():
    estimates, truth = [2.9, 3.0, 3.2], 0.1 * 39
    frame = to_frame(
        [record(f"{s}", seed=s, estimate_nats=e, true_mi_nats=truth) for s, e in enumerate(estimates)]
    )
    (cell,) = summarise(frame).to_dict("records")
    values = frame["estimate_nats"]
    assert cell["bias_nats"] == values.mean() - truth
    assert cell["bias_se_nats"] == values.std(ddof=1) / math.sqrt(3)
    assert cell["rmse_nats"] == math.sqrt(((values - truth) ** 2).mean())
    assert cell["bound_gap_nats"] == frame["oracle_nats"].mean() - truth


def test_distance_from_an_interval():
    values = np.array([0.5, 1.0, 1.5, 2.0, 2.25, np.nan])
    assert np.array_equal(from_interval(values, 1.0, 2.0), [-0.5, 0, 0, 0, 0.25, np.nan], equal_nan=True)
    assert from_interval(np.float64(3.3), 3.1, 3.1) == 3.3 - 3.1


def test_a_cell_is_saturated_where_the_mean_lower_end_is_above_the_ceiling():
    n = 8  # log n = 2.079
    assert cell_of(runs(BELOW, [(2.2, 2.3)] * 3, n=n))["saturated"]
    assert not cell_of(runs(BELOW, [(1.9, 2.3)] * 3, n=n))["saturated"]


def test_what_is_known_of_the_encoder_has_its_error_and_counts_failed_runs_too():
    good = [encoded(seed=seed, alignment=0.1 * seed) for seed in range(3)]
    lost = encoded(seed=3, alignment=0.3, status="diverged", message="not finite", estimate_nats=None)
    cell = cell_of([*good, lost])
    values = [0.0, 0.1, 0.2, 0.3]
    assert cell["alignment"] == pytest.approx(0.15)
    assert cell["alignment_se"] == pytest.approx(by_hand.stdev(values) / 2)
    assert cell["true_mi_low_nats"] == pytest.approx(1.91)  # of the runs that finished
    bits = in_unit(summarise(to_frame(good)), "bits")
    assert bits["encoder_se_bits"].item() == pytest.approx(0.01 / math.sqrt(3) / math.log(2))
    assert {"alignment", "uniformity_se", "log_ratio_rmse_se_bits", "encoder_ceiling_bits"} <= set(bits)


def test_encoders_that_all_failed_are_a_cell_without_a_truth():
    cell = cell_of([collapsed(seed=seed) for seed in range(3)])
    assert (cell["runs"], cell["failed"]) == (3, 3)
    assert math.isnan(cell["true_mi_low_nats"])
    assert math.isnan(cell["bias_nats"])
    assert not cell["saturated"]
    assert cell["effective_rank"] == pytest.approx(1.02)


def test_tables_show_the_truth_where_it_is_not_the_task_s():
    frame = to_frame([*runs(BELOW), *runs(INSIDE, n=64), *(collapsed(seed=seed) for seed in range(3))])
    shown = tables.table(summarise(frame))
    assert shown.titles[:5] == ["True MI", "encoder", "n", "Truth", "Estimate"]
    below, inside, lost = shown.rows
    assert below[3:6] == ["2.000 to 2.267", "1.683", "-0.317 ±0.083"]
    assert inside[5] == "0 (inside)"
    assert shown.titles[5:] == ["Bias", "Ceiling", "Failed"]  # no exact critic is known, so there is no split
    assert lost[3:6] == ["–"] * 3
    notes = " ".join(shown.notes)
    assert "distance from its nearer end, 0 inside" in notes
    assert "not split" in notes
    assert "± one standard error across 3 seeds, times 4.30 for 95%." in notes
    assert "0 (inside)" in tables.markdown(shown)
    exact = tables.table(summarise(to_frame(runs(BELOW, [(5.9654, 5.9654)] * 3))))
    assert exact.rows[0][exact.titles.index("Truth")] == "5.965"


def test_without_an_exact_critic_the_ceilings_part_is_told():
    low = np.mean([low for low, _ in INTERVALS])
    shown = tables.table(summarise(to_frame(runs([0.5, 0.5, 0.5], n=4, ceiling_nats=math.log(4)))))
    part = f"{low - math.log(4):.3f}"
    assert f"at least {part} nats" in " ".join(shown.notes)


def test_without_encoders_tables_are_as_they_were():
    shown = tables.table(summarise(to_frame([record("a"), failed("b", seed=1)])))
    assert "encoder" not in shown.caption
    assert "Truth" not in shown.titles
    assert len(shown.notes) == 4
    fixed = tables.table(summarise(to_frame(runs(BELOW))))
    assert "encoder simclr" in fixed.caption


def test_representations_are_one_row_an_encoder():
    records = [
        *runs(BELOW),
        *runs(INSIDE, n=64),
        *(collapsed(seed=s, n=n) for s in range(2) for n in (16, 64)),
    ]
    records.append(collapsed(seed=2, message="the encoder diverged: its loss is not finite at step 7"))
    cells = representations(to_frame(records))
    assert list(cells["encoder"]) == ["simclr", "simsiam[stop=false]"]
    assert list(cells["seeds"]) == [3, 3]
    assert list(cells["failed"]) == [0, 3]
    own = [2.0, 2.01, 2.02]
    assert cells["encoder_nats"][0] == pytest.approx(2.01)
    assert cells["encoder_se_nats"][0] == pytest.approx(by_hand.stdev(own) / math.sqrt(3))
    shown = representations_table(cells)
    assert shown.titles[:3] == ["encoder", "True MI", "Truth"]
    assert shown.rows[0][2] == "2.000 to 2.267"
    assert shown.rows[1][2] == "–"
    assert shown.rows[1][-1] == "3 of 3"
    notes = " ".join(shown.notes)
    assert "simsiam[stop=false] on digits: 3 of 3 failed: the encoder collapsed" in notes
    assert "diverged" in notes
    without = representations_table(representations(to_frame(by_horizon())))
    assert "task" in without.titles
    assert not {"Alignment", "Uniformity", "Probe"} & set(without.titles)
    assert representations(to_frame([made_up()])).empty
    for unit in ("nats", "bits"):
        tables.latex(representations_table(cells, unit))


def test_estimators_are_compared_by_their_distance_from_the_interval():
    """Two that are both inside are equally near, however far apart they are."""
    ends = [(2.0, 3.0)] * 8
    near = runs([2.1] * 8, ends)
    other = runs([2.9] * 8, ends, estimator="nwj")
    outside = runs([3.2 + 0.01 * seed for seed in range(8)], ends, estimator="js")
    comparison = compare(to_frame([*near, *other, *outside]))
    rows = {(row["a"], row["b"]): row for row in comparison.pairs.to_dict("records")}
    assert rows["infonce", "nwj"]["rmse_difference_nats"] == 0
    assert rows["infonce", "nwj"]["p"] == 1
    assert rows["infonce", "js"]["winner"] == "infonce"
    shown = comparison_tables.cells_table(comparison)
    assert {row[shown.titles.index("Bias")] for row in shown.rows[:2]} == {"0 (inside)"}
    assert shown.rows[0][shown.titles.index("Truth")] == "2.000 to 3.000"


def drawn(summary, unit="nats"):
    return {kind.name: kind.draw(summary, unit) for kind in sweeps(summary)}


def bands(axis):
    return [collection for collection in axis.collections if isinstance(collection, PolyCollection)]


def curves(axis):
    """The lines of an axis with more than one point: x, y, style."""
    return [
        (np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float), line.get_linestyle())
        for line in axis.lines
        if len(line.get_xdata()) > 1
    ]


def has_curve(axis, y, style=None):
    return any(
        len(found) == len(y) and np.allclose(found, y) and style in (None, how)
        for _, found, how in curves(axis)
    )


def labels(figure):
    return {text.get_text() for text in figure.legends[0].get_texts()}


def test_bias_figure_shades_where_the_truth_lies():
    records = [*runs(BELOW, encoder_ceiling_nats=2.1), *runs(ABOVE, n=64, encoder_ceiling_nats=2.1)]
    figure = BIAS_VS_N.draw(summarise(to_frame(records)), "nats")
    (axis,) = figure.axes
    (band,) = bands(axis)
    heights = band.get_paths()[0].vertices[:, 1]
    high = np.mean([high for _, high in INTERVALS])
    assert (heights.min(), heights.max()) == pytest.approx((2.0 - high, 0))
    assert has_curve(axis, [np.mean(BELOW) - high, np.mean(ABOVE) - high], "-")
    assert has_curve(axis, np.log([16, 64]) - high, ":")
    assert has_curve(axis, [2.1 - high] * 2, "-.")
    assert "truth lies here" in labels(figure)
    assert "encoder's ceiling − I" in labels(figure)
    assert "at exact ratio" not in labels(figure)
    assert "upper end" in axis.get_ylabel()


def test_bias_figure_of_an_exact_truth_has_no_band():
    points = [(low, low) for low, _ in INTERVALS]
    records = [*runs(BELOW, points, oracle_nats=1.8), *runs(BELOW, points, n=64, oracle_nats=1.8)]
    figure = BIAS_VS_N.draw(summarise(to_frame(records)), "nats")
    (axis,) = figure.axes
    assert not bands(axis)
    assert axis.get_ylabel() == "Bias [nats]"
    assert has_curve(axis, [np.mean(BELOW) - 2.0] * 2, "-")


def test_a_panel_is_an_estimator_and_encoder():
    frame = to_frame([*runs(BELOW), *runs(BELOW, encoder="moco"), *runs(BELOW, estimator="nwj")])
    titles = {axis.get_title() for axis in BIAS_VS_N.draw(summarise(frame), "nats").axes}
    assert {"infonce, simclr", "infonce, moco", "nwj, simclr"} <= titles


def test_levels_of_different_dimensions_are_one_panel():
    frame = to_frame([*runs(BELOW), *runs(BELOW, true_mi_nats=4.605, dim_x=64, dim_y=64)])
    assert len(BIAS_VS_N.draw(summarise(frame), "nats").axes) == 1
    frame = to_frame([*runs(BELOW), *runs(BELOW, dim_x=64, dim_y=64)])
    assert len(BIAS_VS_N.draw(summarise(frame), "nats").axes) == 2


def test_estimate_figure_has_a_bar_where_the_truth_lies():
    figure = ESTIMATE_VS_TRUE.draw(summarise(to_frame(runs(BELOW))), "nats")
    (axis,) = figure.axes
    low, high = (np.mean(ends) for ends in zip(*INTERVALS, strict=True))
    assert any(np.allclose(x, 2.303) and np.allclose(y, [low, high]) for x, y, _ in curves(axis))
    assert "truth lies here" in labels(figure)
    points = ESTIMATE_VS_TRUE.draw(summarise(to_frame(runs(BELOW, [(1.5, 1.5)] * 3))), "nats")
    assert "truth" in labels(points)


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_sweep_over_temperature_has_what_there_is(unit):
    scale = math.log(2) if unit == "bits" else 1.0
    summary = summarise(to_frame(by_temperature()))
    found = drawn(summary, unit)
    assert set(found) == {"vs_temperature"}
    by_name = {axis.get_ylabel(): axis for axis in found["vs_temperature"].axes}
    assert set(by_name) == {
        f"Estimate [{unit}]",
        "Alignment",
        "Uniformity",
        "Probe accuracy",
        "Effective rank",
        f"Encoder's own estimate [{unit}]",
    }
    temperatures = [0.05, 0.1, 0.2, 0.5, 1]
    own = [summary[summary["n"] == n].sort_values("alignment") for n in (16, 64, 512)]
    estimates = by_name[f"Estimate [{unit}]"]
    assert any(list(x) == temperatures for x, _, _ in curves(estimates))  # the default has its value
    for cells in own:
        assert has_curve(estimates, cells["mean_nats"] / scale, "-")
        near = cells["ceiling_nats"].iloc[0] <= 1.35 * cells["true_mi_nats"].max()
        assert has_curve(estimates, cells["ceiling_nats"] / scale, ":") == near
    (band,) = bands(estimates)
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(own[0]["true_mi_high_nats"].max() / scale)
    assert heights.min() == pytest.approx(own[0]["true_mi_low_nats"].min() / scale)
    assert has_curve(by_name["Alignment"], own[0]["alignment"])
    reading = by_name[f"Encoder's own estimate [{unit}]"]
    assert has_curve(reading, own[0]["encoder_nats"] / scale)
    assert has_curve(reading, [math.log(511) / scale] * 5, "-.")
    assert not bands(reading)  # two views of an image are not the task's pair
    assert estimates.get_xscale() == "log"
    assert estimates.get_ylim()[0] < own[0]["mean_nats"].min() / scale
    low, high = by_name["Alignment"].get_ylim()
    assert low < own[0]["alignment"].min() < own[0]["alignment"].max() < high


def test_an_option_that_labels_leave_out_is_not_swept():
    """The true MI of a task varies within one label, and has a column of its own."""
    choices = made_up().choices
    records = [
        made_up(true_mi=mi, choices=choices | {"task": {"name": "gaussian", "options": {"mi": mi, "dim": 5}}})
        for mi in (1.0, 2.0)
    ]
    assert drawn(summarise(to_frame(records))) == {}


def test_old_records_have_the_defaults_that_their_labels_left_out():
    path = Path(__file__).parents[1] / "store" / "golden" / "schema_3.jsonl"
    records = [from_line(line) for line in path.read_text().splitlines() if '"simclr' in line]
    (figure,) = drawn(summarise(to_frame(records))).values()
    assert any(list(x) == [0.05, 0.1, 0.2] for x, _, _ in curves(figure.axes[0]))


def test_sweep_over_the_horizon_of_a_task_follows_its_truth():
    summary = summarise(to_frame(by_horizon()))
    figure = drawn(summary)["vs_horizon"]
    axis = figure.axes[0]
    assert any(list(x) == [1, 2, 4, 8] for x, _, _ in curves(axis))
    truths = [-2 * math.log(1 - 0.9 ** (2 * horizon)) for horizon in (1, 2, 4, 8)]
    assert has_curve(axis, truths)
    assert len(bands(axis)) == 1
    assert len(bands(figure.axes[-1])) == 1  # what the recipe itself reads is the same pair
    assert {"n = 16", "n = 512", "true MI of the task", "log n"} <= labels(figure)


def test_sweep_over_k_has_the_error_of_the_ratio_and_the_partition_function():
    summary = summarise(to_frame([*by_noise(), made_up("nce", 2.0, 128, task="bigram")]))
    figure = drawn(summary)["vs_k"]
    by_name = {axis.get_ylabel(): axis for axis in figure.axes}
    kept = summary[summary["estimator"] != "nce"]  # as many as the batch has are no number
    assert has_curve(by_name["Error of the log ratio [nats]"], kept["log_ratio_rmse_nats"])
    partition = by_name["Log partition function [nats]"]
    assert has_curve(partition, kept["log_partition_nats"])
    assert has_curve(partition, [0, 0])
    assert has_curve(by_name["Estimate [nats]"], [2.0] * 4)
    assert "truth" in labels(figure)


def test_sweep_from_zero_has_a_tick_there_and_failures_are_said():
    records = [
        *(r for steps in (0, 20, 500) for r in runs(BELOW, encoder=f"simclr[steps={steps}]")),
        *(collapsed("simclr[steps=100]", seed=seed) for seed in range(3)),
    ]
    figure = drawn(summarise(to_frame(records)))["vs_steps"]
    assert figure.axes[0].get_xscale() == "symlog"
    assert list(figure.axes[0].get_xticks()) == [0, 20, 100, 500]
    assert figure.axes[0].get_title() == "infonce\nfailed: 3 of 12 runs"
    near = drawn(
        summarise(to_frame([r for p in (0, 0.1, 0.5) for r in runs(BELOW, encoder=f"simcse[p={p}]")]))
    )
    assert near["vs_p"].axes[0].get_xscale() == "linear"


def test_several_estimators_have_a_panel_each_and_several_settings_say_which():
    records = [
        r
        for t in (0.1, 1)
        for rest in ("", ",dim=8")
        for name in ("infonce", "nwj")
        for r in runs(BELOW, encoder=f"simclr[temperature={t}{rest}]", estimator=name)
    ]
    figure = drawn(summarise(to_frame(records)))["vs_temperature"]
    titles = [axis.get_title() for axis in figure.axes][:4]
    assert titles == ["infonce, simclr", "nwj, simclr", "infonce, simclr[dim=8]", "nwj, simclr[dim=8]"]


def test_two_kinds_with_one_option_have_a_figure_each():
    records = [
        *(r for dim in (4, 8) for r in runs(BELOW, encoder=f"simclr[dim={dim}]")),
        *(r for dim in (4, 8) for r in runs(BELOW, estimator=f"one[dim={dim}]")),
    ]
    assert set(drawn(summarise(to_frame(records)))) == {"vs_dim", "vs_estimator_dim"}


def test_estimate_against_probe_needs_three_encoders():
    accuracies = {"random": 0.6, "simclr": 0.93, "moco": 0.932}
    records = [r for name, p in accuracies.items() for r in runs(BELOW, encoder=name, probe_accuracy=p)]
    figure = ESTIMATE_VS_PROBE.draw(summarise(to_frame(records)), "nats")
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.texts] == ["random", "simclr", "moco"]
    line = axis.containers[0].lines[0]
    assert sorted(line.get_xdata()) == pytest.approx(sorted(accuracies.values()))
    assert not ESTIMATE_VS_PROBE.applies(summarise(to_frame(records[:6])))
    places = sorted(text.get_position()[0] for text in axis.texts)
    assert min(np.diff(places)) > 0.03  # names that would meet step aside


@pytest.mark.parametrize(
    "records",
    [
        [collapsed(seed=seed, n=n) for seed in range(2) for n in (16, 64)],
        [*runs(BELOW), collapsed(), *runs(ABOVE, estimator="nwj"), collapsed(estimator="nwj")],
        [*runs(BELOW), *(made_up(seed=seed) for seed in range(2))],
        [*by_temperature(seeds=1), collapsed("simclr[temperature=2]")],
    ],
    ids=["all failed", "several estimators", "with and without encoders", "one seed"],
)
@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_everything_is_written(records, unit, tmp_path):
    names = {path.name for path in write_tables(to_frame(records), tmp_path, unit)}
    assert {f"representations.{kind}" for kind in ("csv", "md", "tex")} <= names
    assert "bias_vs_n.png" in names
    assert ("error_split.png" in names) == any(
        one.oracle_nats is not None or one.estimate_nats is None for one in records
    )
    if len({one.estimator for one in records}) > 1:
        compared = {path.name for path in write_comparison(compare(to_frame(records)), tmp_path, unit)}
        assert "metrics_vs_true.png" in compared


def test_nothing_of_representations_is_written_without_them(tmp_path):
    names = {path.name for path in write_tables(to_frame([made_up()]), tmp_path)}
    assert not [name for name in names if name.startswith(("representations", "vs_", "estimate_vs_probe"))]


def test_the_band_is_in_the_level_s_colour():
    figure = BIAS_VS_N.draw(summarise(to_frame(runs(BELOW))), "nats")
    assert isinstance(figure, Figure)
    (axis,) = figure.axes
    (band,) = bands(axis)
    line = axis.containers[0].lines[0]
    assert matplotlib.colors.to_rgb(band.get_facecolor()[0]) == pytest.approx(
        matplotlib.colors.to_rgb(line.get_color())
    )


def test_what_is_measured_of_encoders_are_columns_of_records():
    assert set(REPRESENTATION) <= set(to_frame([]).columns)
