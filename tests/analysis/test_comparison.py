"""Comparisons with a known outcome: paired differences, the best estimator, and too few seeds to tell."""

import math
from dataclasses import replace

import numpy as np
import pytest
from records import UNTRAINED, failed, record
from scipy import stats

import mibench
from mibench.analysis.cells import blocks, summarise
from mibench.analysis.comparison import DATA, compare
from mibench.analysis.nearer import CANNOT_TELL, NEARER, OF_SURVIVORS, TOO_FEW
from mibench.reports import comparison_tables, figures, tables
from mibench.reports.figures.comparison import ERROR_SPLIT, METRICS_VS_TRUE
from mibench.reports.figures.levels import BIAS_VS_N, BIAS_VS_SAMPLES
from mibench.reports.figures.sandwich import SANDWICH
from mibench.reports.figures.staircase import staircase
from mibench.reports.figures.style import BUILT_IN, looks
from mibench.store.record import to_frame

SEEDS = 12


def records(errors, level=4.0, seeds=SEEDS, noise=0.01):
    """Estimators with the given bias at one level; they share the noise of a seed's data."""
    shared = np.random.default_rng(0).normal(0, 0.2, seeds)
    own = np.random.default_rng(1)
    return [
        record(
            f"{name}-{level}-{seed}",
            estimator=name,
            seed=seed,
            true_mi_nats=level,
            estimate_nats=level + bias + 0.1 * shared[seed] + noise * own.normal(),
        )
        for name, bias in errors.items()
        for seed in range(seeds)
    ]


def test_pairs_are_compared_seed_by_seed():
    frame = to_frame(records({"a": -0.5, "b": -0.4}))
    (row,) = compare(frame).pairs.to_dict("records")
    a, b = (frame[frame["estimator"] == name]["estimate_nats"].to_numpy() for name in "ab")
    assert row["seeds"] == SEEDS
    assert row["difference_nats"] == pytest.approx((a - b).mean())
    assert row["difference_se_nats"] == pytest.approx(stats.sem(a - b))
    assert row["difference_se_nats"] < stats.sem(a)  # the shared data cancel
    nearer = int((abs(b - 4) < abs(a - 4)).sum())
    assert (row["nearer_a"], row["nearer_b"]) == (SEEDS - nearer, nearer)
    assert row["p"] == pytest.approx(stats.binomtest(nearer, SEEDS).pvalue)
    assert (row["verdict"], row["winner"]) == (NEARER, "b")


def test_the_rmse_difference_has_a_students_interval_by_the_jackknife():
    frame = to_frame(records({"a": -0.5, "b": 0.1}, noise=0.1))
    (row,) = compare(frame).pairs.to_dict("records")
    a, b = (frame[frame["estimator"] == name]["estimate_nats"].to_numpy() - 4 for name in "ab")

    def difference(kept):
        return math.sqrt((a[kept] ** 2).mean()) - math.sqrt((b[kept] ** 2).mean())

    without = [difference(np.arange(SEEDS) != seed) for seed in range(SEEDS)]
    error = math.sqrt((SEEDS - 1) / SEEDS * sum((each - np.mean(without)) ** 2 for each in without))
    ends = stats.t.interval(0.95, SEEDS - 1, difference(np.arange(SEEDS)), error)
    assert row["rmse_difference_nats"] == pytest.approx(sum(ends) / 2)
    assert (row["rmse_difference_low_nats"], row["rmse_difference_high_nats"]) == pytest.approx(ends)


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_seed_or_two_have_no_interval_and_no_verdict(seeds):
    comparison = compare(to_frame(records({"a": -0.5, "b": -0.1}, seeds=seeds)))
    (row,) = comparison.pairs.to_dict("records")
    assert row["rmse_difference_nats"] > 0
    assert math.isnan(row["rmse_difference_low_nats"])
    assert (row["verdict"], row["reason"]) == (CANNOT_TELL, TOO_FEW)
    shown = comparison_tables.pairs_table(comparison)
    assert shown.rows[0][shown.titles.index("95%")] == "–"
    assert shown.rows[0][-1] == "cannot tell, too few seeds"


def test_nearer_means_nearer_the_truth_and_not_larger():
    over = compare(to_frame(records({"low": -0.1, "high": 0.5}))).pairs.iloc[0]
    assert over["winner"] == "low"
    assert over["difference_nats"] < 0
    assert over["rmse_difference_nats"] < 0


