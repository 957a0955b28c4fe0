"""The code itself: style, types and the direction of imports."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["importlinter.cli"],
    ],
    ids=["ruff check", "ruff format", "mypy", "import-linter"],
)
def test_code(command):
    if command[0] == "importlinter.cli":
        code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
        words = [sys.executable, "-c", code]
    else:
        words = [sys.executable, "-m", *command]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
