"""Names that users type: `nce`, `nce[k=5]`, and the classes behind them.

A class is registered by standing in the right folder with a literal `name = "..."` in its body, or by an
entry point of another package. Its options are its dataclass fields. The names are read from the source
text, so that listing them imports neither the modules nor torch.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import itertools
import math
import re
import types
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from mibench.errors import UsageError, unknown

T = TypeVar("T")
Value = str | int | float | bool | None

_CHOICE = re.compile(r"(?P<name>[\w./-]+)(\[(?P<options>[^\[\]]*)\])?")


@dataclasses.dataclass(frozen=True)
class Choice:
    """A registered name with every option resolved; the part of a run's identity that it is.

    `label` is what tables print and records store: the name with those options that differ from their
    defaults. `options` has all of them, so that a changed default is a changed identity.
    """

    name: str
    version: int
    options: tuple[tuple[str, Value], ...]
    label: str

    @property
    def identity(self) -> dict[str, Any]:
        """What enters the key of a run, as JSON values."""
        return {"name": self.name, "version": self.version, "options": dict(self.options)}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One registered class: where it is and what its docstring's first line says."""

    name: str
    module: str
    attribute: str
    summary: str
    origin: str

    def load(self) -> type[Any]:
        """Import the module and return the class."""
        found: type[Any] = getattr(importlib.import_module(self.module), self.attribute)
        return found


def option(default: Any, help: str) -> Any:  # noqa: ANN401 - a dataclass field is of its class's type
    """Declare an option of a registered class: a dataclass field with a line of help."""
    return dataclasses.field(default=default, metadata={"help": help})


class Registry(Generic[T]):
    """The classes of one kind, by name.

    Args:
        kind: what messages call them: "estimator".
        source: the module or package in whose files they stand.
        group: the entry-point group through which other packages add to them, if they may.
        unlabelled: options that a label leaves out because tables show them in columns of their own; a class
            may have others, in an attribute of that name.
    """

    def __init__(
        self, kind: str, source: str, group: str | None = None, unlabelled: tuple[str, ...] = ()
    ) -> None:
        self.kind = kind
        self._source = source
        self._group = group
        self._unlabelled = unlabelled

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """Every registered class by name; the project's own first, then the plug-ins'."""
        found = {entry.name: entry for path, module in self._files() for entry in _read(path, module)}
        for point in entry_points(group=self._group) if self._group else ():
            if point.name in found:
                raise UsageError(
                    f"Two {self.kind}s are called {point.name!r}: {found[point.name].origin} "
                    f"and {_origin(point)}.",
                    "Uninstall one of the two packages, or rename its entry point.",
                )
            found[point.name] = Entry(
                point.name, point.module, point.attr, f"from {point.value}", _origin(point)
            )
        return found

    def choose(self, text: str, **levels: Value) -> Choice:
        """Resolve what a user typed, `"nce[k=5]"`, with further options by keyword.

        Raises:
            UsageError: an unknown name or option, an option given twice, or a value that is not allowed.
        """
        name, given = parse(text, self.kind)
        for key, value in levels.items():
            if value is not None and key in given:
                raise UsageError(
                    f"{self.kind.capitalize()} {text!r} is given {key} twice.", f"Give {key} once."
                )
        given |= {key: value for key, value in levels.items() if value is not None}
        return self.describe(self._build(name, given))

    def make(self, choice: Choice) -> T:
        """Return the object of a choice."""
        return self._build(choice.name, dict(choice.options))

    def get(self, text: str, **options: Value) -> T:
        """Return the object of what a user typed: `get("nce[k=5]")` or `get("nce", k=5)`."""
        return self.make(self.choose(text, **options))

    def describe(self, made: T) -> Choice:
        """Return the choice that an object was made of."""
        fields = dataclasses.fields(made)  # type: ignore[arg-type]
        options = sorted((field.name, getattr(made, field.name)) for field in fields)
        kind = type(made)
        name, version = kind.name, kind.version  # type: ignore[attr-defined]
        shown = label(name, made, getattr(kind, "unlabelled", self._unlabelled))
        return Choice(name, version, tuple(options), shown)

    def load(self, name: str) -> type[T]:
        """Return the class of that name."""
        if name not in self.entries:
            raise unknown(self.kind, name, self.entries, f"'mibench list {self.kind}s' shows all.")
        return self.entries[name].load()

    def _build(self, name: str, given: Mapping[str, Any]) -> T:
        kind = self.load(name)
        hints = get_type_hints(kind)
        known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
        for key in given:
            if key not in known:
                see = f"'mibench describe {name}' shows its options."
                raise unknown(f"option of {self.kind} {name!r}:", key, known, see)
        values = {
            key: _convert(value, hints[key], f"{key} of {self.kind} {name!r}") for key, value in given.items()
        }
        return kind(**values)

    def _files(self) -> Iterator[tuple[Path, str]]:
        """Yield the files of the source, folders within it included, and the names of their modules."""
        spec = importlib.util.find_spec(self._source)
        origin = Path(spec.origin if spec and spec.origin else "")
        if origin.name != "__init__.py":
            yield origin, self._source
            return
        for path in sorted(origin.parent.rglob("*.py")):
            parts = path.relative_to(origin.parent).with_suffix("").parts
            yield path, ".".join([self._source, *(part for part in parts if part != "__init__")])


