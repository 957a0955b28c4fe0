"""Kinds of model, protocols, backends and figures of one's own: each is a file, nothing else is edited."""

import os
import sys
from pathlib import Path

import numpy as np
import plugins
import pytest
from plugins import (
    Elsewhere,
    Explained,
    ExplainedByQuadratics,
    Leisurely,
    LinearRegression,
    OtherSamples,
    QuadraticRegression,
)
from records import record
from test_registry import SMALL, install, mibench_in
from typer.testing import CliRunner

import mibench
from mibench import estimators, models
from mibench.analysis.cells import summarise
from mibench.cli import app
from mibench.engine.backends import registry as backends
from mibench.engine.protocols import registry as protocols
from mibench.reports import figures
from mibench.reports.output import write_tables
from mibench.store.record import to_frame
from mibench.testing import check_estimator, check_model

GRID = {"dim": 2, "mi": 1.0, "n": 64, "seeds": 2, "device": "cpu"}

# ---- A kind of model


@pytest.fixture
def _regressions(register):
    register(models.registry, LinearRegression)
    register(models.registry, QuadraticRegression)
    register(estimators.registry, Explained)
    register(estimators.registry, ExplainedByQuadratics)


@pytest.mark.usefixtures("_regressions")
def test_a_kind_of_model_brings_its_default_and_trains():
    frame = mibench.run("explained", steps=500, lr=0.05, **GRID)
    assert frame["critic"].tolist() == 2 * ["linear-regression"]
    # The best prediction is linear: what it explains is the information, up to the fit of A.
    assert frame["estimate_nats"].to_numpy() == pytest.approx(1.0, abs=0.1)
    (spec, *_) = mibench.plan("explained", critic="quadratic-regression", **GRID).specs
    assert spec.fit.model.label == "quadratic-regression"
    with pytest.raises(mibench.UsageError, match="explained trains a regression") as caught:
        mibench.plan("explained", critic="joint", **GRID)
    assert "linear-regression, quadratic-regression" in caught.value.how


@pytest.mark.usefixtures("_regressions")
def test_an_objective_can_have_a_default_model_of_its_own():
    specs = mibench.plan("explained,explained-by-quadratics", **GRID | {"seeds": 1}).specs
    assert [spec.fit.model.label for spec in specs] == ["linear-regression", "quadratic-regression"]
    one, other = (
        mibench.plan(name, critic="quadratic-regression", **GRID | {"seeds": 1}).specs[0].identity
        for name in ("explained", "explained-by-quadratics")
    )
    assert one["critic"] == other["critic"] == specs[1].identity["critic"]


@pytest.mark.usefixtures("_regressions")
def test_a_kind_of_model_is_tested_by_what_its_class_declares(monkeypatch):
    assert check_model(LinearRegression()).fine
    assert check_estimator(Explained()).fine
    monkeypatch.setattr(LinearRegression, "predict", lambda self, parameters, x: (x @ parameters["a"]).mT)
    with pytest.raises(AssertionError, match=r"prediction at dimensions 3 and 2: \(3, 11, 2\)"):
        check_model(LinearRegression())


def test_a_kind_of_which_there_is_no_model_is_a_mistake_in_two_lines(register):
    register(estimators.registry, Explained)
    with pytest.raises(mibench.UsageError, match="no model of kind 'regression'"):
        mibench.plan("explained", **GRID)


# ---- Protocols


def report_of(folder, protocol, register, kind):
    register(protocols, kind)
    mibench.run("nwj", protocol=protocol, steps=5, out=folder, **GRID)
    return mibench.report(folder, format="md")


def test_a_protocol_says_its_own_methods_with_the_stored_options(register, tmp_path):
    text = report_of(tmp_path, "leisurely[share=0.5]", register, Leisurely)
    assert "Trained with 50% leisure on" in text
    assert "Every batch was fresh" not in text


def test_nothing_is_said_of_a_protocol_that_is_not_here_or_has_other_options(register, tmp_path, monkeypatch):
    report_of(tmp_path, "leisurely", register, Leisurely)
    register(protocols, OtherSamples)
    monkeypatch.setitem(protocols.entries, "leisurely", protocols.entries["other-samples"])
    other = mibench.report(tmp_path, format="md")
    monkeypatch.delitem(protocols.entries, "leisurely")
    unknown = mibench.report(tmp_path, format="md")
    for text in (other, unknown):
        assert "under the protocol leisurely. Each setting was run with 2 seeds" in text
        for sentence in ("Every batch was fresh", "leisure on", "were split"):
            assert sentence not in text


def test_the_size_of_the_data_and_the_levels_go_to_every_protocol_that_has_them(register):
    register(protocols, OtherSamples)
    specs = mibench.plan("nwj", protocol="other-samples,stream", samples=[1000, 2000], **GRID).specs
    sizes = {(spec.protocol.name, dict(spec.protocol.options).get("size")) for spec in specs}
    assert sizes == {("other-samples", 1000), ("other-samples", 2000), ("stream", None)}
    with pytest.raises(mibench.UsageError, match="the protocol is stream"):
        mibench.plan("nwj", protocol="stream", samples=1000, **GRID)
    stairs = mibench.plan("nwj", protocol="staircase", steps=40, **GRID | {"mi": [1, 3]}).specs
    assert {dict(spec.protocol.options)["levels"] for spec in stairs} == {"1/3"}


# ---- Backends