def test_best_are_all_than_which_none_was_found_nearer():
    cells = compare(to_frame(records({"far": -0.5, "near": -0.1, "as_near": -0.101}))).cells
    assert dict(zip(cells["estimator"], cells["best"], strict=True)) == {
        "far": False,
        "near": True,
        "as_near": True,
    }


def test_with_too_few_seeds_nothing_can_be_told_and_how_many_would_do_is_said():
    few = compare(to_frame(records({"a": -0.5, "b": -0.1, "c": 0.3}, seeds=4)))
    assert set(few.pairs["verdict"]) == {CANNOT_TELL}
    assert few.cells["best"].all()
    assert few.seeds_needed == math.ceil(1 + math.log2(3 / 0.05)) == 7
    told = compare(to_frame(records({"a": -0.5, "b": -0.1, "c": 0.3}, seeds=few.seeds_needed)))
    assert CANNOT_TELL not in set(told.pairs["verdict"])
    assert "with 7 seeds or more" in " ".join(comparison_tables.pairs_table(few).notes)


def test_estimators_that_train_nothing_or_another_model_are_compared_on_the_same_data():
    trained = records({"a": -0.5, "b": -0.1})
    joint = [replace(row, key=f"joint {row.key}", critic="joint") for row in trained]
    other = records({"ba": -0.3})
    other = [replace(row, critic="gaussian-mlp", steps=500) for row in other]
    untrained = [replace(row, **UNTRAINED) for row in records({"ksg": 0.05, "cca": -0.4})]
    comparison = compare(to_frame([*trained, *joint, *other, *untrained]))
    pairs = comparison.pairs
    both = [("a", "b"), *((name, rest) for name in "ab" for rest in ("ba", "ksg", "cca"))]
    one = [("ba", "ksg"), ("ba", "cca"), ("ksg", "cca")]
    assert sorted(zip(pairs["a"], pairs["b"], strict=True)) == sorted([*both, *both, *one])
    assert (pairs["seeds"] == SEEDS).all()
    shared = pairs.set_index(["a", "b"])["critic"]
    assert set(shared["a", "b"]) == {"separable", "joint"}
    assert shared[["a"]].drop("b", level=1).isna().all()
    cells = comparison.cells.set_index("estimator")
    assert list(cells.index) == ["a", "b", "ba", "ksg", "cca", "a", "b"]
    assert cells.loc["ksg", "best"]
    assert not cells.loc["cca", "best"]
    assert math.isnan(cells.loc["ksg", "seconds_per_1000_steps"])
    shown = comparison_tables.cells_table(comparison)
    assert [row[shown.titles.index("critic")] for row in shown.rows][3] == "–"


def test_estimators_with_a_common_way_of_training_are_compared_in_that_way():
    rows = records({"a": -0.5, "b": -0.1})
    joint = [replace(row, key=f"joint {row.key}", critic="joint") for row in rows if row.estimator == "a"]
    untrained = [replace(row, **UNTRAINED) for row in records({"ksg": 0.05})]
    frame = to_frame([*rows, *joint, *untrained])
    found = [
        set(zip(each["estimator"], each["critic"].fillna(""), strict=True)) for each in blocks(frame, DATA)
    ]
    assert found == [{("a", "separable"), ("b", "separable"), ("ksg", "")}, {("a", "joint"), ("ksg", "")}]
    pairs = compare(frame).pairs
    assert sorted(zip(pairs["a"], pairs["b"], strict=True)) == [
        ("a", "b"),
        ("a", "ksg"),
        ("a", "ksg"),
        ("b", "ksg"),
    ]


def test_holm_is_over_the_whole_table():
    frame = to_frame(records({"a": -0.5, "b": -0.4}) + records({"a": -0.5, "b": -0.4}, level=6.0))
    pairs = compare(frame).pairs
    assert len(pairs) == 2
    assert pairs["p_holm"].min() == pytest.approx(2 * pairs["p"].min())


@pytest.mark.slow
def test_a_table_of_equals_rarely_has_a_difference():
    generator = np.random.default_rng(5)
    alarms = 0
    for _ in range(100):
        rows = [
            record(f"{name}{seed}", estimator=name, seed=seed, estimate_nats=3 + generator.normal(0, 0.1))
            for name in "abcd"
            for seed in range(9)
        ]
        alarms += compare(to_frame(rows)).pairs["winner"].notna().any()
    assert alarms <= 5 + 2 * math.sqrt(5)


