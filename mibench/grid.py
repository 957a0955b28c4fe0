"""The settings of a grid of runs, each declared once.

A field of `Grid` says what a setting means, how it is read, where it is stored and what it is by default. The
options of the commands, the arguments of the Python verbs and their documentation, the keys of suites, the
settings of a baseline and the columns that make a cell are derived from it. Importing this module imports
neither torch nor pandas.
"""

from __future__ import annotations

import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from os import PathLike
from typing import Any, ParamSpec, TypeAlias, TypedDict, TypeVar, get_args, get_origin, get_type_hints

from mibench.errors import UsageError, unknown
from mibench.notation import split_names, text_of
from mibench.options import path_of, real_number, whole_number
from mibench.presets import FILLED, PRESETS
from mibench.spec import PRECISIONS, SCHEDULES, Fit, RunSpec

T = TypeVar("T")
P = ParamSpec("P")
OneOrMore: TypeAlias = T | Iterable[T]


AUTO = "auto"
"""Of a setting that is left to us."""


class Words(str):
    """A default that depends on the other settings, in words; where it is given, nothing is read."""


@dataclass(frozen=True)
class Setting:
    """What is known of one setting.

    Attributes:
        help: what it means; `--mi` stands for `mi` in Python.
        flags: of the command line. Long ones beside the setting's own are its other names in Python.
        read: makes the field's value of what a user gave; the setting's name is for messages.
        default: what stands for it where it is not given, as a user would type it, or in words where that
            depends on other settings; `by_verb` where a verb has another one.
        kind: type of one value: str, int or float.
        many: whether there may be several values, of which each makes runs of its own.
        metavar: what stands for a value in help texts.
        of: its value in a run; None where it has none, since it only says where runs are done.
        level: whether it is an option of the task.
        columns: where records have it.
    """

    help: str
    flags: tuple[str, ...]
    read: Callable[[Any, str], Any]
    kind: type
    many: bool
    metavar: str
    of: Callable[[RunSpec], Any] | None
    columns: tuple[str, ...]
    default: str | None = None
    by_verb: Mapping[str, str | None] = field(default_factory=dict)
    level: bool = False

    def default_of(self, verb: str) -> str | None:
        """Return what stands for the setting where a verb is not given it."""
        return self.by_verb.get(verb, self.default)


def setting(help: str, *more_flags: str, **about: Any) -> Any:  # noqa: ANN401 - a field is of its class's type
    """Declare a setting as a field of `Grid`, by the attributes of `Setting`.

    Left out, they follow from the field's name and type; `more_flags` are those beside the one with its name.
    """
    return field(metadata={"help": help, "more_flags": more_flags, **about})


OWN = "own"
"""The n of training that stands for the n that is read."""


# ---- how values are read


