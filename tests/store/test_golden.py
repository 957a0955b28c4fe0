"""Store files that older versions wrote are read; those of newer ones are refused."""

import json
import shutil
from pathlib import Path

import pytest

import mibench
from mibench.analysis.cells import summarise
from mibench.store.record import SCHEMA, from_line, to_frame, to_line
from mibench.store.segments import Store

GOLDEN = Path(__file__).with_name("golden")


def loaded(schema, folder):
    (folder / "records").mkdir()
    shutil.copy(GOLDEN / f"schema_{schema}.jsonl", folder / "records")
    return list(Store(folder).load().values())


@pytest.mark.parametrize("schema", range(1, SCHEMA))
def test_records_of_an_older_schema_keep_all_that_they_said(schema, tmp_path):
    lines = (GOLDEN / f"schema_{schema}.jsonl").read_text().splitlines()
    written = {values["key"]: values for values in map(json.loads, lines)}
    assert {values.pop("schema") for values in written.values()} == {schema}
    records = loaded(schema, tmp_path)
    assert len(records) == len(written)
    for record in records:
        assert vars(record) | written[record.key] == vars(record)
        assert from_line(to_line(record)) == record
    assert summarise(to_frame(records))["mean_nats"].notna().all()


def test_schema_1_knew_streams_with_a_training_of_their_own(tmp_path):
    first, *_ = loaded(1, tmp_path)
    assert (first.training, first.objective, first.protocol) == (first.key, "infonce", "stream")
    assert (first.true_mi_low_nats, first.true_mi_high_nats, first.encoder) == (0.5, 0.5, "none")


def test_schema_2_knew_no_encoders(tmp_path):
    for record in loaded(2, tmp_path):
        assert record.true_mi_low_nats == record.true_mi_high_nats == record.true_mi_nats
        assert (record.encoder, record.log_ratio_rmse_nats) == ("none", None)


def test_names_and_options_of_schema_3_come_from_labels_and_the_defaults_of_its_time(tmp_path):
    records = loaded(3, tmp_path)
    chosen = {record.estimator: record.choices["estimator"] for record in records}
    assert chosen["nce[k=4]"] == {"name": "nce", "options": {"k": 4, "normalizer": "fixed"}}
    assert chosen["infonce"]["options"] == {"temperature": 1.0, "symmetric": False}
    temperatures = {
        r.encoder: r.choices["encoder"]["options"]["temperature"] for r in records if "simclr" in r.encoder
    }
    assert temperatures == {
        "simclr": 0.2,
        "simclr[temperature=0.05]": 0.05,
        "simclr[temperature=0.1]": 0.1,
    }
    assert {r.choices["encoder"] is None for r in records if r.encoder == "none"} == {True}
    assert {r.bound for r in records} == {r.oracle_is_best for r in records} == {None}


def test_schema_4_sampled_what_is_known_at_the_exact_ratio(tmp_path):
    records = loaded(4, tmp_path)
    own = [record for record in records if record.encoder == "none"]
    for record in own:
        if record.estimator == "nwj":
            assert (record.exact_nats, record.exact_se_nats) == (record.true_mi_nats, 0.0)
            assert record.oracle_nats != record.exact_nats
        else:
            assert (record.exact_nats, record.exact_se_nats) == (record.oracle_nats, record.oracle_se_nats)
    probed = [record for record in records if record.task == "digits"]
    assert [record.probe_nats for record in probed] == [record.true_mi_low_nats for record in probed]
    assert {record.probe_nats for record in own} == {None}


@pytest.mark.parametrize(
    ("estimator", "n", "estimate", "status"),
    [
        ("nwj", 8, 369_400.0, "diverged"),
        ("nwj", 8, 18.0, "ok"),  # twice log 64, and 10
        ("nwj", 8, 18.5, "diverged"),
        ("club", 8, 369_400.0, "ok"),  # an upper bound
        ("ksg", 8, 369_400.0, "ok"),  # not trained
    ],
)
def test_schema_4_knew_no_estimate_that_is_too_high(estimator, n, estimate, status):
    lines = map(json.loads, (GOLDEN / "schema_4.jsonl").read_text().splitlines())
    values = next(values for values in lines if values["estimator"] == estimator)
    record = from_line(json.dumps(values | {"n": n, "estimate_nats": estimate}))
    assert record.status == status
    assert ("cannot be right" in record.message) == (status == "diverged")


@pytest.mark.parametrize("label", ["nce[k=4", "nce[[k]]", "", "[]", "a[data=x,y/m[1].npz]", "<b>[=]"])
def test_labels_that_nobody_could_have_typed_are_read_all_the_same(label):
    values = json.loads((GOLDEN / "schema_3.jsonl").read_text().splitlines()[0])
    record = from_line(json.dumps(values | {"estimator": label}))
    assert record.choices["estimator"]["name"] == label.partition("[")[0]


def test_a_newer_schema_is_refused_naming_both(tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a.jsonl").write_text(json.dumps({"schema": SCHEMA + 1}) + "\n")
    with pytest.raises(mibench.UsageError, match=f"line 1.*schema is {SCHEMA + 1}.*up to {SCHEMA}"):
        Store(tmp_path).load()
