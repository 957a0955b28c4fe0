"""What the README shows is what there is."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mibench.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = re.findall(r"^\$ mibench (.*?)(?:\s{2,}#.*)?$", README, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command, tmp_path):
    words = shlex.split(command)
    if words[0] == "run":
        words += ["--out", str(tmp_path / "out"), *["--dry-run"] * ("--dry-run" not in words)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr


def test_the_python_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    exec(code.replace("seeds=3", "seeds=1, steps=3"), names)
    assert len(names["frame"]) == 2
    assert names["scores"].shape == (64, 64)


def test_the_table_is_the_published_one():
    published = (ROOT / "results/infonce_gaussian_20d/table.md").read_text("utf-8")
    assert published.strip() in README


def test_links_lead_to_files():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) >= 4
    for link in links:
        assert (ROOT / link).is_file(), link