def plain(value: Any) -> Any:  # noqa: ANN401 - any value
    """Return the numbers of an array, a tensor or a column, with its brackets; anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def items(value: Any) -> list[Any]:  # noqa: ANN401 - a value, a text of values, or several of either
    """Return the items of `4`, `"2,4"`, `[2, 4]`, `["2,4", "6"]` or of an array."""
    value = plain(value)
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    if isinstance(value, Iterable):
        return [item for part in value for item in items(part)]
    return [value]


def some(values: Iterable[T], what: str) -> tuple[T, ...]:
    """Return values, or raise a UsageError where there is none."""
    found = tuple(values)
    if not found:
        raise UsageError(f"No {what} is given.", f"Give at least one {what}.")
    return found


def one_of(value: str, what: str, allowed: Collection[str]) -> str:
    """Return a value that is among those allowed, or raise a UsageError that names the nearest."""
    if not isinstance(value, str) or value not in allowed:
        raise unknown(what, str(value), allowed, f"It is one of: {', '.join(allowed)}.")
    return value


def _paths(value: OneOrMore[PathLike[str] | str], what: str) -> tuple[str, ...]:
    """Return paths as they are: one may hold a comma."""
    return some((str(path_of(path, what)) for path in _several(value)), what)


def _text(value: str, _: str) -> str:
    return str(value)


def _names(value: OneOrMore[str], what: str) -> tuple[str, ...]:
    """Return names with options, of which each stands for one thing."""
    texts = (text_of(text, what) for text in _several(value))
    return some((name for text in texts for name in split_names(text)), what)


def _several(value: Any) -> Iterable[Any]:  # noqa: ANN401 - a value, or a list of them
    """Return the values of a list, or the only one."""
    value = plain(value)
    is_one = isinstance(value, str) or not isinstance(value, Iterable)
    return [value] if is_one else value


def _each(convert: Callable[[Any, str], T]) -> Callable[[Any, str], tuple[T, ...]]:
    return lambda value, what: tuple(convert(item, what) for item in some(items(value), what))


def _seeds(value: OneOrMore[int | str], _: str) -> tuple[int, ...]:
    """Return the seeds of `3` (0, 1, 2), `"2:5"` (2, 3, 4) or a list of them."""
    value = plain(value)
    given = some(items(value), "seed")
    alone = given[0] if len(given) == 1 else None
    if isinstance(alone, str) and ":" in alone:
        first, _, end = alone.partition(":")
        start = whole_number(first or 0, "first seed", least=0)
        return tuple(range(start, whole_number(end, "end of the seeds", least=start + 1)))
    if alone is not None and (not isinstance(value, Iterable) or isinstance(alone, str)):
        return tuple(range(whole_number(alone, "seeds", least=1)))
    return tuple(whole_number(item, "seed", least=0) for item in given)


def _workers(value: int | str, what: str) -> str:
    """Return a number of processes as a text, or `auto`."""
    return AUTO if value == AUTO else str(whole_number(value, what, least=1))


def _rate(value: float | str, what: str) -> float:
    rate = real_number(value, what)
    if rate <= 0:
        raise UsageError(f"{what} must be positive, not {rate:g}.", "Give a learning rate above 0.")
    return rate


def _train_n(value: int | str, what: str) -> int | None:
    """Return the n of training batches; None where each n trains a model of its own."""
    if value == OWN:
        return None
    try:
        return whole_number(value, what, least=2)
    except UsageError as error:
        raise UsageError(
            error.what, f"Give whole numbers of at least 2, or {OWN}: each n trains a model of its own."
        ) from None


def _flags(names: Iterable[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


# ---- the settings


@dataclass(frozen=True)
class Grid:
    """A grid of runs that has been read: every combination of its values is a cell, at each of the seeds.

    A setting without a value, `()` or None, is left to the others: to the task, the protocol or the schedule.
    """

    estimator: tuple[str, ...] = setting(
        "Estimators, such as infonce or nce[k=5].",
        "-e",
        of=lambda run: run.estimator.label,
        default="infonce",
        by_verb={"check": Words("all of mibench's own"), "estimate": "infonce,nwj,mine,smile"},
    )
    task: tuple[str, ...] = setting(
        "Tasks with known true MI, such as cpc[horizon=1|4].",
        "-t",
        of=lambda run: run.task.name,
        default="gaussian",
        by_verb={"estimate": None},
    )
    dim: tuple[int, ...] = setting(
        "Coordinates of x and of y.",
        "-d",
        level=True,
        columns=("dim_x", "dim_y"),
        default=Words("the task's own"),
        by_verb={"check": "5"},
    )
    mi: tuple[float, ...] = setting(
        "True MI in nats.",
        level=True,
        columns=("true_mi_nats",),
        default=Words("2,4,6,8,10 for gaussian and cubic, else the task's own"),
        by_verb={"check": "0.5,1.5"},
    )
    rho: tuple[float, ...] = setting(
        "Correlation of each coordinate, in place of --mi.",
        level=True,
        columns=(),
    )
    data: tuple[str, ...] = setting(
        "Files with your own labelled images (.npz), for task digits.",
        read=_paths,
        metavar="PATHS",
        level=True,
        of=lambda run: dict(run.task.options).get("sha256"),  # a file is its contents, wherever it is
        columns=(),
    )
    encoder: tuple[str, ...] = setting(
        "What stands between task and critic, such as simclr[temperature=0.1|0.5] (two values, two "
        "encoders), or none.",
        of=lambda run: run.encoder and run.encoder.label,
        default=Words("the task's own"),
    )
    n: tuple[int, ...] = setting(
        "Rows in a batch that is read: the size of the score matrix.",
        flags=("-n",),
        read=_each(functools.partial(whole_number, least=2)),
        of=lambda run: run.n,
        default="16,32,64,128",
        by_verb={"compare": "64", "check": "64", "estimate": Words("as the data allow, up to 500")},
    )
    critic: tuple[str, ...] = setting(
        "The model that is trained: critics such as separable, bilinear, joint or embedding.",
        "--model",
        "-c",
        of=lambda run: run.fit and run.fit.model.label,
        default=Words("the task's own; most: separable"),
        by_verb={"check": "separable[hidden=64]"},
    )
    train_n: tuple[int | None, ...] = setting(
        "Rows in a training batch, for protocol stream: one model is trained at each, and read at every -n; "
        f"{OWN}: each n trains a model of its own.",
        read=_each(_train_n),
        of=lambda run: run.fit and run.fit.train_n,
        default=OWN,
    )
    anchors: tuple[int, ...] = setting(
        "Of a batch that is read, how many rows are scored against all n candidates, for protocol stream.",
        read=_each(functools.partial(whole_number, least=1)),
        of=lambda run: run.fit and run.fit.anchors,
        default=Words(
            "all n up to n = 2048, and 1024 above; batches are read until the standard error is 0.02 nats"
        ),
    )
    protocol: tuple[str, ...] = setting(
        "How data are seen, such as stream: fresh data at each step; staircase: the published protocol, "
        "where one critic is trained while the true MI is stepped up through --mi; samples: a fixed data set "
        "with early stopping.",
        "-p",
        of=lambda run: run.protocol.label,
        default=Words("stream, or samples where --samples is given"),
    )
    samples: tuple[int, ...] = setting(
        "Sizes of the data set, for protocol samples.",
        of=lambda run: dict(run.protocol.options).get("size"),
        default=Words("10000"),
    )
    steps: int | None = setting(
        "Training steps, on a data set at most.",
        read=functools.partial(whole_number, least=1),
        of=lambda run: run.fit and run.fit.steps,
        default=Words("1000; 4000 per level of a staircase; 2000 on samples"),
        by_verb={"check": "300", "estimate": "2000"},
    )
    seeds: tuple[int, ...] = setting(
        "How many seeds, or which: 0:8, or a list.",
        read=_seeds,
        metavar="COUNT",
        of=lambda run: run.seed,
        columns=("seed",),
        default="5",
        by_verb={"compare": "12", "check": "16", "estimate": "5", "reproduce": Words("the suite's")},
    )
    lr: float | None = setting(
        "Learning rate: the peak of one-cycle, or the constant rate.",
        read=_rate,
        of=lambda run: run.fit and run.fit.lr,
        default=Words("0.002 for one-cycle, 0.0005 for constant"),
    )
    schedule: str | None = setting(
        "one-cycle, or constant as in the published experiments.",
        read=functools.partial(one_of, allowed=SCHEDULES),
        of=lambda run: run.fit and run.fit.schedule,
        default=Words("one-cycle on the stream, else constant"),
        by_verb={"estimate": "constant"},
    )
    preset: str | None = setting(
        f"{', '.join(PRESETS)}: fills in those of {_flags(FILLED)} that are not given, for critics under "
        "protocol stream.",
        read=functools.partial(one_of, allowed=PRESETS),
        of=None,  # a run has the settings that it fills in
        columns=(),
    )
    precision: str = setting(
        "float32, float64, or tf32 on CUDA.",
        read=functools.partial(one_of, allowed=PRECISIONS),
        of=lambda run: run.fit and run.fit.precision,
        default="float32",
    )
    device: str = setting(
        "auto, cpu, cuda or cuda:1.",
        read=_text,
        columns=(),
        default=AUTO,
    )
    workers: str | None = setting(
        "Processes that train at once, each with its share of the threads or a GPU of its own; 1 is this "
        "process.",
        read=_workers,
        metavar="COUNT",
        columns=(),
        default=AUTO,
        by_verb={"check": Words("1")},
    )
    scheduler: str | None = setting(
        "A Dask scheduler whose workers train: its address or file, or local for a cluster on this machine.",
        read=_text,
        metavar="ADDRESS",
        columns=(),
    )
    backend: str | None = setting(
        "What trains the models, in place of --workers and --scheduler: a name, such as local.",
        read=_text,
        columns=(),
    )


class PlaceArguments(TypedDict, total=False):
    """Where runs are done, as keyword arguments; type checkers need them written out."""

    device: str | None
    workers: int | str | None
    scheduler: str | None
    backend: str | None


class FitArguments(PlaceArguments, total=False):
    """How a pair is read and a model trained, and where."""

    n: OneOrMore[int | str] | None
    critic: OneOrMore[str] | None
    model: OneOrMore[str] | None
    steps: int | str | None
    seeds: OneOrMore[int | str] | None
    lr: float | str | None
    schedule: str | None
    precision: str | None


class GridArguments(FitArguments, total=False):
    """All settings of a grid as keyword arguments, but the estimator and the task."""

    dim: OneOrMore[int | str] | None
    mi: OneOrMore[float | str] | None
    rho: OneOrMore[float | str] | None
    data: OneOrMore[str] | None
    encoder: OneOrMore[str] | None
    protocol: OneOrMore[str] | None
    samples: OneOrMore[int | str] | None
    train_n: OneOrMore[int | str] | None
    anchors: OneOrMore[int | str] | None
    preset: str | None


# ---- what follows from them

_READERS: dict[type, Callable[[Any, str], Any]] = {
    str: _names,
    int: _each(whole_number),
    float: _each(real_number),
}


def _declared(name: str, hint: Any, more_flags: Sequence[str], **about: Any) -> Setting:  # noqa: ANN401
    """Return the setting that a field of `Grid` declares."""
    many, kind = get_origin(hint) is tuple, hint
    while get_args(kind):
        kind, *_ = get_args(kind)
    usual: dict[str, Any] = {
        "flags": (f"--{name.replace('_', '-')}", *more_flags),
        "read": _READERS[kind],
        "metavar": ("NAME" if kind is str else "NUMBER") + ("S" if many else ""),
        "of": (lambda run: dict(run.task.options).get(name)) if about.get("level") else None,
        "columns": (name,),
    }
    return Setting(kind=kind, many=many, **usual | about)


_HINTS = get_type_hints(Grid)
SETTINGS = {each.name: _declared(each.name, _HINTS[each.name], **each.metadata) for each in fields(Grid)}

COLUMNS: tuple[str, ...] = tuple(column for about in SETTINGS.values() for column in about.columns)
"""The columns of a record that hold its settings."""

CELL: tuple[str, ...] = tuple(column for column in COLUMNS if column != "seed")
"""What makes a cell of a grid: everything but the seed."""

PLACES: tuple[str, ...] = tuple(PlaceArguments.__annotations__)
"""The settings that only say where runs are done."""

FIT: tuple[str, ...] = tuple(
    column for column in CELL if column in ("critic", *(each.name for each in fields(Fit)))
)
"""Those of them that say what is trained and how; null for estimators that train nothing."""

_OTHER_NAMES = {
    flag.removeprefix("--"): name
    for name, about in SETTINGS.items()
    for flag in about.flags[1:]
    if flag.startswith("--")
}
"""Of settings in Python: "model" is the critic."""


def read(verb: str, given: Mapping[str, Any]) -> Grid:
    """Return a grid of what a verb is given, and of its defaults; None is not given.

    Raises:
        UsageError: an unknown setting, or a value that is not allowed.
    """
    values = {name: value for name, value in given.items() if value is not None}
    for other, name in _OTHER_NAMES.items():
        if other in values and name in values:
            raise UsageError(f"{name} and {other} are given together.", "Give one: they are the same.")
        if other in values:
            values[name] = values.pop(other)
    for name in values:
        if name not in SETTINGS:
            raise unknown("setting", name, SETTINGS, f"It is one of: {', '.join(SETTINGS)}.")
    grid: dict[str, Any] = {}
    for name, about in SETTINGS.items():
        usual = None if "preset" in values and name in FILLED else about.default_of(verb)
        value = values.get(name, usual)
        left_open = value is None or isinstance(value, Words)
        grid[name] = (() if about.many else None) if left_open else about.read(value, name)
    return Grid(**grid)


def defaults(verb: str) -> dict[str, str]:
    """Return the defaults of a verb that depend on nothing else, as a user would type them."""
    texts = {name: about.default_of(verb) for name, about in SETTINGS.items()}
    return {name: text for name, text in texts.items() if text is not None and not isinstance(text, Words)}


def values_of(run: RunSpec) -> dict[str, Any]:
    """Return the value of each setting in a run; None where it has no meaning there."""
    return {name: about.of(run) for name, about in SETTINGS.items() if about.of is not None}


def takes(arguments: type[Any]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Complete a Python verb whose `**settings` are those of a TypedDict.

    An unknown keyword is a UsageError that names the nearest, `{settings}` in the docstring becomes a line
    for each setting, and `inspect.signature` has them with their defaults.
    """

    def decorate(verb: Callable[P, T]) -> Callable[P, T]:
        own = inspect.signature(verb).parameters
        known = [*(name for name in own if name != "settings"), *arguments.__annotations__]
        shown = [name for name in SETTINGS if name in known]

        @functools.wraps(verb)
        def completed(*args: P.args, **kwargs: P.kwargs) -> T:
            for name in kwargs:
                if name not in known:
                    raise unknown("argument", name, known, f"help(mibench.{verb.__name__}) shows all.")
            return verb(*args, **kwargs)

        lines = "\n".join(_documented(name, verb.__name__) for name in shown).lstrip()
        completed.__doc__ = (verb.__doc__ or "").replace("{settings}", lines)
        completed.__signature__ = _signature(verb, shown)  # type: ignore[attr-defined]
        return completed

    return decorate


def _signature(verb: Callable[..., Any], shown: Collection[str]) -> inspect.Signature:
    texts, found = defaults(verb.__name__), inspect.signature(verb)
    own = {each.name: each for each in found.parameters.values() if each.kind is not each.VAR_KEYWORD}
    more = {
        name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in shown if name not in own
    }
    completed = [
        each.replace(default=texts.get(name)) if name in shown else each
        for name, each in (own | more).items()
    ]
    return found.replace(parameters=completed)


def _documented(name: str, verb: str) -> str:
    about = SETTINGS[name]
    default = about.default_of(verb)
    text = f"{name}: {about.help}" + (f" Default: {default}." if default else "")
    text = re.sub(r"--(\w)", r"\1", text)  # flags of the command line are arguments here
    return textwrap.fill(
        text, 100, initial_indent=" " * 8, subsequent_indent=" " * 12, break_on_hyphens=False
    )
