"""Names as users type them, and plug-ins from other packages."""

import itertools
import json
import math
import pickle
import subprocess
import sys
import time

import pytest

import mibench
from mibench import encoders, estimators, models, tasks
from mibench.engine import protocols
from mibench.notation import split_names
from mibench.registry import Registry
from mibench.spec import digest
from mibench.tasks.gaussian import Gaussian


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
        ("smile[tau=none]", "smile[tau=none]"),
        ("smile[tau=inf]", "smile[tau=none]"),
        ("smile[tau=+Infinity]", "smile[tau=none]"),
        ("smile[tau=∞]", "smile[tau=none]"),
        ('nce[k="5"]', "nce[k=5]"),
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
        ("smile[tau=-inf]", "'-inf'", "number"),
        ("mine[rate=inf]", "'inf'", "number"),
        ('nce[k="5]', "Cannot read", "name[option=value"),
        ('nce[k=5"3"]', "Cannot read the option", 'option="value"'),
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


def test_infinity_is_one_spelling_of_none_where_an_option_says_so():
    """One label and one key, that of `smile[tau=none]`, which stored results have."""
    choices = [estimators.registry.choose("smile", tau=tau) for tau in (math.inf, "inf", "none", "∞")]
    choices.append(estimators.registry.describe(estimators.registry.load("smile")(tau=math.inf)))
    choices.append(estimators.registry.from_options("smile", {"tau": None}))
    assert {digest(choice.identity) for choice in choices} == {
        "ef72fe904dc7dd1517e291fb22bcd7091481298c0a0245fd69e4db5b87dce7b4"
    }
    assert set(choices) == {estimators.registry.choose("smile[tau=none]")}


def test_none_is_the_default_by_keyword_and_a_value_among_stored_options():
    assert estimators.registry.choose("smile", tau=None).label == "smile"
    assert estimators.registry.from_options("smile", {"tau": None}).label == "smile[tau=none]"
    for text in ("smile[tau=none]", "nce[k=3]", "interpolated"):
        choice = estimators.registry.choose(text)
        assert estimators.registry.from_options(choice.name, dict(choice.options)) == choice
    with pytest.raises(mibench.UsageError, match="rate of estimator 'mine' must be a number, not None"):
        estimators.registry.from_options("mine", {"rate": None})


def test_planning_10_000_runs_takes_less_than_a_second(monkeypatch):
    grid = {
        "dim": 20,
        "mi": [i / 10 for i in range(1, 51)],
        "n": [8, 16, 32, 64],
        "seeds": 50,
        "device": "cpu",
    }
    mibench.plan("infonce", **grid | {"seeds": 1})
    made, check = [], Gaussian.__post_init__
    monkeypatch.setattr(Gaussian, "__post_init__", lambda task: (made.append(task), check(task)))
    started = time.process_time()
    assert len(mibench.plan("infonce", **grid).specs) == 10_000
    assert time.process_time() - started < 1
    assert len(made) <= 200  # each of 50 tasks a few times, whatever the number of runs


def test_the_object_of_a_choice_is_made_once():
    choice = tasks.registry.choose("gaussian", dim=3)
    assert tasks.registry.make(choice) is tasks.registry.make(pickle.loads(pickle.dumps(choice)))


THINGS = """
from dataclasses import dataclass
from typing import ClassVar, Final
from mibench.registry import option

CONSTANT = "constant"

@dataclass(frozen=True)
class Base:
    version = 1

@dataclass(frozen=True)
class Plain(Base):
    "Plain."
    text: str = option("x", "a text")
    maybe: str | None = option(None, "a text or none")
    where: str | None = option(None, "a path", identifies=False)
    name = "plain"

@dataclass(frozen=True)
class Annotated(Base):
    "Annotated."
    size: int = option(1, "a size")
    name: ClassVar[str] = "annotated"

class Last(Base):
    name: Final = "final"

class Named(Base):
    label = name = CONSTANT

if True:
    class Within(Base):
        name = "within"

class Computed(Base):
    name = "com" + "puted"

@dataclass(frozen=True)
class Forgotten(Base):
    name: str = "forgotten"
"""


