"""Settings are declared once: commands, Python verbs, suites and records follow from the declaration."""

import inspect
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import mibench
from mibench import grid
from mibench.analysis import cells
from mibench.api import reproduce as reproducing
from mibench.cli import app
from mibench.commands import options
from mibench.commands.estimate import estimate as estimate_command
from mibench.store.record import FIELDS

NAMES = [each.name for each in fields(grid.Grid)]
COMMANDS = {command.callback.__name__: command.callback for command in app.registered_commands}
WHERE = set(grid.PLACES)
NOT_IN_RUNS = {*WHERE, "preset"}
ROOT = Path(__file__).parents[1]


def options_of(command):
    return list(inspect.signature(command).parameters)


def keywords_of(verb):
    return list(inspect.signature(verb).parameters)


def test_every_setting_is_an_option_of_every_command():
    assert set(NAMES) <= set(options_of(COMMANDS["run"]))
    assert set(NAMES) <= set(options_of(COMMANDS["check"]))
    assert {*NAMES, "estimators"} - {"estimator"} <= set(options_of(COMMANDS["compare"]))
    how = {"estimator", *grid.FitArguments.__annotations__} - {"model"}
    assert how <= set(options_of(estimate_command))
    assert not {"dim", "mi", "task", "protocol"} & set(options_of(estimate_command))


def test_every_setting_is_a_keyword_of_every_verb():
    written_out = {"estimator", "task", *grid.GridArguments.__annotations__} - {"model"}
    assert written_out == set(NAMES)
    for verb in (mibench.run, mibench.plan):
        assert set(NAMES) <= set(keywords_of(verb))
        for name in NAMES:
            assert f"\n        {name}: " in verb.__doc__
    assert set(NAMES) - {"estimator"} <= set(keywords_of(mibench.compare))
    assert "{settings}" not in mibench.run.__doc__ + mibench.compare.__doc__ + mibench.estimate.__doc__
    assert "--" not in mibench.run.__doc__
    assert inspect.signature(mibench.compare).parameters["seeds"].default == "12"


def test_every_setting_is_a_key_of_suites_and_a_setting_of_baselines():
    plural = {"estimator": "estimators", "critic": "critics"}
    assert {plural.get(name, name) for name in NAMES} - NOT_IN_RUNS <= set(reproducing.types())
    (run,) = mibench.plan(dim=2, mi=1, n=4, seeds=1, device="cpu").specs
    values = grid.values_of(run)
    assert set(values) == set(NAMES) - NOT_IN_RUNS
    assert (values["dim"], values["mi"], values["n"], values["seeds"]) == (2, 1, 4, 0)


def test_cells_and_records_have_the_columns_of_the_settings():
    trained = ["critic", "train_n", "anchors", "steps", "lr", "schedule", "precision"]
    data = ["estimator", "task", "dim_x", "dim_y", "true_mi_nats", "encoder", "n"]
    assert [*data, *trained[:3], "protocol", "samples", *trained[3:]] == cells.CELL
    assert trained == cells.FIT
    assert set(grid.COLUMNS) <= set(FIELDS)


def test_the_flag_of_a_setting_has_no_underscore():
    about = grid._declared("half_life", int | None, ("-h",), help="", default=None)
    assert about.flags == ("--half-life", "-h")
    assert about.columns == ("half_life",)


def test_a_new_setting_is_an_option_a_key_and_a_line_of_documentation(monkeypatch):
    dummy = replace(grid.SETTINGS["lr"], help="How deep.", flags=("--depth",), default="7")
    monkeypatch.setitem(grid.SETTINGS, "depth", dummy)

    class Arguments(grid.GridArguments, total=False):
        depth: int

    @grid.takes(Arguments)
    def verb(**settings):
        """Do it.

        Args:
            {settings}
        """
        return settings

    assert "depth: How deep. Default: 7." in verb.__doc__
    assert verb(depth=3) == {"depth": 3}
    assert "depth" in reproducing.types()

    tool = typer.Typer(rich_markup_mode=None)

    @tool.command()
    @options.command("run", only=grid.SETTINGS)
    def command(settings: options.Settings) -> None:
        typer.echo(settings)

    shown = CliRunner().invoke(tool, ["--help"]).stdout
    assert "--depth" in shown
    assert "[default: 7]" in shown
    assert CliRunner().invoke(tool, ["--depth", "5", "-n", "3"]).stdout.strip() == str(
        {"n": ["3"], "depth": "5"}
    )


@pytest.mark.parametrize(
    ("call", "what", "how"),
    [
        (lambda: mibench.run(seed=3), "Unknown argument 'seed'.", "Did you mean 'seeds'?"),
        (lambda: mibench.run(outt="x"), "Unknown argument 'outt'.", "Did you mean 'out'?"),
        (lambda: mibench.plan(step=3), "Unknown argument 'step'.", "Did you mean 'steps'?"),
        (lambda: mibench.compare("infonce,nwj", estimator="js"), "'estimator'", "'estimators'?"),
        (lambda: mibench.estimate([1], [2], seed=3), "'seed'", "help(mibench.estimate)"),
        (lambda: mibench.estimate([1], [2], dim=3), "Unknown argument 'dim'", "help(mibench.estimate)"),
        (lambda: mibench.run(critic="joint", model="joint"), "critic and model", "Give one"),
        (lambda: grid.read("run", {"seed": 3}), "Unknown setting 'seed'", "'seeds'?"),
    ],
)
def test_an_unknown_argument_is_named_with_the_nearest(call, what, how):
    with pytest.raises(mibench.UsageError) as raised:
        call()
    assert what in raised.value.what
    assert how in raised.value.how


def test_type_checkers_know_the_arguments(tmp_path):
    calls = tmp_path / "calls.py"
    calls.write_text(
        "import mibench\n"
        "mibench.run('nwj', dim=20, mi=[2, 4.0], n=64, critic='joint', device='cpu')\n"
        "mibench.run(seed=3)\n"
        "mibench.run(steps=[1])\n"
        "mibench.compare('infonce,nwj', estimator='js')\n"
        "mibench.estimate([1], [2], dim=3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", str(calls)], cwd=ROOT, capture_output=True, text=True
    )
    wrong = [line.split(":")[1] for line in done.stdout.splitlines() if ": error: " in line]
    assert wrong == ["3", "4", "5", "6"], done.stdout


def test_model_is_another_name_of_critic(tmp_path):
    small = {"dim": 2, "mi": 1, "n": 4, "seeds": 1, "device": "cpu"}
    assert mibench.plan(model="joint", **small).specs == mibench.plan(critic="joint", **small).specs
    words = ["--dim", "2", "--mi", "1", "-n", "4", "--seeds", "1", "--device", "cpu", "--dry-run", "--json"]
    for flag in ("--model", "--critic", "-c"):
        done = CliRunner().invoke(app, ["run", flag, "joint,seperable", *words])
        assert "Unknown model 'seperable'" in done.stderr


def test_what_is_not_given_has_the_default_of_its_verb():
    assert grid.read("run", {}).n == (16, 32, 64, 128)
    assert grid.read("compare", {"seeds": None}).seeds == tuple(range(12))
    assert grid.read("check", {}).critic == ("separable[hidden=64]",)
    assert grid.read("estimate", {}).steps == 2000
    left_open = grid.read("run", {})
    assert (left_open.dim, left_open.critic, left_open.steps, left_open.lr) == ((), (), None, None)


def test_settings_do_not_import_torch():
    code = "import sys, mibench.grid; assert not {'torch', 'pandas', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