def test_a_backend_runs_jobs_in_another_process_and_changes_no_result(register, tmp_path):
    register(backends, Elsewhere)
    here = mibench.run("nwj,js", steps=5, **GRID)
    there = mibench.run("nwj,js", steps=5, backend="elsewhere", **GRID)
    assert Elsewhere.processes
    assert os.getpid() not in Elsewhere.processes
    assert there["key"].tolist() == here["key"].tolist()
    assert there["status"].tolist() == 4 * ["ok"]
    np.testing.assert_array_equal(there["estimate_nats"], here["estimate_nats"])


def test_estimate_and_check_use_the_backend_too(register, tmp_path):
    register(backends, Elsewhere)
    x, y = mibench.tasks.get("gaussian", dim=1, mi=1.0).sample(200)
    small = {"n": 8, "seeds": 2, "steps": 5, "device": "cpu"}
    Elsewhere.processes.clear()
    mibench.estimate(x, y, "nwj", backend="elsewhere", **small)
    assert len(Elsewhere.processes) == 1
    frozen = str(tmp_path / "frozen.json")
    words = f"-e nwj --mi 1 --dim 1 --backend elsewhere -q {SMALL}".split(" ")
    assert CliRunner().invoke(app, ["check", "--save", frozen, *words]).exit_code == 0
    assert len(Elsewhere.processes) == 2
    done = CliRunner().invoke(app, ["check", "--baseline", frozen, *words])
    assert "No cell fails" in done.stderr
    assert len(Elsewhere.processes) == 3
    assert mibench.check(frozen, device="cpu", backend="elsewhere").fine
    assert len(Elsewhere.processes) == 4


def test_an_unknown_backend_is_named_with_the_nearest():
    with pytest.raises(mibench.UsageError, match="Unknown backend 'locl'") as caught:
        mibench.plan("nwj", backend="locl", **GRID)
    assert "'local'" in caught.value.how


# ---- Figures

FIGURE = """
from matplotlib.figure import Figure
from mibench.reports.figures.kind import FigureKind
from mibench.reports.figures.sandwich import SANDWICH  # is not declared here

OWN = FigureKind("own", lambda _: True, lambda _: "Empty.", lambda *_: Figure(), {places})
"""


@pytest.mark.parametrize(
    ("places", "names"),
    [
        ("", ["bias_vs_n", "estimate_vs_true", "error_split", "own"]),
        ('{"run": 15}', ["bias_vs_n", "own", "estimate_vs_true", "error_split"]),
        ('{"compare": 1}', ["bias_vs_n", "estimate_vs_true", "error_split"]),
    ],
)
def test_a_figure_in_the_folder_is_drawn_in_its_place(places, names, tmp_path, monkeypatch):
    (tmp_path / "own_figure.py").write_text(FIGURE.replace("{places}", places))
    monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "mibench.reports.figures.own_figure", raising=False)
    summary = summarise(to_frame([record(seed=seed, key=str(seed)) for seed in range(3)]))
    drawn = figures.figures_of(summary)
    assert [kind.name for kind in drawn] == names
    write_tables(to_frame([record()]), tmp_path)
    assert {path.stem for path in tmp_path.glob("*.pdf")} == set(names)
    compared = [kind.name for kind in figures.figures_of(summary, "compare")]
    assert compared == [*["own"] * ("compare" in places), "metrics_vs_true", "error_split"]


FIGURES = {
    "run": ["bias_vs_n", "estimate_vs_true", "sandwich", "error_split", "bias_vs_samples", "metrics_vs_true"],
    "compare": ["metrics_vs_true", "error_split", "sandwich"],
}


@pytest.mark.parametrize("command", FIGURES)
def test_figures_have_their_places(command):
    """Others may stand among them."""
    kinds = [kind for kind in figures._declared() if command in kind.places]
    names = [kind.name for kind in sorted(kinds, key=lambda kind: kind.places[command])]
    places = [names.index(name) for name in FIGURES[command]]
    assert places == sorted(places)
    assert len({kind.places[command] for kind in kinds}) == len(kinds)


# ---- Everything at once, as another package has it

ENTRY_POINTS = """[mibench.models]
linear-regression = plugin_of_kinds:LinearRegression
[mibench.estimators]
explained = plugin_of_kinds:Explained
[mibench.protocols]
leisurely = plugin_of_kinds:Leisurely
[mibench.backends]
elsewhere = plugin_of_kinds:Elsewhere
"""


def test_another_package_adds_a_kind_of_model_a_protocol_and_a_backend(tmp_path):
    install(
        tmp_path, "plugin-of-kinds", ENTRY_POINTS, plugin_of_kinds=Path(plugins.__file__).read_text("utf-8")
    )
    run = f"run -e explained -p leisurely --backend elsewhere --dim 2 --mi 1 {SMALL} -o kept"
    commands = {
        "list regressions": "linear-regression",
        "list backends": "elsewhere",
        "list regresions": "Did you mean 'regressions'?",
        "describe elsewhere": "Another process",
        "info": "backend elsewhere (plugin-of-kinds 2.0)",
        "validate explained linear-regression": "all as promised",
        run: "linear-regression",
        "report kept --out report.md": "",
    }
    for (words, told), (status, output, error) in zip(
        commands.items(), mibench_in(tmp_path, *commands), strict=True
    ):
        assert status == (2 if "regresions" in words else 0), (words, output, error)
        assert told in output
    assert "Trained with 25% leisure" in (tmp_path / "report.md").read_text("utf-8")