@pytest.fixture
def things(tmp_path, monkeypatch):
    """A registry of classes that are written in every way, some of them in a subfolder."""
    folder = tmp_path / "some_things"
    (folder / "below" / "deep").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "zoo.py").write_text(THINGS)
    (folder / "below" / "deep" / "ant.py").write_text(
        "from some_things.zoo import Base\nclass Ant(Base):\n    name = 'ant'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield Registry("thing", "some_things")
    for module in [name for name in sys.modules if name.startswith("some_things")]:
        del sys.modules[module]


def test_classes_are_found_however_they_are_written(things):
    usable = ["ant", "plain", "annotated", "final", "constant", "within"]
    assert list(things.entries) == [*usable, "Computed", "Forgotten"]
    assert [name for name, _ in things.classes()] == usable
    assert all(things.load(name).name == name for name in usable)
    assert things.choose("annotated[size=2]").label == "annotated[size=2]"
    assert things.entries["annotated"].summary == "Annotated."
    assert things.entries["ant"].module == "some_things.below.deep.ant"
    assert (things.entries["ant"].kind, things.entries["ant"].family) == ("thing", "below/deep")
    assert (things.entries["plain"].kind, things.entries["plain"].family) == ("thing", "")


def test_a_name_that_cannot_be_read_is_said_and_not_passed_over(things):
    assert set(things.broken) == {"Computed", "Forgotten"}
    assert "literal" in things.broken["Computed"]
    with pytest.raises(mibench.UsageError, match=r"'Forgotten' of mibench is broken: .*ClassVar\[str\]"):
        things.get("Forgotten")


def nasty(longest):
    """Every text of so many characters that a label uses for something, and words that it uses."""
    letters = 'a,[]|="\\ \n∞'
    for length in range(longest + 1):
        yield from map("".join, itertools.product(letters, repeat=length))
    yield from ("none", "None", " none", '"none"', "inf", "true", "a,b/m[1].npz", "C:\\", '\\"', "x=1,y=2")


def test_every_text_can_be_an_option_and_is_read_back_from_its_label(things):
    for text in nasty(3):
        for option in ("text", "maybe"):
            choice = things.from_options("plain", {option: text})
            assert dict(choice.options)[option] == text
            assert things.choose(choice.label) == choice
            assert things.make(choice) == things.load("plain")(**{option: text})
            assert split_names(f"{choice.label},nce[k=1|2],{choice.label}") == [
                choice.label,
                "nce[k=1]",
                "nce[k=2]",
                choice.label,
            ]


def test_plain_texts_are_not_quoted(things):
    for text in ("2/4/6/8/10", "own images/m1.npz", "a=b", "C:\\mine.npz"):
        assert things.from_options("plain", {"text": text}).label == f"plain[text={text}]"


def test_quoted_values_are_alternatives_too():
    assert split_names('a[x="1|2"|"3,]"| 4,y=5]') == ['a[x="1|2",y=5]', 'a[x="3,]",y=5]', "a[x=4,y=5]"]


def test_an_option_that_says_where_data_are_is_not_part_of_the_identity(things):
    one, other = (things.choose("plain", text="t", where=where) for where in ("here.npz", "/there.npz"))
    assert one == other
    assert one.label == other.label == "plain[text=t]"
    assert one.identity == other.identity == things.choose("plain", text="t").identity
    assert (things.make(one).where, things.make(other).where) == ("here.npz", "/there.npz")
    assert things.make(pickle.loads(pickle.dumps(other))).where == "/there.npz"
    assert things.from_options(one.name, one.arguments).located == one.located


def test_every_class_says_what_it_is():
    for registry in (estimators.registry, tasks.registry, models.registry):
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
from mibench.estimators.base import Estimator, FromScores
from mibench.objectives import OfScores
from mibench.registry import option
from mibench.scores import positives
from mibench.tasks.gaussian import Gaussian

@dataclass(frozen=True)
class Spread(OfScores):
    title = "spread"
    def of(self, scores, state):
        return positives(scores).mean(-1) - scores.square().mean((-2, -1))

@dataclass(frozen=True)
class Mean(FromScores):
    """The mean of the joint scores."""
    shift: float = option(0.0, "added to it")
    name = "mean"
    @property
    def objective(self):
        return Spread()
    def estimate(self, scores):
        return positives(scores.double()).mean(-1) + self.shift

@dataclass(frozen=True)
class Twin(Gaussian):
    """A Gaussian by another name."""
    name = "twin"
'''
UNUSABLE = """
NUMBER = 3

@dataclass(frozen=True)
class Abstract(Estimator):
    name = "abstract"

@dataclass(frozen=True)
class Untyped(Mean):
    size: "Unknown" = option(1, "a size")
    name = "untyped"
"""
ENTRY_POINTS = """[mibench.estimators]
mean = plugin_of_another:Mean
[mibench.tasks]
twin = plugin_of_another:Twin
"""


BROKEN = {
    "missing = no_such_module:Mean": "ModuleNotFoundError: No module named 'no_such_module'",
    "lacks = plugin_of_another:Median": "AttributeError: module 'plugin_of_another' has no",
    "whole = plugin_of_another": "AttributeError",
    "raises = plugin_that_raises:Mean": "ZeroDivisionError: division by zero",
    "exits = plugin_that_exits:Mean": "SystemExit: 3",
    "syntax = plugin_of_no_syntax:Mean": "SyntaxError",
    "number = plugin_of_another:NUMBER": "NUMBER is not a subclass of mibench.estimators.base.Estimator",
    "twin = plugin_of_another:Twin": "Twin is not a subclass of mibench.estimators.base.Estimator",
    "abstract = plugin_of_another:Abstract": "Abstract does not define read",
    "other = plugin_of_another:Mean": "Mean has the name 'mean', its entry point 'other'",
    "untyped = plugin_of_another:Untyped": "NameError: name 'Unknown' is not defined",
    "two words = plugin_of_another:Mean": "its name has characters other than letters",
}


def install(folder, package, entry_points, **modules):
    """Put a package with entry points into a folder of the import path."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    info = folder / f"{package.replace('-', '_')}-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(entry_points)


def mibench_in(folder, *commands):
    """Run commands in one process with a folder on the import path; return each one's status and output."""
    code = (
        "import json, sys; from typer.testing import CliRunner; "
        f"sys.path.insert(0, {str(folder)!r}); from mibench.cli import app; "
        "done = [CliRunner().invoke(app, words.split()) for words in sys.argv[1:]]; "
        "print(json.dumps([(each.exit_code, each.output, repr(each.exception)) for each in done]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *commands], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def registry_of_estimators():
    """Return the registry of estimators as a new process has it."""
    known = estimators.registry
    return Registry(known.kind, known._source, known._group, known._base)


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for module in [name for name in sys.modules if name.startswith("plugin_")]:
        del sys.modules[module]


SMALL = "-n 4 --steps 2 --seeds 1 --device cpu"


def test_plugins_of_other_packages_run_like_our_own(tmp_path):
    install(tmp_path, "plugin-of-another", ENTRY_POINTS, plugin_of_another=PLUGIN)
    commands = {
        "list estimators": "mean",
        "info": "plugin-of-another 2.0",
        "describe mean": "shift",
        f"run -e mean[shift=2],infonce -t twin --dim 2 --mi 1 {SMALL}": "mean[shift=2]",
    }
    for word, (status, output, error) in zip(commands.values(), mibench_in(tmp_path, *commands), strict=True):
        assert status == 0, error
        assert word in output


@pytest.mark.parametrize("line", BROKEN)
def test_a_broken_plugin_disables_nothing_else(plugins, line):
    modules = {
        "plugin_of_another": PLUGIN + UNUSABLE,
        "plugin_that_raises": "1 / 0",
        "plugin_that_exits": "raise SystemExit(3)",
        "plugin_of_no_syntax": "def",
    }
    install(
        plugins,
        "plugin-of-another",
        f"[mibench.estimators]\nmean = plugin_of_another:Mean\n{line}",
        **modules,
    )
    found = registry_of_estimators()
    (name,) = found.broken
    assert name == line.partition(" = ")[0]
    assert found.broken[name].startswith(BROKEN[line])
    usable = [other for other, _ in found.classes()]
    assert usable == [*estimators.registry.entries, "mean"]
    with pytest.raises(mibench.UsageError, match=r"plugin-of-another 2\.0 is broken") as caught:
        found.load(name)
    assert BROKEN[line] in caught.value.what
    assert found.get("mean[shift=1]").shift == 1


def test_the_command_line_lists_a_broken_plugin_and_goes_on(tmp_path):
    """A plug-in that cannot be imported is in `list` and `info`; asked for, it is the user's mistake."""
    lines = ENTRY_POINTS + "[mibench.encoders]\nlost = no_such_module:Lost\n"
    install(tmp_path, "plugin-of-another", lines, plugin_of_another=PLUGIN)
    reason = "ModuleNotFoundError: No module named 'no_such_module'"
    listed, rows, info, unsuited, asked, debug, other = mibench_in(
        tmp_path,
        "list encoders",
        "list encoders --json",
        "info --json",
        f"run -t digits --encoder cpc {SMALL}",
        f"run -t digits --encoder lost {SMALL}",
        "describe lost --debug",
        f"run -e infonce --dim 2 --dry-run {SMALL}",
    )
    assert f"broken (plugin-of-another 2.0): {reason}" in listed[1]
    assert {row["name"]: row["broken"] for row in json.loads(rows[1]) if row["broken"]} == {"lost": reason}
    assert json.loads(info[1])["broken"] == [f"encoder lost (plugin-of-another 2.0): {reason}"]
    assert unsuited[0] == asked[0] == 2
    assert "simclr" in unsuited[1]
    assert len(asked[1].strip().splitlines()) == 2
    assert reason in asked[1]
    assert debug[0] == 2
    assert "Traceback" in debug[1]
    assert reason in debug[1]
    assert other[0] == 0


FAULTY = """
from dataclasses import dataclass
from mibench.estimators.base import FromSamples
from mibench.models.base import Model

@dataclass(frozen=True)
class Faulty(FromSamples):
    name = "faulty"
    @property
    def objective(self):
        return 1 / 0
    def estimate_from(self, x, y):
        return x.mean((-1, -2))

@dataclass(frozen=True)
class Unmade(FromSamples):
    name = "unmade"
    def __post_init__(self):
        1 / 0
    def estimate_from(self, x, y):
        return x.mean((-1, -2))

@dataclass(frozen=True)
class Unchecked(FromSamples):
    name = "unchecked"
    def check(self, n, pair=None):
        1 / 0
    def estimate_from(self, x, y):
        return x.mean((-1, -2))

@dataclass(frozen=True)
class Kindless(Model):
    name = "kindless"
    def initialise(self, dims, generator, dtype):
        return {}
"""


@pytest.fixture(scope="module")
def among_faulty(tmp_path_factory):
    """Return a folder with a package whose classes can be imported and raise where they are used."""
    folder = tmp_path_factory.mktemp("faulty")
    names = ("faulty", "unmade", "unchecked")
    lines = [f"{name} = plugin_faulty:{name.capitalize()}" for name in names]
    groups = ["[mibench.estimators]", *lines, "[mibench.models]", "kindless = plugin_faulty:Kindless"]
    install(folder, "faulty", "\n".join([*groups, "lost = no_such_module:Lost"]), plugin_faulty=FAULTY)
    return folder


def test_what_a_plugin_raises_is_said_to_be_its_fault(among_faulty):
    commands = [f"run -e {name} -n 4 --seeds 1 --device cpu" for name in ("faulty", "unmade", "unchecked")]
    commands += ["describe faulty", f"check -e faulty --save x.json {SMALL}", f"run -c kindless {SMALL}"]
    for status, output, error in mibench_in(among_faulty, *commands):
        assert status == 2, (output, error)
        assert len(output.strip().splitlines()) == 2
        assert "of faulty 2.0 is broken: " in output


def test_a_broken_model_leaves_the_advice_on_models(among_faulty):
    untrained, conditional, critics = mibench_in(
        among_faulty, "run -e ksg -c joint -n 4 --device cpu", f"run -e doe -c joint {SMALL}", "list critics"
    )
    assert untrained[0] == conditional[0] == 2
    assert "Leave out --critic." in untrained[1]
    assert "give one of: gaussian-mlp" in conditional[1]
    assert critics[0] == 0
    assert "kindless" not in critics[1]


def test_what_cannot_be_tested_is_said_and_the_others_are_tested(among_faulty):
    (done,) = mibench_in(among_faulty, "validate faulty ksg[k=500] nce[k=200] bilinear")
    assert done[0] == 1
    assert "can be tested: FAILED: ZeroDivisionError" in done[1]
    assert done[1].count("can be tested: FAILED: expected an estimator that works on batches of 200") == 2
    assert "model bilinear\n  documented: ok" in done[1]


CLASHING = """
from dataclasses import dataclass
from mibench.estimators.scores.nwj import NWJ
from mibench.registry import option

@dataclass(frozen=True)
class Another(NWJ):
    shift: float = option(0.0, "added to it")
    name = "nwj"
"""


def test_a_plugin_with_a_builtin_name_has_its_package_before_it(plugins):
    install(plugins, "another", "[mibench.estimators]\nnwj = plugin_another:Another", plugin_another=CLASHING)
    found = registry_of_estimators()
    assert not found.broken
    assert found.load("nwj") is estimators.registry.load("nwj")
    assert found.choose("nwj") == estimators.registry.choose("nwj")
    other = found.choose("another/nwj[shift=1]")
    assert other.label == "another/nwj[shift=1]"
    assert other.identity["name"] == "another/nwj"  # or the two would share stored results
    assert found.make(other).shift == 1
    assert found.choose(other.label) == other
    assert split_names("nwj,another/nwj[shift=1]") == ["nwj", "another/nwj[shift=1]"]


def test_two_plugins_of_one_name_both_have_their_package_before_it(plugins):
    for package in ("one", "two"):
        text = CLASHING.replace('"nwj"', '"mean"').replace("0.0", "1.0" if package == "one" else "2.0")
        lines = f"[mibench.estimators]\nmean = plugin_{package}:Another"
        install(plugins, package, lines, **{f"plugin_{package}": text})
    found = registry_of_estimators()
    assert [found.get(name).shift for name in ("one/mean", "two/mean")] == [1.0, 2.0]
    assert "nwj" in dict(found.classes())
    with pytest.raises(mibench.UsageError, match="Several packages have an estimator 'mean'") as caught:
        found.get("mean")
    assert "one/mean" in caught.value.how
    assert "two/mean" in caught.value.how


def test_our_own_classes_are_listed_without_importing_them():
    code = (
        "import sys; from mibench import encoders, estimators, models, tasks; "
        "from mibench.engine import protocols; "
        "[part.registry.broken for part in (encoders, estimators, protocols, tasks, models)]; "
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_nothing_of_our_own_is_broken():
    for part in (encoders, estimators, protocols, tasks, models):
        assert not [name for name, entry in part.registry.entries.items() if entry.reason]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: estimators.registry.load("ksg")(k=2.5), "k of 'ksg' must be a whole number, not 2.5"),
        (lambda: estimators.registry.load("nce")(k=2.5), "k of 'nce' must be a whole number, not 2.5"),
        (lambda: tasks.registry.load("cubic")(dim=2.5), "dim of 'cubic' must be a whole number, not 2.5"),
        (lambda: models.registry.load("joint")(hidden="8"), "hidden of 'joint' must be a whole number"),
        (lambda: protocols.registry.load("samples")(every=2.5), "every of 'samples' must be a whole"),
        (lambda: protocols.registry.load("staircase")(span=2.5), "span of 'staircase' must be a whole"),
        (lambda: encoders.registry.load("cpc")(steps=2.5), "steps of 'cpc' must be a whole number"),
        (lambda: estimators.get(f"nce[k={2**53}]"), "between -2^53 and 2^53"),
        (lambda: estimators.get("ksg", k=10**400), "must be a number"),
        (lambda: estimators.get("mmg", low=-1e9, high=1e9), "low of 'mmg' must lie between -100 and 100"),
        (lambda: estimators.get("mmg", high=math.nextafter(100, 101)), "high of 'mmg' must lie between"),
        (lambda: estimators.registry.load("mmg")(low=math.nan), "low of 'mmg' must lie between"),
    ],
)
def test_options_that_cannot_be_are_refused_in_python_too(make, what):
    with pytest.raises(mibench.UsageError) as caught:
        make()
    assert what in caught.value.what