def test_only_seeds_that_both_finished_are_compared_and_failures_are_counted():
    rows = records({"a": -0.5, "b": -0.4})
    rows[3] = failed("x", estimator="a", seed=3)
    comparison = compare(to_frame(rows))
    assert comparison.pairs["seeds"].item() == SEEDS - 1
    assert list(comparison.cells["failed"]) == [1, 0]
    assert comparison.pairs["winner"].item() == "b"
    lost = compare(to_frame([failed(f"x{seed}", estimator="a", seed=seed) for seed in range(3)] + rows[12:]))
    assert lost.pairs["verdict"].item() == CANNOT_TELL
    assert list(lost.cells["best"]) == [False, True]
    assert lost.pairs["rmse_difference_nats"].isna().all()


def test_survivors_are_neither_nearer_nor_best():
    rows = records({"a": -0.5, "b": -0.4, "c": -0.45})
    for place in (SEEDS, SEEDS + 1):  # the first two of b
        rows[place] = failed(f"x{place}", estimator="b", seed=place - SEEDS)
    comparison = compare(to_frame(rows))
    pairs = comparison.pairs.set_index(["a", "b"])
    assert pairs.loc[("a", "b"), "nearer_b"] == SEEDS - 2
    assert pairs.loc[("a", "b"), "p_holm"] <= comparison.alpha
    assert set(pairs.xs("b", level="b")["reason"]) == {OF_SURVIVORS}
    assert pairs.loc[("b", "c"), "reason"] == OF_SURVIVORS
    assert pairs.loc[("a", "c"), "winner"] == "c"
    assert comparison.cells.set_index("estimator")["best"].to_dict() == {"a": False, "b": False, "c": True}
    notes = " ".join(comparison_tables.pairs_table(comparison).notes)
    assert "cannot tell, of survivors: more than a tenth" in notes


def test_cost_is_of_one_run():
    cells = compare(to_frame(records({"a": -0.5, "b": -0.4}))).cells
    assert list(cells["score_evaluations"]) == [1000 * 64**2] * 2
    assert list(cells["seconds_per_1000_steps"]) == [1.0, 1.0]


def test_cost_is_of_a_whole_training_whatever_else_is_compared():
    rows = [
        record(f"{name}{level}", estimator=name, training="t", true_mi_nats=level, wall_s=0.5, training_s=2.0)
        for name in ("js", "smile")
        for level in (2.0, 4.0)
    ]
    for shown in (rows, rows[:2], rows[:1]):
        assert set(compare(to_frame(shown)).cells["seconds_per_1000_steps"]) == {2.0}
    old = [replace(row, training_s=None) for row in rows]  # the sum of the shares that are there
    assert set(compare(to_frame(old)).cells["seconds_per_1000_steps"]) == {2.0}


def test_the_time_of_a_training_is_stored_whole_in_each_of_its_records():
    small = {"dim": 2, "mi": 0.5, "n": 4, "steps": 3, "seeds": 1, "device": "cpu"}
    frame = mibench.run(["js", "smile", "nwj"], **small).set_index("estimator")
    assert frame.loc["js", "training_s"] == frame.loc["smile", "training_s"]
    assert 0 < frame.loc["js", "training_s"] <= 2 * frame.loc["js", "wall_s"]
    assert 0 < frame.loc["nwj", "training_s"] <= frame.loc["nwj", "wall_s"]


def test_cost_is_not_known_on_samples():
    on_samples = [record(name, estimator=name, protocol="samples", samples=100) for name in "ab"]
    assert compare(to_frame(on_samples)).cells["score_evaluations"].isna().all()


def test_a_few_lucky_runs_are_not_the_best():
    rows = records({"a": -0.5, "b": 0.0})
    rows[SEEDS + 1 :] = [failed(f"x{seed}", estimator="b", seed=seed) for seed in range(1, SEEDS)]
    cells = compare(to_frame(rows)).cells.set_index("estimator")
    assert cells.loc["b", "rmse_nats"] < cells.loc["a", "rmse_nats"]
    assert cells["best"].to_dict() == {"a": True, "b": False}


