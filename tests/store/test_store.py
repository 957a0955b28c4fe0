"""The store: what is whole is read, what is torn is left out, what is damaged is named."""

import json
import re
import warnings

import pytest
from records import failed, record

import mibench
from mibench.errors import StoreWarning
from mibench.store import segments as stores
from mibench.store.record import SCHEMA, from_line, to_line
from mibench.store.segments import Store


def written(folder, *records):
    store = Store(folder)
    with store.writer() as writer:
        for one in records:
            writer.append(one)
    return store


def test_records_come_back_as_they_were(tmp_path):
    first, second = record("a", estimate_nats=1 / 3), failed("b")
    assert written(tmp_path / "out", first, second).load() == {"a": first, "b": second}


def test_a_store_cut_at_every_byte_loads_all_its_complete_records(tmp_path):
    store = written(tmp_path, *(record(key, message="ü † 名") for key in "abc"))
    (segment,) = store.segments
    whole = segment.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole) + 1):
        segment.write_bytes(whole[:cut])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loaded = store.load()
        # A record is complete with its last brace; the newline behind it may be missing.
        assert len(loaded) == sum(cut >= end - 1 for end in ends)
        torn = cut not in (0, *ends) and cut + 1 not in ends
        assert [warning.category for warning in caught] == [StoreWarning] * torn


def test_after_a_crash_another_process_writes_beside_and_nothing_is_lost(tmp_path):
    store = written(tmp_path, record("a"))
    (segment,) = store.segments
    with segment.open("ab") as file:
        file.write(to_line(record("b")).encode()[:40])
    written(tmp_path, record("c"))
    with pytest.warns(StoreWarning, match="line 2, was cut short"):
        assert set(store.load()) == {"a", "c"}
    assert len(store.segments) == 2


@pytest.mark.parametrize("damage", [b"no json\n", b"{}\n", b'{"schema": 1}\n', b"[1]\n", b"\xff\n", b"\n"])
def test_damage_elsewhere_is_an_error_that_names_file_and_line(tmp_path, damage):
    store = written(tmp_path, record("a"))
    (segment,) = store.segments
    segment.write_bytes(to_line(record("a")).encode() + damage + to_line(record("b")).encode())
    with pytest.raises(mibench.UsageError, match=rf"{segment.name}, line 2, is damaged"):
        store.load()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("estimate_nats", "null"),
        ("estimate_nats", '"abc"'),
        ("estimate_nats", "Infinity"),
        ("estimate_nats", "NaN"),
        ("n", '"64"'),
        ("n", "64.5"),
        ("true_mi_nats", "null"),
        ("status", '"okk"'),
        ("saturated", "0"),
    ],
)
def test_damaged_values_are_damage(tmp_path, field, value):
    store = written(tmp_path, record("a"), record("b"))
    (segment,) = store.segments
    first, second = segment.read_text().splitlines()
    damaged = re.sub(rf'"{field}": [^,]+', f'"{field}": {value}', first)
    assert damaged != first
    segment.write_text(f"{damaged}\n{second}\n")
    with pytest.raises(mibench.UsageError, match=rf"{segment.name}, line 1, is damaged"):
        store.load()


@pytest.mark.parametrize("last", [True, False])
def test_a_newer_version_is_named_as_such(tmp_path, last):
    store = written(tmp_path, record("a"))
    (segment,) = store.segments
    newer = json.dumps({"schema": SCHEMA + 1, "something": "else"}) + "\n"
    lines = [to_line(record("b")), newer] if last else [newer, to_line(record("b"))]
    segment.write_text("".join(lines))
    with pytest.raises(mibench.UsageError, match="newer version of mibench"):
        store.load()


def test_a_finished_record_beats_a_failed_one_and_a_later_one_an_earlier_one():
    early, late = record("a", estimate_nats=3.0), record("a", estimate_nats=3.01, finished_at="2027")
    lost = failed("a", finished_at="2028")
    for order in ([early, late], [late, early]):
        assert stores.merge(order) == {"a": late}
    for order in ([early, late, lost], [lost, late, early], [late, lost, early]):
        with pytest.warns(StoreWarning, match="finished once and later diverged"):
            assert stores.merge(order) == {"a": late}
    assert stores.merge([failed("a", finished_at="2025"), late]) == {"a": late}


def test_two_results_of_one_key_must_agree():
    with pytest.warns(StoreWarning, match=r"differ by 0\.5 nats"):
        stores.merge([record("a", estimate_nats=3.0), record("a", estimate_nats=3.5)])
    stores.merge([record("a"), record("a", estimate_nats=3.001)])  # no warning


def test_nothing_is_created_before_writing_and_nothing_empty_is_left(tmp_path):
    store = Store(tmp_path / "out")
    assert store.load() == {}
    assert not (tmp_path / "out").exists()
    with store.writer():
        pass
    assert store.segments == []


def test_a_folder_that_cannot_be_one(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(mibench.UsageError, match="is a file"):
        Store(file)
    with pytest.raises(mibench.UsageError, match="cannot be written"):
        Store(file / "below").writer()


def test_numbers_that_json_has_not_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        to_line(record(estimate_nats=float("nan")))
    assert from_line(to_line(record(estimate_nats=0.1 + 0.2))).estimate_nats == 0.1 + 0.2
