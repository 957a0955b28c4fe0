"""The n of training: `own` among its values, what training at another n loses, and its figure."""

import pytest

import mibench
from mibench.errors import UsageError

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
