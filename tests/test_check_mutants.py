"""`mibench check` finds what breaks a benchmark: faults planted in copies of the package, one line each."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import mibench
from mibench.cli import app

PACKAGE = Path(mibench.__file__).parent

TRUTH, CEILING, EXACT = (f"the {what} changed: " for what in ("truth", "ceiling", "value at the exact ratio"))
CHANGED, DEFAULT = "changed by ", "a default changed: smile is smile[tau=5] now"

SCORES = "estimators/scores"
INFONCE = "-e", "infonce", "--mi", "1", "-n", "16"
SLOW = *INFONCE, "--lr", "1e-4"
LITTLE_SLOWER = *INFONCE, "--lr", "1e-3", "--steps", "100"
NCE = "-e", "nce", "--mi", "1.5", "-n", "64", "--steps", "100"
NCE_1 = "-e", "nce[k=1]", "--mi", "1.5", "-n", "16", "--steps", "50"
INTERPOLATED = "-e", "interpolated", "--mi", "1", "-n", "8"
SMILE = "-e", "smile", "--mi", "6", "-n", "16"
NWJ = "-e", "nwj", "--mi", "1", "-n", "16"
JS = "-e", "js", "--mi", "1", "-n", "16"
CUBIC = "-e", "infonce", "-t", "cubic", "--mi", "1", "-n", "16"

EVERYWHERE = [
    # name, grid, file, old, new, the reason that is given
    ("NCE: log k", NCE_1, f"{SCORES}/nce.py", "math.log(k)", "math.log(k + 1)", CHANGED),
    ("InfoNCE: log n", INFONCE, f"{SCORES}/infonce.py", "+ math.log(scores.shape[-1])",
     "+ math.log(scores.shape[-1] - 1)", EXACT),
    ("interpolated: m' over n", INTERPOLATED, f"{SCORES}/interpolated.py", "math.log(n - 1))", "math.log(n))",
     EXACT),
    ("SMILE: clipped at 4", SMILE, f"{SCORES}/smile.py", "scores.clamp(-self.tau, self.tau)",
     "scores.clamp(-4, 4)", EXACT),
    ("SMILE: tau is 4 where none is given", SMILE, f"{SCORES}/smile.py", "option(5.0,", "option(4.0,",
     DEFAULT),
    ("learning rate", SLOW, "engine/loop.py", '["lr"] = lr', '["lr"] = 10 * lr', CHANGED),
    ("truth", INFONCE, "tasks/gaussian.py", "Truth.exactly(self._information)",
     "Truth.exactly(1.5 * self._information)", TRUTH),
    ("NWJ: optimal critic", NWJ, f"{SCORES}/nwj.py", "return 1 + log_ratio", "return log_ratio", EXACT),
    ("ceiling", INFONCE, f"{SCORES}/infonce.py", "return math.log(n)", "return math.log(n) + 5",
     CEILING),
    ("JS: 0.02 nats more", JS, f"{SCORES}/js.py", "return 1 + positives", "return 1.02 + positives",
     EXACT),
    ("diagonal in E_Q", NWJ, "scores.py", "off_diagonal(scores).logsumexp((-2, -1)) - math.log(n * (n - 1))",
     "scores.logsumexp((-2, -1)) - math.log(n * n)", CHANGED),
    ("JS: read at f", JS, f"{SCORES}/js.py",
     "return 1 + positives(scores).mean(-1) - log_mean_exp_negatives(scores)",
     "return positives(scores).mean(-1) - (log_mean_exp_negatives(scores) - 1)", CHANGED),
    ("cubic: sign", CUBIC, "tasks/gaussian.py", "return x, y**3", "return x, -(y**3)", EXACT),
]  # fmt: skip
"""Faults that are found on any machine: the tolerance is that of another one."""

HERE = [
    ("NCE: log k", NCE, f"{SCORES}/nce.py", "math.log(k)", "math.log(k + 1)", CHANGED),
    ("learning rate", LITTLE_SLOWER, "engine/loop.py", '["lr"] = lr', '["lr"] = 0.99 * lr', CHANGED),
]
"""Faults in the training that change estimates by less than 0.02 nats."""

GRIDS = list(dict.fromkeys(fault[1] for fault in [*EVERYWHERE, *HERE]))

CHECK = """
import sys
from mibench.cli import app

for path in sys.argv[1:]:
    words = ["check", "--baseline", path, "--device", "cpu", "-q", "--format", "github"]
    status = app(words, standalone_mode=False)
    if status:
        sys.exit(status)
"""


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """Return a function that makes the baseline of a grid, once, and returns its text."""
    folder = tmp_path_factory.mktemp("baselines")

    @cache
    def make(grid):
        path = folder / f"{GRIDS.index(grid)}.json"
        words = ["--dim", "2", "--steps", "20", "--seeds", "12", "--device", "cpu", "-q", *grid]
        done = CliRunner().invoke(app, ["check", "--save", str(path), *words])
        assert done.exit_code == 0, done.stderr
        return path.read_text("utf-8")

    return make


def checked(folder, texts, source="", old="", new=""):
    """Check baselines, given as texts, with a copy of the package in which one `old` is `new`."""
    shutil.copytree(PACKAGE, folder / "mibench")
    if source:
        path = folder / "mibench" / source
        code = path.read_text("utf-8")
        assert old in code, f"{source} has no {old!r}"
        path.write_text(code.replace(old, new), "utf-8")
    names = [f"{number}.json" for number in range(len(texts))]
    for name, text in zip(names, texts, strict=True):
        (folder / name).write_text(text, "utf-8")
    return subprocess.run(
        [sys.executable, "-c", CHECK, *names],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def elsewhere(text):
    """Return a baseline as another version of torch would have made it."""
    assert torch.__version__ in text
    return text.replace(torch.__version__, "2.0.0")


def fails(done, grid, reason):
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("::error"))
    assert line.startswith(f"::error title=mibench check%3A {grid[1]}")
    assert reason in line
    assert "1 of 1 cells fail." in done.stderr


@pytest.mark.parametrize(
    ("grid", "source", "old", "new", "words"), [f[1:] for f in EVERYWHERE], ids=[f[0] for f in EVERYWHERE]
)
def test_a_fault_is_found_on_any_machine(grid, source, old, new, words, frozen, tmp_path):
    done = checked(tmp_path, [elsewhere(frozen(grid))], source, old, new)
    fails(done, grid, words)
    assert "above 0.02 nats" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("grid", "source", "old", "new", "words"), [f[1:] for f in HERE], ids=[f[0] for f in HERE]
)
def test_a_small_fault_is_found_where_only_the_sources_differ(
    grid, source, old, new, words, frozen, tmp_path
):
    done = checked(tmp_path, [elsewhere(frozen(grid)), frozen(grid)], source, old, new)
    fails(done, grid, words)
    on_another, here = " ".join(done.stdout.split()).split("above 0.02 nats")
    assert "::error" not in on_another
    assert "above 0.001 nats" in here


def test_copies_without_a_fault_are_fine(frozen, tmp_path):
    done = checked(tmp_path, [frozen(grid) for grid in GRIDS])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("All 1 cells are fine.") == len(GRIDS)
    assert " ".join(done.stdout.split()).count("every number must be the same") == len(GRIDS)
