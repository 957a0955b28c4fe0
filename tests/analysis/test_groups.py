"""Seeds that fall into two groups are found, and normal ones are not."""

import math

import numpy as np
import pytest
from records import record

from mibench.analysis import groups
from mibench.analysis.cells import summarise
from mibench.reports import tables
from mibench.store.record import to_frame

PUBLISHED = [3.665, 3.463, 3.469, 3.664, 3.671, 3.470, 3.660, 3.461]
"""What smile reads at 4 nats with eight seeds, as published in results/song_ermon_2020: two groups."""


def test_two_groups_are_found_with_their_distance():
    (distance,) = groups.apart([np.array(PUBLISHED)])
    assert distance == pytest.approx(3.665 - 3.46575)


@pytest.mark.parametrize(
    "values",
    [
        PUBLISHED[:5],  # too few
        [1.0] * 8,  # no variance
        [1.0] * 7 + [9.0],  # an outlier is no group
        list(np.linspace(0, 1, 12)),
    ],
    ids=["few seeds", "one value", "an outlier", "even"],
)
def test_what_is_one_group(values):
    assert math.isnan(groups.apart([np.array(values)])[0])


def test_the_share_that_a_cut_explains_is_that_of_the_naive_sums_of_squares():
    values = np.sort(np.random.default_rng(0).normal(size=9))
    total = ((values - values.mean()) ** 2).sum()
    naive = [
        1 - sum(((part - part.mean()) ** 2).sum() for part in np.split(values, [cut])) / total
        for cut in range(2, 8)
    ]
    shares, distances = groups._cuts(values[None])
    assert shares[0] == pytest.approx(naive)
    assert distances[0] == pytest.approx([values[cut:].mean() - values[:cut].mean() for cut in range(2, 8)])


@pytest.mark.parametrize("seeds", [6, 8, 12])
def test_normal_seeds_are_called_divided_as_rarely_as_is_said(seeds):
    """20 cells a table, 1000 tables: at most 1% of them has a false alarm, and three standard errors."""
    generator = np.random.default_rng(seeds)
    alarms = [
        any(not math.isnan(value) for value in groups.apart(list(generator.normal(size=(20, seeds)))))
        for _ in range(1000)
    ]
    assert np.mean(alarms) <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 1000)


def test_tables_say_which_estimators_have_groups():
    runs = [
        record(f"{name}{seed}", estimator=name, seed=seed, estimate_nats=value)
        for name, values in (("smile", PUBLISHED), ("nwj", np.linspace(3, 3.1, 8)))
        for seed, value in enumerate(map(float, values))
    ]
    notes = tables.table(summarise(to_frame(runs))).notes
    (found,) = [note for note in notes if "two groups" in note]
    assert "smile in 1 cell (up to 0.199 nats apart)" in found
    assert "nwj" not in found
