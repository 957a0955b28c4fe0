"""Names as users type them, and plug-ins from other packages."""

import subprocess
import sys

import pytest

import mibench
from mibench import estimators, tasks
from mibench.models import critics
from mibench.registry import split_names


@pytest.mark.parametrize(
    ("typed", "label"),
    [
        ("nce", "nce"),
        ("nce[k=5]", "nce[k=5]"),
        (" nce[ k = 5 ] ", "nce[k=5]"),
        ("nce[normalizer=learned,k=5]", "nce[k=5,normalizer=learned]"),
        ("nce[normalizer=fixed,k=none]", "nce"),
        ("infonce[temperature=1]", "infonce"),
        ("infonce[temperature=0.50]", "infonce[temperature=0.5]"),
        ("infonce[symmetric=True]", "infonce[symmetric=true]"),
        ("mine[rate=1e-3]", "mine[rate=0.001]"),
    ],
)
def test_label_is_what_the_user_types_at_its_shortest(typed, label):
    choice = estimators.registry.choose(typed)
    assert choice.label == label
    assert estimators.registry.choose(label) == choice
    assert estimators.registry.describe(estimators.registry.make(choice)) == choice


def test_tasks_show_dimension_and_information_in_columns_of_their_own():
    assert tasks.registry.choose("gaussian", dim=3, mi=2).label == "gaussian"
    assert tasks.registry.choose("gaussian[dim=3]", rho=-0.5).label == "gaussian[rho=-0.5]"
    assert dict(tasks.registry.choose("gaussian", dim="3", mi="2").options) == {
        "dim": 3,
        "mi": 2.0,
        "rho": None,
    }


@pytest.mark.parametrize(
    ("typed", "what", "how"),
    [
        ("infonse", "Unknown estimator 'infonse'", "'infonce'"),
        ("nce[kk=5]", "option of estimator 'nce': 'kk'", "'k'"),
        ("nce[k=0]", "k of 'nce' must be at least 1", "all n - 1"),
        ("nce[k=-1]", "at least 1", "noise"),
        ("nce[k=2.5]", "whole number", "whole number"),
        ("nce[k=five]", "'five'", "number"),
        ("nce[k=nan]", "'nan'", "number"),
        ("nce[k=5", "Cannot read 'nce[k=5'", "name[option=value"),
        ("nce[k]", "Cannot read the option 'k'", "option=value"),
        ("nce[k=1,k=2]", "Cannot read the option", "once"),
        ("nce[normalizer=guessed]", "cannot be 'guessed'", "fixed, learned"),
        ("infonce[temperature=0]", "temperature", "above 0"),
        ("infonce[symmetric=maybe]", "'maybe'", "true, false"),
        ("mine[rate=2]", "rate", "1"),
        ("smile[tau=0]", "tau", "above 0"),
        ("", "Cannot read ''", "name"),
    ],
)
def test_mistakes_are_two_lines(typed, what, how):
    with pytest.raises(mibench.UsageError) as caught:
        estimators.get(typed)
    assert what in caught.value.what
    assert how in caught.value.how
    assert "\n" not in caught.value.what + caught.value.how


def test_names_are_split_outside_brackets():
    assert split_names("mine, nce[k=5,normalizer=learned],nwj") == [
        "mine",
        "nce[k=5,normalizer=learned]",
        "nwj",
    ]


def test_every_class_says_what_it_is():
    for registry in (estimators.registry, tasks.registry, critics.registry):
        for name, entry in registry.entries.items():
            assert entry.load().name == name
            assert entry.summary.endswith(".")
    for name in estimators.registry.entries:
        kind = estimators.registry.load(name)
        assert kind.formula
        assert kind.direction
        assert kind.reference
        assert kind.bibtex.startswith("@")
        assert (kind().ceiling(64) is None) == (kind.ceiling_formula == "none")


PLUGIN = '''
from dataclasses import dataclass
from mibench.estimators.base import Estimator, positives
from mibench.registry import option
from mibench.tasks.gaussian import Gaussian

@dataclass(frozen=True)
class Mean(Estimator):
    """The mean of the joint scores."""
    shift: float = option(0.0, "added to it")
    name = "mean"
    def objective(self, scores, carried):
        return positives(scores).mean(-1) - scores.square().mean((-2, -1))
    def estimate(self, scores):
        return positives(scores.double()).mean(-1) + self.shift

@dataclass(frozen=True)
class Twin(Gaussian):
    """A Gaussian by another name."""
    name = "twin"
'''
ENTRY_POINTS = """[mibench.estimators]
mean = plugin_of_another:Mean
[mibench.tasks]
twin = plugin_of_another:Twin
"""


@pytest.fixture
def installed_plugin(tmp_path):
    (tmp_path / "plugin_of_another.py").write_text(PLUGIN)
    info = tmp_path / "plugin_of_another-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-of-another\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return tmp_path


def test_plugins_of_other_packages_run_like_our_own(installed_plugin):
    def mibench_(*words):
        code = (
            f"import sys; sys.path.insert(0, {str(installed_plugin)!r}); from mibench.cli import main; main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=installed_plugin
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "mean" in mibench_("list", "estimators")
    assert "plugin-of-another 2.0" in mibench_("info")
    assert "shift" in mibench_("describe", "mean")
    grid = ["-e", "mean[shift=2],infonce", "-t", "twin", "--dim", "2", "--mi", "1", "-n", "4"]
    assert "mean[shift=2]" in mibench_("run", *grid, "--steps", "2", "--seeds", "1")