def test_jackknife_errors_are_close_to_what_theory_says():
    generator = np.random.default_rng(7)
    seeds, spread = 400, 0.3
    rows = [
        record(f"{seed}", seed=seed, estimate_nats=3.0 + generator.normal(0, spread)) for seed in range(seeds)
    ]
    cell = summarise(to_frame(rows)).iloc[0]
    assert cell["std_se_nats"] == pytest.approx(spread / math.sqrt(2 * (seeds - 1)), rel=0.15)
    assert cell["rmse_se_nats"] == pytest.approx(spread / math.sqrt(seeds), rel=0.15)  # bias 1 >> spread


def test_tables_and_latex_show_every_cell():
    comparison = compare(to_frame(records({"smile[tau=1]": -0.5, "b_c": -0.4, "far": 2.5})))
    shown = comparison_tables.cells_table(comparison)
    assert len(shown.rows) == 3
    assert all(len(row) == len(shown.titles) for row in shown.rows)
    pairs = comparison_tables.pairs_table(comparison)
    assert len(pairs.rows) == 3
    assert all(len(row) == len(pairs.titles) for row in pairs.rows)
    latex = comparison_tables.latex(comparison)
    for word in (
        r"\toprule",
        r"\bottomrule",
        "S[table-format=-1.3(",
        r"\bfseries b\_c",
        "Bold: no other of its setting was found nearer",
    ):
        assert word in latex
    assert latex.count(r"\\") - latex.count(r"\\bf") >= 4
    bias = comparison.cells["bias_nats"].iloc[0]
    error = comparison.cells["bias_se_nats"].iloc[0]
    assert f"{bias:.3f}({round(1000 * error)})" in latex


def named(*labels):
    return {label: label.partition("[")[0] for label in labels}


def test_built_in_estimators_look_the_same_whatever_else_is_drawn():
    alone, among = looks(named("nwj")), looks(named("infonce", "nwj", "smile[tau=1]", "smile", "my_own"))
    assert alone["nwj"] == among["nwj"]
    assert looks(named("smile[tau=1]"))["smile[tau=1]"] == among["smile[tau=1]"]
    assert len({look.colour for look in looks(named(*BUILT_IN)).values()}) == len(BUILT_IN)


@pytest.mark.parametrize(
    "labels",
    [
        ["ksg", "flo", "lnn", "minde", "cca", "gcmi", "ba", "doe", "club", "l1out", "nwj"],
        [f"own{place}" for place in range(11)],
        [f"own{place}" for place in range(60)],
        [*BUILT_IN, *(f"own{place}" for place in range(11))],
        [f"smile[tau={tau}]" for tau in range(39)],
        ["infonce[a]", "infonce", "infonce[b]", "infonce[[", "infonce]", ""],
    ],
)
def test_no_two_estimators_of_a_figure_look_the_same(labels):
    found = looks(named(*labels))
    assert list(found) == labels
    assert len({(look.colour, look.marker, str(look.dash)) for look in found.values()}) == len(labels)
    eleven = list(found.values())[:11]
    assert len({(look.colour, look.marker) for look in eleven}) == len(eleven)


def test_bounds_stand_on_either_side_of_the_truth():
    frame = to_frame(
        [
            record(
                f"{name}{level}{seed}",
                estimator=name,
                bound=side,
                seed=seed,
                true_mi_nats=level,
                estimate_nats=level + off + 0.01 * seed,
            )
            for name, side, off in (("ba", "lower", -0.2), ("club", "upper", 0.9), ("ksg", None, 0.0))
            for level in (2.0, 4.0)
            for seed in (0, 1)
        ]
    )
    summary = summarise(frame)
    assert SANDWICH.applies(summary)
    assert not SANDWICH.applies(summary[summary["bound"] != "upper"])
    figure = SANDWICH.draw(summary, "nats")
    (axis,) = figure.axes
    lines = {
        line.get_linestyle(): line.get_ydata() for line in axis.lines if line.get_marker() not in ("", "None")
    }
    assert lines["-"] == pytest.approx([1.805, 3.805])
    assert lines["--"] == pytest.approx([2.905, 4.905])
    assert any(np.allclose(line.get_ydata(), [2, 4]) for line in axis.lines if line.get_color() == "black")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"ba (lower bound)", "club (upper if q is exact)", "truth"} <= set(legend)
    titles = {axis.get_title() for axis in BIAS_VS_N.draw(summary, "nats").axes}
    assert "club (upper if q is exact)" in titles
    assert "Upper bound, if q is exact: club." in tables.table(summary).notes


