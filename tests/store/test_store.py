"""The store: what is whole is read, what is torn is left out, what is damaged is named."""

import json
import os
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from records import failed, record

import mibench
from mibench.errors import StoreWarning
from mibench.store import segments as stores
from mibench.store.record import FIELDS, SCHEMA, from_line, to_line
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


@pytest.mark.parametrize("after", [to_line(record("b")).encode(), b""])  # a whole line is not cut short
@pytest.mark.parametrize(
    "damage", [b"[" * 100_000 + b"\n", b"no json\n", b"{}\n", b'{"schema": 1}\n', b"[1]\n", b"\xff\n", b"\n"]
)
def test_damage_elsewhere_is_an_error_that_names_file_and_line(tmp_path, damage, after):
    store = written(tmp_path, record("a"))
    (segment,) = store.segments
    segment.write_bytes(to_line(record("a")).encode() + damage + after)
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
        ("critic", "3"),
        ("bound", '"above"'),
        ("estimate_nats", "1e999"),
        ("estimate_nats", "1e308"),  # finite, and its square is not: figures cannot draw it
        ("true_mi_nats", "-1.1e100"),
        ("seed", "1" + 30 * "0"),
        ("seed", "-1"),
        ("n", "0"),
        ("dim_x", "0"),
        ("batches", "-1"),
        ("choices", "null"),
        ("choices", '{"estimator": 3}'),
        ("choices", json.dumps(record().choices | {"critic": None})),
        ("choices", json.dumps(record().choices | {"task": {"name": "a", "options": {"b": [1]}}})),
    ],
)
def test_damaged_values_are_damage(tmp_path, field, value):
    store = written(tmp_path, record("a"), record("b"))
    (segment,) = store.segments
    first, second = segment.read_text().splitlines()
    part = json.dumps({field: json.loads(first)[field]})[1:-1]
    assert part in first
    segment.write_text(first.replace(part, f'"{field}": {value}') + f"\n{second}\n")
    with pytest.raises(
        mibench.UsageError, match=rf"{segment.name}, line 1, is damaged: .*(cannot|number|without)"
    ):
        store.load()


def line(schema, changes):
    """Return a finished record as a line of a schema, without the values that are `...`."""
    values = json.loads(to_line(record("a")))
    for name in ("exact_nats", "exact_se_nats", "probe_nats") if schema == 4 else ():
        del values[name]
    given = values | {"schema": schema, **changes}
    return json.dumps({name: value for name, value in given.items() if value is not ...})


CHOICES = record().choices


@pytest.mark.parametrize(
    "changes",
    [
        {"choices": ...},
        {"choices": {}},
        {"choices": None},
        {"choices": [1]},
        {"choices": CHOICES | {"estimator": None}},
        {"choices": CHOICES | {"estimator": {}}},
        {"n": ...},
        {"n": None},
        {"n": "64"},
        {"n": 0},
        {"n": -1},
        {"estimate_nats": ...},
        {"estimate_nats": None},
        {"estimate_nats": "3"},
        {"estimate_nats": [3.0]},
        {"oracle_nats": ...},
        {"oracle_nats": "3"},
        {"estimator": ...},
        {"estimator": 3},
        {"status": ["ok"]},
        {"schema": True},
        {"schema": 0},
        {"schema": -1},
        {"schema": 4.0},
        {"schema": None},
    ],
)
def test_what_is_no_record_of_an_older_schema_is_a_value_error(changes):
    assert from_line(line(4, {})).exact_nats == record().oracle_nats
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        from_line(line(4, changes))


@pytest.mark.parametrize("schema", [1, 2, 3])
@pytest.mark.parametrize("name", FIELDS)
def test_older_records_without_a_field_or_with_another_type_are_value_errors(schema, name):
    """Fields that the schema did not have are added; nothing else is raised, whichever is wrong."""
    assert from_line(line(schema, {})).estimate_nats == record().estimate_nats
    for value in (..., {"a": []}):
        try:
            from_line(line(schema, {name: value}))
        except ValueError:
            continue


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


HOSTILE = [
    "\ud800",
    "\0",
    "\n\r\u2028",
    "../../x",
    "</script>",
    "\N{RIGHT-TO-LEFT OVERRIDE}",
    "$x^{2}_%",
    "a" * 5000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_can_be_kept_and_written_to_a_file(text, tmp_path):
    made = record("a", estimator=text, message=text, task=text, device=text)
    (loaded,) = written(tmp_path, made).load().values()
    assert loaded.message.encode("utf-8", "replace") == text.encode("utf-8", "replace")
    loaded.message.encode("utf-8")
    assert Store(tmp_path).curve(text) is None


WRITER = """
import sys
from records import record
from mibench.store.segments import Store
with Store(sys.argv[1]).writer() as writer:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(50):
        writer.append(record(f"{sys.argv[2]}{number}", message="x" * 3000))
"""


def test_two_processes_write_at_once_and_nothing_is_lost(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": environment, "text": True}
    writers = [subprocess.Popen([*command, name], **pipes) for name in "ab"]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert len(Store(tmp_path).load()) == 100
    assert len(Store(tmp_path).segments) == 2


@pytest.mark.skipif(os.name != "posix", reason="folders are synced on POSIX alone")
@pytest.mark.parametrize("call", ["open", "fsync"])
def test_a_folder_that_cannot_be_synced_is_written_all_the_same_and_no_handle_leaks(
    tmp_path, monkeypatch, call
):
    """Folders of mode 711 cannot be opened, and some file systems refuse fsync of any folder."""
    opened, closed, original = set(), set(), {name: getattr(os, name) for name in ("open", "close", "fsync")}

    def open_(path, flags, *mode):
        if call == "open" and Path(path).is_dir():
            raise PermissionError(13, "Permission denied")
        handle = original["open"](path, flags, *mode)
        opened.add(handle)
        return handle

    def fsync(handle):
        if call == "fsync" and stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(22, "Invalid argument")
        original["fsync"](handle)

    def close(handle):
        closed.add(handle)
        original["close"](handle)

    for function in (open_, fsync, close):
        monkeypatch.setattr(os, function.__name__.rstrip("_"), function)
    assert set(written(tmp_path / "out", record("a")).load()) == {"a"}
    assert opened <= closed
