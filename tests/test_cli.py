"""The command line as users see it."""

import json
import logging
import math
import os
import re
import signal
import subprocess
import sys
import time
import warnings

import pytest
from typer.testing import CliRunner

from mibench.analysis.cells import CELL
from mibench.cli import app
from mibench.commands.console import explained
from mibench.store.record import FIELDS, SCHEMA

SMALL = ["--dim", "2", "--mi", "0.5,1", "-n", "4,8", "--steps", "3", "--seeds", "2", "--device", "cpu"]
OUTPUTS = {
    ".mibench.json",
    "records",
    "table.csv",
    "table.md",
    "table.tex",
    "bias_vs_n.png",
    "bias_vs_n.pdf",
    "estimate_vs_true.png",
    "estimate_vs_true.pdf",
    "error_split.png",
    "error_split.pdf",
}


@pytest.fixture
def out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "out"


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def run(out, *words):
    return call("run", *words, "--out", out)


def test_run_leaves_records_tables_and_figures(out):
    done = run(out, "-e", "infonce,nce[k=2]", *SMALL)
    assert done.exit_code == 0, done.stderr
    several = {"metrics_vs_true.png", "metrics_vs_true.pdf"}
    assert {path.name for path in out.iterdir()} == OUTPUTS | several
    assert "nce[k=2]" in done.stdout
    assert "at exact ratio" in done.stdout
    assert "device: cpu" in done.stderr
    (segment,) = (out / "records").iterdir()
    assert len(segment.read_text().splitlines()) == 2 * 2 * 2 * 2


def test_default_folder_is_results(out):
    assert call("run", *SMALL).exit_code == 0
    assert {path.name for path in (out.parent / "results").iterdir()} == OUTPUTS


def test_json_is_all_of_stdout(out):
    done = run(out, *SMALL, "--json")
    content = json.loads(done.stdout)
    assert set(content) == {"schema", "records", "summary"}
    assert len(content["records"]) == 8
    assert len(content["summary"]) == 4
    assert tuple(content["records"][0]) == FIELDS
    contract = (
        "runs mean_nats bias_nats bias_se_nats std_nats rmse_nats bound_gap_nats critic_gap_nats failed"
    )
    assert {*CELL, *contract.split()} <= set(content["summary"][0])
    first = content["records"][0]
    assert first["status"] == "ok"
    assert first["ceiling_nats"] == math.log(4)


def test_finished_runs_are_not_repeated(out):
    run(out, *SMALL)
    again = run(out, *SMALL, "--json")
    assert "8 of 8 runs are finished" in again.stderr
    assert len(list((out / "records").iterdir())) == 1
    more = run(out, *[*SMALL[:-3], "3", *SMALL[-2:]], "--json")
    assert len(json.loads(more.stdout)["records"]) == 12
    segments = sorted((out / "records").iterdir(), key=lambda path: path.stat().st_size)
    assert sorted(len(path.read_text().splitlines()) for path in segments) == [4, 8]


def test_rerun(out):
    first = json.loads(run(out, *SMALL, "--json").stdout)["records"]
    again = json.loads(run(out, *SMALL, "--rerun", "all", "--json").stdout)["records"]
    assert len(list((out / "records").iterdir())) == 2
    assert [one["estimate_nats"] for one in first] == [one["estimate_nats"] for one in again]
    diverging = ["-e", "nwj", *SMALL, "--lr", "1e30"]
    for rerun in ("never", "failed"):
        assert run(out, *diverging, "--rerun", rerun).exit_code == 1
    lines = [line for path in (out / "records").iterdir() for line in path.read_text().splitlines()]
    assert len(lines) == 8 + 8 + 8 + 8  # a failure satisfies nothing: it was tried again


def test_rerun_failed_runs_nothing_else(out):
    done = run(out, *SMALL, "--rerun", "failed")
    assert done.exit_code == 0
    assert not out.exists()
    empty = run(out, *SMALL, "--rerun", "failed", "--json")
    assert json.loads(empty.stdout) == {"schema": SCHEMA, "records": [], "summary": []}


