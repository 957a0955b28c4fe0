"""The benchmarks run, at sizes that measure nothing."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture
def printed(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT))
    # Its processes are given the path by the environment, and it sets the threads of this one.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    threads = torch.get_num_threads()

    def run(name, *words):
        monkeypatch.setattr(sys, "argv", [name, *words])
        importlib.import_module(f"benchmarks.{name}").main()
        return capsys.readouterr().out

    yield run
    torch.set_num_threads(threads)


def rows(text):
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]
    return [row for row in cells if not set("".join(row)) <= set("-:")]


@pytest.mark.slow
def test_one_command_prints_all_tables_of_a_gpu(printed):
    small = ["--critics", "2", "--steps", "3", "--rounds", "1", "--largest", "10", "--tasks", "bigram"]
    text = printed("cuda", "--device", "cpu", *small)
    titles = [line for line in text.splitlines() if line.startswith("### ")]
    assert len(titles) == 4
    drawn = [row for row in rows(text.split("### ")[2]) if row[0] == "2"]
    assert [row[1] for row in drawn] == ["16", "64", "256"]
    assert [row[0] for row in rows(text.split("### ")[3])[1:]] == ["2^10"]
    assert [row[-1] for row in rows(text.split("### ")[4])[1:]] == ["12 of 12", "12 of 12"]


@pytest.mark.slow
def test_time_to_accuracy_has_a_row_for_each_side(printed):
    text = printed(
        "time_to_accuracy", "--device", "cpu", "--steps", "4", "--loop-steps", "4", "--critics", "2"
    )
    assert [row[0] for row in rows(text)[1:]] == [
        "loop, constant 5e-4",
        "pack, one-cycle",
        "pack, preset fast",
    ]


@pytest.mark.slow
def test_a_search_of_recipes_has_a_row_for_each(printed):
    text = printed("recipes", "--cases", "infonce, bigram", "--seeds", "1", "--work", "640")
    found = rows(text)[1:]
    assert len(found) == 4 * 4 + 4 + 2 * 6 + 2 * 2
    assert all(float(row[1]) > 0 and float(row[2]) > 0 for row in found)


def test_growing_batches_and_averages_are_what_they_say(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    recipes = importlib.import_module("benchmarks.recipes")
    case = recipes.Case({"estimator": "infonce", "task": "gaussian", "mi": 1, "dim": 2}, seeds=2)
    sizes = [x.shape[1:3] for x, _ in case._growing(recipes.Recipe((8, 24), steps=5))]
    assert sum(steps for steps, rows in sizes if rows == 8) == 2
    assert sum(steps for steps, rows in sizes if rows == 24) == 3
    average = recipes.Average(2)
    for step in range(1, 6):
        assert not average(step, None, {}, {"w": torch.tensor([float(step**2)])})
    assert average.parameters["w"].item() == pytest.approx((9 + 16 + 25) / 3)
