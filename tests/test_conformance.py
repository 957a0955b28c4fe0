"""Everything that is registered keeps its promises, and the kit says so in the ways that it promises."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest
from typer.testing import CliRunner

import mibench
from mibench.api.validate import KINDS
from mibench.cli import app
from mibench.estimators.scores.nwj import NWJ
from mibench.scores import positives
from mibench.testing import ConformanceError, check_estimator

SLOW = {("estimator", name) for name in ("dv", "infonce", "interpolated", "ksg", "nwj", "js", "tuba")}
SLOW |= {("task", "digits"), ("encoder", "byol")}

REGISTERED = [
    pytest.param(kind, name, marks=[pytest.mark.slow] * ((kind.name, name) in SLOW), id=f"{kind.name} {name}")
    for kind in KINDS
    for name in kind.registry.entries
]

OPTIONS = ["infonce[symmetric=true]", "infonce[temperature=0.5]", "nce[k=5]", "nce[normalizer=learned]",
           "interpolated[alpha=0]", "interpolated[alpha=1]", "mine[rate=1]", "smile[tau=1]", "nce[k=50]",
           "gaussian[rho=-0.5,dim=3]", "bigram[exponent=0]", "cpc[noise=0.5]"]  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), REGISTERED)
def test_registered(kind, name):
    kind.examine(kind.registry.get(name), name).or_raise()


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_with_options(name):
    for found in mibench.validate(name):
        found.or_raise()


@dataclass(frozen=True)
class Reasoned(NWJ):
    """NWJ without its 1, as the class says."""

    reasons: ClassVar[Mapping[str, str]] = {"a blind model reads 0": "it is biased", "gradient": "none"}
    conformance_exceptions: ClassVar[Mapping[str, str]] = reasons | {"gradeint": "misspelt"}

    name = "reasoned"

    def estimate(self, scores):
        """Return what is 0.1 too much."""
        return super().estimate(scores) + 0.1


@dataclass(frozen=True)
class Raises(NWJ):
    """NWJ that cannot be read."""

    name = "raises"

    def estimate(self, scores):
        """Raise."""
        raise RuntimeError("no way")


@dataclass(frozen=True)
class PlugIn(NWJ):
    """A plug-in that is trained by NWJ."""

    name = "plug-in"

    def estimate(self, scores):
        """Return E_P[f - 1]."""
        return positives(scores.double() - 1).mean(-1)


def test_exceptions_are_expected_where_they_are_declared():
    with pytest.raises(ConformanceError) as caught:
        check_estimator(Reasoned())
    results = {result.property: result for result in caught.value.found.results}
    assert str(results["a blind model reads 0"]).endswith("reads 0: expected exception: it is biased")
    assert str(results["gradient"]) == "gradient: ok, although declared as an exception: none"
    assert "seen gradeint" in results["declared exceptions"].message
    assert results["bound"].outcome == "failed"  # 0.1 too much is found elsewhere too


def test_the_message_lists_all_that_fails_with_what_was_expected_and_seen():
    with pytest.raises(ConformanceError) as caught:
        check_estimator(PlugIn())
    lines = str(caught.value).splitlines()
    assert lines[0] == "estimator plug-in is not as promised"
    assert any("bound for any critic: FAILED: expected a mean of at most I" in line for line in lines)
    assert all("; seen " in line for line in lines[1:])


def test_an_authors_error_is_a_failure_of_each_property_in_which_it_occurs():
    with pytest.raises(ConformanceError, match=r"shape: FAILED: RuntimeError: no way"):
        check_estimator(Raises())


def test_results_are_the_same_each_time():
    assert mibench.validate("nce") == mibench.validate("nce")


def invoke(*arguments):
    return CliRunner().invoke(app, ["validate", *arguments])


def test_the_command_prints_a_line_for_each_property():
    ran = invoke("mine", "bilinear")
    assert ran.exit_code == 0
    assert "estimator mine\n" in ran.stdout
    assert "  gradient: expected exception: it is corrected" in ran.stdout
    assert "model bilinear\n  documented: ok\n" in ran.stdout
    assert "all as promised" in ran.stderr


def test_the_command_ends_with_1_where_a_property_fails():
    ran = invoke("test_conformance:PlugIn", "--json")
    assert ran.exit_code == 1
    content = json.loads(ran.stdout)
    (validated,) = content["validated"]
    failed = [one["property"] for one in validated["properties"] if one["outcome"] == "failed"]
    assert not content["fine"]
    assert "bound for any critic" in failed
    assert "Not as promised: estimator test_conformance:PlugIn" in ran.stderr


def test_a_name_of_two_kinds_is_both():
    assert [(found.kind, found.name) for found in mibench.validate("cpc")] == [
        ("task", "cpc"),
        ("encoder", "cpc"),
    ]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["infonse"], "Did you mean 'infonce'?"),
        (["nce[k=0]"], "k of 'nce' must be at least 1"),
        ([], "Nothing to validate is named."),
        (["nwj", "--all"], "Both names and --all are given."),
        (["nowhere:Thing"], "'nowhere:Thing' cannot be imported: ModuleNotFoundError"),
        (["json:Thing"], "has no attribute 'Thing'"),
        (["json:JSONDecoder"], "no class that can be validated"),
    ],
)
def test_bad_usage(arguments, what):
    ran = invoke(*arguments)
    assert ran.exit_code == 2
    assert what in ran.stderr
    assert not ran.stdout


def test_a_class_that_cannot_be_made_fails():
    ran = invoke("mibench.estimators.base:FromScores")
    assert ran.exit_code == 1
    assert "options: FAILED: TypeError" in ran.stdout