def test_failures_are_counted_and_end_with_status_1(out):
    done = run(out, "-e", "nwj,infonce", *SMALL, "--lr", "1e30", "--json")
    assert done.exit_code == 1
    content = json.loads(done.stdout)
    assert {one["status"] for one in content["records"]} == {"diverged"}
    assert {one["estimate_nats"] for one in content["records"]} == {None}
    assert {cell["failed"] for cell in content["summary"]} == {2}
    assert "16 of 16 runs failed" in done.stderr
    assert "diverged: nwj" in done.stderr
    assert "2 of 2" in (out / "table.md").read_text()


def test_information_beyond_float32_is_diverged_and_its_mates_are_fine(out):
    done = run(out, *[word.replace("0.5,1", "1,1e6") for word in SMALL], "--json")
    assert done.exit_code == 1
    records = json.loads(done.stdout)["records"]
    assert {(one["true_mi_nats"], one["status"]) for one in records} == {(1, "ok"), (1e6, "diverged")}
    assert "NaN" not in done.stdout


BAD = [
    (["-e", "infonse"], "Unknown estimator 'infonse'", "infonce"),
    (["-e", "nce[kk=3]"], "kk", "Did you mean 'k'"),
    (["-t", "gausian"], "Unknown task 'gausian'", "gaussian"),
    (["-c", "seperable"], "Unknown model 'seperable'", "separable"),
    (["-c", "separable[width=3]"], "width", "describe separable"),
    (["--dim", "0"], "dim of 'gaussian' must be at least 1", "1 or more"),
    (["--dim", "-2"], "dim of 'gaussian' must be at least 1", "1 or more"),
    (["-n", "0"], "n must be at least 2", "2 or more"),
    (["-n", "1"], "n must be at least 2", "2 or more"),
    (["-n", "16,x"], "'x'", "number"),
    (["-n", "2.5"], "whole number", "whole number"),
    (["--steps", "0"], "steps must be at least 1", "1 or more"),
    (["--steps", "many"], "'many'", "number"),
    (["--seeds", "0"], "seeds must be at least 1", "1 or more"),
    (["--seeds", "-1"], "seeds must be at least 1", "1 or more"),
    (["--seeds", "3:2"], "seeds", "4"),
    (["--mi", "-1"], "mi must be", "never negative"),
    (["--mi", "nan"], "'nan'", "finite"),
    (["--mi", "inf"], "'inf'", "finite"),
    (["--mi", "lots"], "'lots'", "number"),
    (["--mi", ""], "''", "number"),
    (["--rho", "1"], "rho must lie between -1 and 1", "|rho| < 1"),
    (["--rho", "-1.5"], "rho must lie between -1 and 1", "|rho| < 1"),
    (["--rho", "nan"], "'nan'", "finite"),
    (["--mi", "1", "--rho", "0.5"], "together", "one"),
    (["--lr", "0"], "lr must be positive", "above 0"),
    (["--lr", "fast"], "'fast'", "number"),
    (["--schedule", "one-cycl"], "one-cycl", "one-cycle"),
    (["--precision", "float16"], "float16", "float"),
    (["-e", "nce[k=0]"], "k of 'nce' must be at least 1", "noise samples"),
    (["-e", "nce[k=64]", "-n", "64"], "needs 64 noise samples", "k <= 63 or n >= 65"),
    (["--device", "cuda:99"], "is not here", "--device cpu"),
    (["--device", "gpu"], "Unknown device 'gpu'", "cuda"),
    (["--rerun", "al"], "Unknown rerun 'al'", "all"),
    (["--unit", "bit"], "Unknown unit 'bit'", "bits"),
    (["-n", "1000000000"], "GiB", "smaller n"),
]