def test_estimators_that_train_nothing_are_in_every_figure():
    trained = records({"nwj": -0.5, "js": -0.1})
    untrained = [replace(row, **UNTRAINED, oracle_nats=None) for row in records({"ksg": 0.05})]
    summary = summarise(to_frame([*trained, *(replace(r, critic="joint") for r in trained), *untrained]))
    metrics = METRICS_VS_TRUE.draw(summary, "nats")
    assert len(metrics.axes) == 6  # a row for each critic
    assert all(len(axis.containers) == 3 for axis in metrics.axes)
    assert [axis.get_title(loc="left") for axis in metrics.axes[::3]] == ["separable", "joint"]
    titles = [axis.get_title() for axis in BIAS_VS_N.draw(summary, "nats").axes]
    assert "ksg" in titles
    for kind in figures.figures_of(summary):
        kind.draw(summary, "bits")


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_figures_have_a_line_and_bars_for_each_estimator(unit):
    frame = to_frame(records({"a": -0.5, "b": 0.4}) + records({"a": -0.5, "b": 0.4}, level=6.0))
    summary = summarise(frame)
    metrics = METRICS_VS_TRUE.draw(summary, unit)
    assert [axis.get_ylabel() for axis in metrics.axes] == [
        f"{name} [{unit}]" for name in ("Bias", "Std. deviation", "RMSE")
    ]
    assert all(len(axis.containers) == 2 for axis in metrics.axes)
    (axis,) = ERROR_SPLIT.draw(summary, unit).axes
    bars = [container for container in axis.containers if hasattr(container, "patches")]
    assert len(bars) == 4  # bound gap and critic gap of two estimators
    scale = math.log(2) if unit == "bits" else 1
    for rank, name in enumerate("ab"):
        own = summary[summary["estimator"] == name]
        heights = [patch.get_height() for patch in bars[2 * rank]]
        assert heights == pytest.approx(list(own["bound_gap_nats"] / scale))
        heights = [patch.get_height() for patch in bars[2 * rank + 1]]
        assert heights == pytest.approx(list(own["critic_gap_nats"] / scale))


def test_gaps_of_one_sign_are_stacked_and_of_two_signs_are_not():
    same = to_frame([record("a", estimate_nats=3.0, oracle_nats=3.1)])
    other = to_frame([record("a", estimate_nats=3.9, oracle_nats=4.3)])
    for frame, bottom in ((same, -0.9), (other, 0.0)):
        (axis,) = ERROR_SPLIT.draw(summarise(frame), "nats").axes
        critic = [container for container in axis.containers if hasattr(container, "patches")][1]
        assert critic.patches[0].get_y() == pytest.approx(bottom)


def test_bias_against_samples_draws_the_data_sets_sizes():
    rows = [
        record(f"{size}", protocol="samples", samples=size, estimate_nats=4 - 100 / size)
        for size in (200, 1000)
    ]
    (axis,) = BIAS_VS_SAMPLES.draw(summarise(to_frame(rows)), "nats").axes
    assert "Samples" in axis.get_xlabel()
    lines = [np.asarray(line.get_ydata(), dtype=float) for line in axis.lines if len(line.get_xdata()) == 2]
    assert any(np.allclose(line, [-0.5, -0.1]) for line in lines)


def test_a_staircase_has_a_panel_an_estimator_and_a_gap_where_a_level_failed():
    curves = {"nwj": {1.0: np.ones(40), 2.0: np.full(40, 2.0)}, "smile": {2.0: np.full(40, 2.5)}}
    figure = staircase(curves, looks(named(*curves)), {"nwj": {2.0: 1.9}}, "nats", "title")
    first, second, *_ = figure.axes
    assert [first.get_title(), second.get_title()] == ["nwj", "smile"]
    raw = np.asarray(second.lines[0].get_ydata(), dtype=float)
    assert len(raw) == 80
    assert np.isnan(raw[:40]).all()
    assert (raw[40:] == 2.5).all()
    (cross,) = [line for line in first.lines if line.get_marker() == "x"]
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (40 + 30, 1.9)
    assert not [line for line in second.lines if line.get_marker() == "x"]
