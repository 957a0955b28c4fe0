"""The n of training: `own` among its values, what training at another n loses, and its figure."""

import math
from dataclasses import replace

import pandas as pd
import pytest
from matplotlib.collections import PolyCollection
from records import UNTRAINED, failed, record

import mibench
from mibench.analysis.cells import summarise
from mibench.errors import UsageError
from mibench.reports import tables
from mibench.reports.figures import figures_of
from mibench.reports.figures.train_n import TRAIN_N
from mibench.store.record import to_frame

SMALL = {"dim": 2, "mi": 1, "seeds": 2, "device": "cpu"}


def keys(estimator="infonce,ksg", **settings):
    return [spec.key for spec in mibench.plan(estimator, **SMALL, n=[8, 16], **settings).specs]


# ---- own


@pytest.mark.parametrize("own", ["own", ["own"], "own,own"])
def test_own_is_what_there_is_without_the_option(own):
    assert keys(train_n=own) == keys()


def test_own_stands_beside_numbers():
    both = keys(train_n="own,16")
    assert both == keys(train_n=["own", 16])
    assert set(both) == set(keys()) | set(keys(train_n=16))
    assert len(both) == 2 * (2 * 2 + 2)  # of two n, two n of training and ksg, which trains nothing


def test_own_is_allowed_where_no_other_n_is():
    assert keys("ksg", train_n="own") == keys("ksg")
    sized = {"protocol": "samples", "samples": 200}
    assert keys(train_n="own", **sized) == keys(**sized)
    with pytest.raises(UsageError, match="no meaning under the protocol 'samples'"):
        keys(train_n="own,16", **sized)


@pytest.mark.parametrize("value", ["other", "own,onw", ["own", 1], "", [None], "own[k=2]", True])
def test_other_words_are_refused(value):
    with pytest.raises(UsageError, match=r"train_n must be .*\nGive whole numbers of at least 2, or own"):
        keys(train_n=value)


# ---- what training at another n loses

# By (train n, n): the estimates of three seeds, of which the exact value is 3.1 at n = 64 and 2.0 at 16.
ESTIMATES = {
    (None, 16): [1.90, 1.94, 1.89],
    (16, 16): [1.90, 1.94, 1.89],
    (16, 64): [2.90, 2.85, 3.00],
    (None, 64): [3.00, 2.97, 3.06],
    (16, 256): [3.40, 3.50, 3.20],
}
EXACT = {16: 2.0, 64: 3.1, 256: 3.7}


def records(estimates=ESTIMATES, **changes):
    return [
        record(
            f"{train_n} {n} {seed} {sorted(changes.items())}",
            n=n,
            train_n=train_n,
            seed=seed,
            estimate_nats=estimate,
            oracle_nats=EXACT[n],
            ceiling_nats=math.log(n),
            **changes,
        )
        for (train_n, n), values in estimates.items()
        for seed, estimate in enumerate(values)
    ]


@pytest.fixture
def summary():
    return summarise(to_frame(records()))


def cell(summary, train_n, n):
    own = summary["train_n"].isna() if train_n is None else summary["train_n"] == train_n
    (found,) = summary[own & (summary["n"] == n)].to_dict("records")
    return found


def test_the_gap_of_training_is_paired_by_seed(summary):
    """By hand: the differences at n = 64 are -0.10, -0.12, -0.06."""
    gap = cell(summary, 16, 64)
    assert gap["train_gap_nats"] == pytest.approx(-0.28 / 3)
    assert gap["train_gap_se_nats"] == pytest.approx(0.0305505 / 3**0.5, rel=1e-5)
    rest = cell(summary, None, 64)
    assert rest["above_exact_nats"] == pytest.approx(3.01 - 3.1)
    assert rest["above_exact_se_nats"] == pytest.approx(0.0458258 / 3**0.5, rel=1e-5)


def test_bound_training_and_rest_are_the_bias(summary):
    parts = cell(summary, 16, 64)["train_gap_nats"] + cell(summary, None, 64)["above_exact_nats"]
    assert cell(summary, 16, 64)["bias_nats"] == pytest.approx(3.1 - 4 + parts)


def test_what_is_trained_at_n_loses_nothing_by_it(summary):
    same = cell(summary, 16, 16)
    assert (same["train_gap_nats"], same["train_gap_se_nats"]) == (0, 0)