@pytest.mark.parametrize(
    ("words", "what", "how"), BAD, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_bad_input_gets_two_lines_and_status_2_and_writes_nothing(words, what, how, out):
    done = run(out, *words)
    assert done.exit_code == 2
    assert done.stdout == ""
    first, second = done.stderr.splitlines()
    assert first.startswith("Error: ")
    assert what in first
    assert how in second
    assert not out.exists()


def test_a_file_that_cannot_be_written_is_two_lines(out):
    (out / "table.csv").mkdir(parents=True)
    done = run(out, *SMALL, "-q")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[1:] == [
        f"Error: cannot read or write '{out / 'table.csv'}': Is a directory.",
        "Give another --out folder.",
    ]
    long_name = run(out / ("long" * 100), *SMALL)
    assert long_name.exit_code == 2
    assert "too long" in long_name.stderr


def test_an_output_folder_that_is_a_file_or_below_one(out):
    out.write_text("mine")
    for folder in (out, out / "below"):
        done = run(folder, *SMALL)
        assert done.exit_code == 2
        assert len(done.stderr.splitlines()) == 2
        assert "--out" in done.stderr
    assert out.read_text() == "mine"


def test_a_damaged_store_is_named(out):
    run(out, *SMALL)
    (segment,) = (out / "records").iterdir()
    lines = segment.read_text().splitlines(keepends=True)
    segment.write_text("".join([lines[0], "garbage\n", *lines[1:]]))
    done = run(out, *SMALL)
    assert done.exit_code == 2
    assert f"{segment.name}, line 2, is damaged" in done.stderr
    segment.write_text("".join([lines[0].replace(f'"schema": {SCHEMA}', '"schema": 99'), *lines[1:]]))
    done = run(out, *SMALL)
    assert done.exit_code == 2
    assert "newer version" in done.stderr


def test_a_torn_store_is_said_and_mended(out):
    run(out, *SMALL)
    (segment,) = (out / "records").iterdir()
    segment.write_bytes(segment.read_bytes()[:-50])
    done = run(out, *SMALL, "--json")
    assert done.exit_code == 0
    assert "Warning: " in done.stderr
    assert "was cut short" in done.stderr
    assert len(json.loads(done.stdout)["records"]) == 8


def test_dry_run_says_what_would_run_and_writes_nothing(out):
    done = run(out, *SMALL, "--dry-run")
    assert done.exit_code == 0
    for word in ("runs: 8", "packs: 2", "time: about", "memory: about", "device: cpu"):
        assert word in done.stdout
    assert json.loads(run(out, *SMALL, "--dry-run", "--json").stdout)["runs"] == 8
    assert not out.exists()


def test_bits(out):
    run(out, *SMALL, "--unit", "bits")
    assert "bias_bits" in (out / "table.csv").read_text().splitlines()[0]
    assert "In bits" in (out / "table.md").read_text()


@pytest.mark.parametrize("words", [["-e", "none-such"], ["-o", "folder"]], ids=["usage", "file"])
def test_debug_shows_the_traceback_of_a_mistake(words, out):
    (out / "folder" / "table.csv").mkdir(parents=True)
    os.chdir(out)
    quiet = call("run", *SMALL, "-q", *words)
    loud = call("run", *SMALL, "-q", *words, "--debug")
    assert quiet.exit_code == loud.exit_code == 2
    assert "Traceback" not in quiet.stderr
    assert "Traceback (most recent call last):" in loud.stderr
    assert quiet.stderr.splitlines()[-2:] == loud.stderr.splitlines()[-2:]


def fails_in_an_estimator(debug):
    """Run a command in which two runs fail of one error and a third of another, as the engine logs them."""

    @explained
    def command(debug: bool) -> None:
        for name in ("first", "second", "third"):
            try:
                int("third" if name == "third" else "one")
            except ValueError:
                logging.getLogger("mibench.engine").exception("%s run failed", name)
        logging.getLogger("mibench.engine").warning("the machine is busy")
        logging.getLogger("mibench.engine").info("a detail")

    command(debug=debug)


def test_an_authors_errors_are_a_line_each_and_have_tracebacks_with_debug(capsys):
    fails_in_an_estimator(debug=False)
    said, lines = capsys.readouterr(), []
    lines = said.err.splitlines()
    assert said.out == ""
    assert lines[0] == "Warning: the machine is busy"
    assert len(lines) == 4
    assert "ValueError: invalid literal for int() with base 10: 'one'" in lines[1]
    assert "test_cli.py, line" in lines[1]
    assert "'third'" in lines[2]
    assert lines[3] == "--debug shows the traceback."
    fails_in_an_estimator(debug=True)
    loud = capsys.readouterr().err
    assert loud.count("Traceback (most recent call last):") == 2  # once for each distinct error
    assert "Error: second run failed" in loud
    assert "Info: a detail" in loud


def test_a_command_leaves_the_process_as_it_was(out):
    import torch

    logger = logging.getLogger("mibench")

    def state():
        return (
            list(warnings.filters),
            warnings.showwarning,
            list(logger.handlers),
            logger.level,
            torch.get_num_threads(),
        )

    before = state()
    for words in (SMALL, ["-e", "none-such"], [*SMALL, "--debug"]):
        run(out, *words)
        assert state() == before
    assert any(isinstance(handler, logging.NullHandler) for handler in logger.handlers)


def test_reasons_of_failures_are_said_once_each(out):
    done = run(out, "-e", "nwj", *SMALL, "--lr", "1e30", "-q")
    lines = [line for line in done.stderr.splitlines() if line.startswith("diverged: nwj")]
    assert len({line.partition(": ")[2].split(": ", 1)[1] for line in lines}) == len(lines)
    assert any(" more): " in line for line in lines)


def test_encoders_have_a_table_of_their_own(out):
    words = ["-t", "linear-encoder", "--encoder", "linear[steps=0|3,dim=2,batch=8]", "-n", "4,8"]
    small = ["--steps", "3", "--seeds", "2", "--device", "cpu"]
    done = run(out, *words, *small)
    assert done.exit_code == 0, done.stderr
    names = {path.name for path in out.iterdir()}
    assert {f"representations.{kind}" for kind in ("csv", "md", "tex")} <= names
    assert {"vs_steps.png", "vs_steps.pdf"} <= names
    assert done.stdout.index("at exact ratio") < done.stdout.index("Own estimate")
    content = json.loads(run(out, *words, *small, "--json").stdout)
    assert [row["seeds"] for row in content["representations"]] == [2, 2]
    assert {row["true_mi_low_nats"] for row in content["representations"]} == {
        row["true_mi_low_nats"] for row in content["summary"]
    }


def test_list_describe_info():
    listed = {line.split()[0] for line in call("list", "estimators").stdout.splitlines()}
    assert listed == {
        *("dv", "infonce", "interpolated", "js", "mine", "nce", "nwj", "smile", "tuba"),
        *("ba", "doe", "club", "l1out", "ksg", "cca", "gcmi", "mmg"),
    }
    assert {row["name"] for row in json.loads(call("list", "critics", "--json").stdout)} == {
        "separable",
        "bilinear",
        "joint",
        "embedding",
    }
    recipes = {line.split()[0] for line in call("list", "encoders").stdout.splitlines()}
    assert {"linear", "cpc", "simclr", "moco"} <= recipes
    assert "2002.05709" in call("describe", "simclr").stdout
    assert "cubic" in call("list", "tasks").stdout
    assert "staircase" in call("list", "protocols").stdout
    assert "patience=10" in call("describe", "samples").stdout
    described = call("describe", "infonce").stdout
    for word in ("formula", "log n", "lower bound", "temperature=1", "1807.03748"):
        assert word in described
    assert call("describe", "nce", "--bibtex").stdout.startswith("@inproceedings{gutmann2010noise")
    assert json.loads(call("describe", "separable", "--json").stdout)["options"][0]["name"] == "hidden"
    assert call("describe", "infonse").exit_code == 2
    assert call("describe", "gaussian", "--bibtex").exit_code == 2
    assert call("list", "nothing").exit_code == 2
    assert "torch" in json.loads(call("info", "--json").stdout)
    assert call("--version").stdout.startswith("mibench 0")


@pytest.mark.parametrize(
    "words",
    [["--help"], ["list", "estimators"], ["list", "tasks"], ["list", "critics"], ["list", "encoders"]],
)
def test_help_and_lists_do_not_import_torch(words):
    code = (
        "import sys\nfrom mibench.cli import app\n"
        "try:\n    app(sys.argv[1:])\nfinally:\n"
        "    heavy = {'torch', 'pandas', 'numpy', 'scipy', 'seaborn'} & set(sys.modules)\n"
        "    assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_reading_results_does_not_import_torch(out):
    run(out, *SMALL)
    code = (
        "import sys, pathlib\nfrom mibench.reports import output\nfrom mibench.reports.page import methods\n"
        "from mibench.reports.page.citations import Citations\nfrom mibench.store import record, segments\n"
        "frame = record.to_frame(segments.Store(sys.argv[1]).load().values())\n"
        "output.write_tables(frame, pathlib.Path(sys.argv[1]))\nmethods.methods(frame, Citations(), {})\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(out)], check=True)


def started(out, *words):
    command = [sys.executable, "-m", "mibench.cli", "run", "--out", str(out), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # A shell starts what runs in its background with Ctrl-C ignored, and children inherit that.
    return subprocess.Popen(command, **pipes, text=True, preexec_fn=restore_interrupts)


def restore_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def lines_in(out):
    return [
        line for path in sorted((out / "records").glob("*")) for line in path.read_bytes().split(b"\n")[:-1]
    ]


def interrupted(process, out, kill):
    """Wait until some runs are finished, then end the process."""
    deadline = time.monotonic() + 60
    while len(lines_in(out)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    kill()
    return process.communicate(timeout=60)[1]


LONGER = ["--dim", "2", "--mi", "1", "-n", "4,5,6,7,8,9,10,11", "--steps", "200", "--seeds", "2"]
LONGER += ["--device", "cpu"]
ALL = 16


def test_killed_at_any_moment_and_run_again(out, tmp_path):
    undisturbed = json.loads(run(tmp_path / "calm", *LONGER, "--json").stdout)["records"]
    process = started(out, *LONGER)
    interrupted(process, out, process.kill)
    assert process.returncode == -9
    finished = lines_in(out)
    assert 2 <= len(finished) < ALL
    again = run(out, *LONGER, "--json")
    assert again.exit_code == 0
    records = json.loads(again.stdout)["records"]
    measured = ("key", "estimate_nats", "estimate_se_nats", "oracle_nats", "batches", "status")
    assert [[one[field] for field in measured] for one in records] == [
        [one[field] for field in measured] for one in undisturbed
    ]
    keys = [json.loads(line)["key"] for line in lines_in(out)]
    assert len(keys) == len(set(keys)) == ALL  # none repeated, none lost


def test_ctrl_c_keeps_what_is_finished(out):
    process = started(out, *LONGER)
    stderr = interrupted(process, out, lambda: process.send_signal(signal.SIGINT))
    assert process.returncode == 130
    kept = re.search(r"Interrupted\. (\d+) of 16 runs are finished and kept", stderr)
    assert kept is not None
    assert int(kept[1]) == len(lines_in(out))
    assert "Traceback" not in stderr
    assert len(lines_in(out)) >= 2


def test_describe_tells_of_every_kind_that_has_the_name():
    both = call("describe", "cpc").stdout
    assert "cpc (task): " in both
    assert "cpc (encoder): " in both
    assert "trained on: sequences" in both
    assert "cpc (encoder)" not in call("describe", "cpc[horizon=3]").stdout
    wrong = call("describe", "cpc[horizn=3]")
    assert wrong.exit_code == 2
    assert "Did you mean 'horizon'?" in wrong.stderr
    assert [fact["kind"] for fact in json.loads(call("describe", "cpc", "--json").stdout)] == [
        "task",
        "encoder",
    ]


def test_encoders_that_suit_a_task_are_named(out):
    done = run(out, "--task", "digits", "--encoder", "cpc")
    assert done.exit_code == 2
    assert "Encoders for images: byol, moco, random, simclr" in done.stderr


REPRESENTATIONS = [
    ("cpc[horizon=1|2]", "cpc[steps=5,batch=8]"),
    ("linear-encoder", "linear[steps=5,batch=8]"),
    ("bigram[vocabulary=50]", "none"),
    ("digits", "none"),
    ("digits[m=2]", "simclr[steps=3,batch=16]"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "encoder"), REPRESENTATIONS)
def test_all_estimators_run_on_every_task_with_one_command(task, encoder, out):
    small = ["-n", "8,16", "--steps", "30", "--seeds", "2", "--device", "cpu", "--json"]
    done = run(out, "-t", task, "--encoder", encoder, "-e", "infonce,nce,mine,nwj", *small)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert {record["status"] for record in found["records"]} == {"ok"}
    for record in found["records"]:
        low, high = record["true_mi_low_nats"], record["true_mi_high_nats"]
        assert 0 <= low <= high <= record["true_mi_nats"] + 1e-9
        assert (record["effective_rank"] is None) == (encoder == "none")
    assert (out / "bias_vs_n.png").is_file()
    assert ((out / "vs_horizon.png").is_file()) == ("horizon" in task)
    assert ((out / "representations.md").is_file()) == (encoder != "none")
    assert ("representations" in found) == (encoder != "none")