def label(name: str, made: Any, unlabelled: tuple[str, ...] = ()) -> str:  # noqa: ANN401 - any dataclass
    """Return a name with those options of an object that differ from their defaults."""
    fields = sorted(dataclasses.fields(made), key=lambda field: field.name)
    shown = [
        f"{field.name}={_show(getattr(made, field.name))}"
        for field in fields
        if getattr(made, field.name) != field.default and field.name not in unlabelled
    ]
    return name + (f"[{','.join(shown)}]" if shown else "")


def parse(text: str, kind: str) -> tuple[str, dict[str, Any]]:
    """Split `"nce[k=5]"` into its name and its options as text."""
    match = _CHOICE.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"Cannot read {text!r}: no {kind} can have this name.",
            "Write a name, or a name with options: name[option=value,option=value].",
        )
    options: dict[str, Any] = {}
    for part in filter(None, (match["options"] or "").split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key or not value or key in options:
            raise UsageError(
                f"Cannot read the option {part.strip()!r} in {text!r}.",
                "Write each option once, as option=value.",
            )
        options[key] = value
    return match["name"], options


def split_names(text: str) -> list[str]:
    """Split a list of names at the commas outside brackets: `"mine,nce[k=5,normalizer=learned]"`.

    An option with several values, `nce[k=1|4|16]`, stands for a name at each of them.
    """
    return [each for name in re.split(r",(?![^\[]*\])", text) for each in _alternatives(name.strip())]


def _alternatives(name: str) -> Iterator[str]:
    head, bracket, rest = name.partition("[")
    if "|" not in rest:
        yield name
        return
    options, end, after = rest.partition("]")
    values = []
    for option in options.split(","):
        key, equals, several = option.partition("=")
        values.append([f"{key}{equals}{value.strip()}" for value in several.split("|")])
    for chosen in itertools.product(*values):
        yield f"{head}{bracket}{','.join(chosen)}{end}{after}"


def describe_class(kind: str, described: type[Any]) -> dict[str, Any]:
    """Return what is to be said of a registered class, as JSON values."""
    facts = {
        "name": described.name,
        "kind": kind,
        "summary": (described.__doc__ or "").partition("\n")[0],
        "formula": getattr(described, "formula", None),
        "ceiling": getattr(described, "ceiling_formula", None),
        "bias": getattr(described, "direction", None),
        "trained on": getattr(described, "source", None) if kind == "encoder" else None,
        "encoder": getattr(described, "default_encoder", None),
        "reference": getattr(described, "reference", None),
        "bibtex": getattr(described, "bibtex", None),
    }
    rows = option_rows(described)
    options = [dict(zip(("name", "default", "help"), row, strict=True)) for row in rows]
    return {key: value for key, value in facts.items() if value} | {"options": options}


def option_rows(kind: type[Any]) -> list[tuple[str, str, str]]:
    """Return (name, default, help) for each option of a registered class."""
    return [
        (field.name, _show(field.default), field.metadata.get("help", ""))
        for field in dataclasses.fields(kind)
    ]


def _show(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def _read(path: Path, module: str) -> Iterator[Entry]:
    for node in ast.parse(path.read_text("utf-8")).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for statement in node.body:
            match statement:
                case ast.Assign(targets=[ast.Name(id="name")], value=ast.Constant(value=str(name))):
                    summary = (ast.get_docstring(node) or "").partition("\n")[0]
                    yield Entry(name, module, node.name, summary, "mibench")


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def _convert(value: Any, hint: Any, what: str) -> Value:  # noqa: ANN401 - any value, any annotation
    """Convert what a user gave for an option to the annotated type of its field."""
    if get_origin(hint) in (Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        (hint,) = (kind for kind in get_args(hint) if kind is not type(None))
    if get_origin(hint) is Literal:
        return _one_of(value, get_args(hint), what)
    if hint is bool:
        return {"true": True, "false": False}[_one_of(str(value).lower(), ("true", "false"), what)]
    if hint is str:
        return str(value)
    if hint is int:
        return whole_number(value, what)
    return real_number(value, what)


def _one_of(value: Any, allowed: tuple[str, ...], what: str) -> str:  # noqa: ANN401
    if value not in allowed:
        raise UsageError(f"{what} cannot be {value!r}.", f"It is one of: {', '.join(allowed)}.")
    return str(value)


def whole_number(value: Any, what: str, least: int | None = None) -> int:  # noqa: ANN401
    """Return a value as an int, or raise a UsageError that names `what`."""
    number = real_number(value, what)
    if number != int(number):
        raise UsageError(f"{what} must be a whole number, not {value!r}.", "Give a whole number.")
    exact = int(value) if isinstance(value, str) and value.strip().lstrip("+-").isdigit() else int(number)
    if least is not None and exact < least:
        raise UsageError(f"{what} must be at least {least}, not {exact}.", f"Give {least} or more.")
    return exact


def real_number(value: Any, what: str) -> float:  # noqa: ANN401
    """Return a value as a finite float (never -0.0), or raise a UsageError that names `what`."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{what} must be a number, not {value!r}.", "Give a finite number.")
    return number + 0.0