def test_without_a_run_at_its_own_n_there_is_no_gap_of_training(summary):
    alone = cell(summary, 16, 256)
    assert math.isnan(alone["train_gap_nats"])
    assert alone["above_exact_nats"] == pytest.approx(10.1 / 3 - 3.7)
    assert all(math.isnan(cell(summary, None, n)["train_gap_nats"]) for n in (16, 64))


def test_seeds_that_both_finished_count():
    lost = records()
    lost[6] = failed("lost", n=64, train_n=16, seed=0, ceiling_nats=math.log(64))
    lost[10] = failed("lost too", n=64, seed=1, ceiling_nats=math.log(64))
    gap = cell(summarise(to_frame(lost)), 16, 64)
    assert gap["train_gap_nats"] == pytest.approx(3.00 - 3.06)
    assert gap["train_gap_se_nats"] == pytest.approx(2**0.5 * 0.02)  # of one pair, that of its batches
    assert gap["failed"] == 1


def test_pairs_are_of_one_estimator_task_and_training():
    others = {"critic": "joint", "steps": 500, "lr": 0.1, "true_mi_nats": 6.0, "task": "cubic", "dim_x": 5}
    trained = {key: values for key, values in ESTIMATES.items() if key[0] is not None}
    own = {key: [9.0] * 3 for key in ESTIMATES if key[0] is None}
    for name, value in others.items():
        frame = to_frame(records(trained) + records(own, **{name: value}))
        assert summarise(frame)["train_gap_nats"].isna().all(), name


def test_cells_do_not_depend_on_others_but_for_the_gap(summary):
    alone = summarise(to_frame(records({key: ESTIMATES[key] for key in ESTIMATES if key[0] is not None})))
    columns = [column for column in alone if not column.startswith("train_gap")]
    both = summary[summary["train_n"].notna()].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone[columns], both[columns])


def test_where_the_ratio_is_unknown_the_gap_of_training_is_known():
    unknown = dict.fromkeys(("oracle_nats", "oracle_se_nats", "exact_nats", "exact_se_nats"))
    frame = to_frame([replace(one, **unknown) for one in records()])
    gap = cell(summarise(frame), 16, 64)
    assert gap["train_gap_nats"] == pytest.approx(-0.28 / 3)
    assert math.isnan(gap["above_exact_nats"])


def test_runs_of_a_grid_are_paired():
    """The engine's own runs: the same training at n = 8, another at 16, nothing trained for ksg."""
    frame = mibench.run("infonce,ksg", **SMALL, n=[8, 16], train_n="own,8", steps=20)
    summary = mibench.summarise(frame)
    infonce = summary[summary["estimator"] == "infonce"]
    assert cell(infonce, 8, 8)["train_gap_nats"] == 0
    estimates = frame[(frame["estimator"] == "infonce") & (frame["n"] == 16)].set_index(["train_n", "seed"])
    means = estimates["estimate_nats"].groupby("train_n", dropna=False).mean()
    expected = means[8] - means[means.index.isna()].iloc[0]
    assert expected != 0
    assert cell(infonce, 8, 16)["train_gap_nats"] == pytest.approx(expected)
    assert summary[summary["estimator"] == "ksg"]["train_gap_nats"].isna().all()


def test_the_table_has_the_gap_where_it_is_known(summary):
    shown = tables.table(summary)
    place = shown.titles.index(tables.TRAIN_GAP)
    assert [row[place] for row in shown.rows] == ["–", "+0.000 ±0.000", "-0.093 ±0.018", "–", "–"]
    assert any(note.startswith(tables.TRAIN_GAP) for note in shown.notes)
    without = tables.table(summary[summary["train_n"].isna()])
    assert tables.TRAIN_GAP not in without.titles
    assert not any(note.startswith(tables.TRAIN_GAP) for note in without.notes)


# ---- the figure


def line_of(axis, **look):
    """The points of the only line of a panel with this look that has markers."""
    lines = [line for line in axis.lines if all(getattr(line, f"get_{k}")() == v for k, v in look.items())]
    (found,) = [
        line for line in lines if line.get_marker() not in ("", "None", "_", "|") and len(line.get_xdata())
    ]
    return list(found.get_xdata()), list(found.get_ydata())


