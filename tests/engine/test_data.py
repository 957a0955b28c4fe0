"""Data drawn ahead: the same, in the same order, and no thread outlives its use."""

import threading
import time

import pytest
import torch
from grids import pack_of, specs

from mibench.engine import data


def counted(items, made):
    for item in items:
        made.append(item)
        yield item


def test_what_is_made_ahead_is_the_same_in_the_same_order():
    assert list(data.ahead(counted(range(5), made := []))) == made == [0, 1, 2, 3, 4]
    assert list(data.ahead(counted([], []))) == []


def test_the_next_item_is_made_while_the_consumer_has_the_last():
    is_made = [threading.Event() for _ in range(3)]

    def items():
        for number, event in enumerate(is_made):
            event.set()
            yield number

    following = data.ahead(items())
    assert next(following) == 0
    assert is_made[1].wait(10)
    time.sleep(0.05)
    assert not is_made[2].is_set()  # one ahead, and no more
    following.close()


def test_no_thread_is_left_when_the_consumer_stops_early():
    before, closed = set(threading.enumerate()), []

    def items():
        try:
            yield from range(10**9)
        finally:
            closed.append(True)

    following = data.ahead(items())
    assert next(following) == 0
    assert set(threading.enumerate()) > before
    following.close()
    assert set(threading.enumerate()) == before
    assert closed == [True]


def test_an_error_comes_in_place_of_the_item_that_it_prevents():
    def items():
        yield 1
        raise ZeroDivisionError("of the second")

    before, following = set(threading.enumerate()), data.ahead(items())
    assert next(following) == 1
    with pytest.raises(ZeroDivisionError, match="of the second"):
        next(following)
    assert set(threading.enumerate()) == before


def test_batches_by_threads_and_ahead_are_those_of_one_thread():
    """What CUDA is fed, without CUDA."""
    pack = pack_of(specs("infonce", seeds=range(3)))

    def feeds():
        pairs = zip(pack.pairs, pack.leaders, strict=True)
        return [data.chunks(pair, leader, "train", 7, 2, pack.dtype) for pair, leader in pairs]

    alone = list(data.stacked(feeds(), torch.device("cpu"), pack.dtype))
    together = list(data.ahead(data._stacked(feeds(), by_threads=True)))
    assert [len(x[0]) for x, _ in alone] == [2, 2, 2, 1]
    assert len(together) == len(alone)
    for (x, y), (other_x, other_y) in zip(alone, together, strict=True):
        assert torch.equal(x, other_x)
        assert torch.equal(y, other_y)