@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_the_figure_shows_the_error_and_its_parts(summary, unit):
    scale = math.log(2) if unit == "bits" else 1
    error, parts = TRAIN_N.draw(summary, unit).axes
    assert (error.get_ylabel(), parts.get_ylabel()) == (f"Error [{unit}]", f"Part of the error [{unit}]")
    n, values = line_of(error, marker="X")
    assert (n, values) == ([16, 64], pytest.approx([(5.73 / 3 - 4) / scale, (3.01 - 4) / scale]))
    n, values = line_of(error, marker="o")
    assert n == [16, 64, 256]
    assert values == pytest.approx([(mean - 4) / scale for mean in (5.73 / 3, 8.75 / 3, 10.1 / 3)])
    n, values = line_of(parts, marker="X")
    assert (n, values) == ([16, 64], pytest.approx([(5.73 / 3 - 2) / scale, (3.01 - 3.1) / scale]))
    n, values = line_of(parts, markerfacecolor="white")
    assert (n, values) == ([256], pytest.approx([(10.1 / 3 - 3.7) / scale]))


def test_the_ceiling_is_that_of_the_batch_that_is_read(summary):
    error, _ = TRAIN_N.draw(summary, "nats").axes
    lines = {line.get_linestyle(): line for line in error.lines if line.get_linestyle() in (":", "-.", "--")}
    assert list(lines[":"].get_ydata()) == pytest.approx([math.log(n) - 4 for n in (16, 64, 256)])
    assert list(lines["-."].get_xdata()) == [16, 256]
    assert list(lines["-."].get_ydata()) == pytest.approx([math.log(16) - 4] * 2)
    assert list(lines["--"].get_ydata()) == pytest.approx([-2.0, -0.9, -0.3])
    (shade,) = [drawn for drawn in error.collections if isinstance(drawn, PolyCollection)]
    corners = {tuple(corner) for corner in shade.get_paths()[0].vertices.round(9)}
    assert corners == {(n, y) for n in (16, 64, 256) for y in (0.0, round(EXACT[n] - 4, 9))}
    low, high = error.get_ylim()
    assert low < -2.11
    assert 0 <= high < math.log(256) - 4  # a ceiling above the truth is no limit


def test_without_a_ceiling_there_is_none(summary):
    nwj = summarise(to_frame([replace(one, estimator="nwj", ceiling_nats=None) for one in records()]))
    error, _ = TRAIN_N.draw(nwj, "nats").axes
    assert "-." not in {line.get_linestyle() for line in error.lines}
    both = TRAIN_N.caption(pd.concat([summary, nwj])), TRAIN_N.caption(nwj)
    assert ["log n" in caption for caption in both] == [True, False]


def test_estimators_and_levels_have_two_panels_each():
    frame = to_frame(
        [
            one
            for estimator in ("infonce", "nwj", "smile")
            for level in (2.0, 4.0)
            for one in records(estimator=estimator, true_mi_nats=level)
        ]
        + [record("other", estimator="ksg", **UNTRAINED)]
    )
    figure = TRAIN_N.draw(summarise(frame), "nats")
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == [f"{name}, I = {level}" for name in ("infonce", "nwj", "smile") for level in (2, 4)]
    assert [bool(axis.get_title()) for axis in figure.axes] == [True, True, False, False] * 3


def test_panels_that_are_left_over_are_empty():
    frame = [one for name in "abcde" for one in records(estimator=name)]
    axes = TRAIN_N.draw(summarise(to_frame(frame)), "nats").axes
    assert [axis.axison for axis in axes] == [True] * 8 + [True, False, False, False] * 2


def test_the_figure_is_drawn_where_an_n_of_training_is_given(summary):
    assert TRAIN_N in figures_of(summary)
    assert TRAIN_N not in figures_of(summary[summary["train_n"].isna()])


def test_with_training_at_another_n_alone_both_parts_are_drawn_together():
    alone = summarise(to_frame(records({key: ESTIMATES[key] for key in ESTIMATES if key[0] is not None})))
    figure = TRAIN_N.draw(alone, "nats")
    n, values = line_of(figure.axes[1], markerfacecolor="white")
    assert n == [16, 64, 256]
    assert values == pytest.approx([5.73 / 3 - 2, 8.75 / 3 - 3.1, 10.1 / 3 - 3.7])
    assert "together" in TRAIN_N.caption(alone)


def test_nothing_finished_is_drawn_all_the_same():
    TRAIN_N.draw(summarise(to_frame([failed(f"{n}", n=n, train_n=16) for n in (16, 64)])), "nats")
