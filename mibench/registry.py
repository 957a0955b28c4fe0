"""Names that users type: `nce`, `nce[k=5]`, and the classes behind them.

A class is registered by standing in the right folder, or a folder below it, with `name = "..."` in its body,
or by an entry point of another package. Its options are its dataclass fields. The names of the project's own
classes are read from the source text, so that listing them imports neither the modules nor torch.

A plug-in that cannot be used, or whose name is taken, disables nothing else: it is listed with the reason,
or is reachable as `package/name`.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib.util
import inspect
import pkgutil
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from mibench.errors import UsageError, unknown
from mibench.notation import NAME, parse, verbatim
from mibench.options import Value as Value
from mibench.options import label, options_of, values_of
from mibench.options import option as option

T = TypeVar("T")

OWN = "mibench"
"""The origin of the classes that this package itself has."""

OBJECTS_KEPT = 128
"""Objects that a registry keeps for the choices that asked for them last."""


class _BrokenError(Exception):
    """A class that cannot stand for its name, with the reason."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """A registered name with every option resolved; the part of a run's identity that it is.

    `label` is what tables print and records store: the name with those options that differ from their
    defaults. `options` has all of them, so that a changed default is a changed identity. `located` has the
    values of options that only say where data are found; `options` has their defaults in that place, and two
    choices that differ in nothing else are equal.
    """

    name: str
    version: int
    options: tuple[tuple[str, Value], ...]
    label: str
    located: tuple[tuple[str, Value], ...] = dataclasses.field(default=(), compare=False)

    @property
    def identity(self) -> dict[str, Any]:
        """What enters the key of a run, as JSON values."""
        return {"name": self.name, "version": self.version, "options": dict(self.options)}

    @property
    def arguments(self) -> dict[str, Value]:
        """All options with which the object is made."""
        return dict(self.options) | dict(self.located)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One registered class: where it is and what its docstring's first line says.

    Attributes:
        name: what users type.
        kind: what its registry calls it: "estimator".
        family: the folder below the registry's own in which it stands, "" for none.
        origin: the package that it comes from, with its version; "mibench" for our own.
        reason: why it cannot be used, where that is known without importing it; else "".
    """

    name: str
    module: str
    attribute: str
    summary: str
    origin: str
    kind: str
    family: str = ""
    reason: str = ""

    def load(self) -> type[Any]:
        """Import the module and return the class."""
        found: Any = importlib.import_module(self.module)
        for part in self.attribute.split("."):
            found = getattr(found, part)
        loaded: type[Any] = found
        return loaded


class Registry(Generic[T]):
    """The classes of one kind, by name.

    Args:
        kind: what messages call them: "estimator".
        source: the module or package in whose files they stand, those in its subfolders included.
        group: the entry-point group through which other packages add to them, if they may.
        base: the class of which all must be subclasses, as `module:Class`; it is imported with the first
            plug-in, of which this is checked.
        unlabelled: options that a label leaves out because tables show them in columns of their own; a class
            may have others, in an attribute of that name.
        required: class attributes without which a class cannot be used.
    """

    def __init__(
        self,
        kind: str,
        source: str,
        group: str | None = None,
        base: str = "builtins:object",
        unlabelled: tuple[str, ...] = (),
        required: tuple[str, ...] = (),
    ) -> None:
        self.kind = kind
        self._source = source
        self._group = group
        self._base = base
        self._unlabelled = unlabelled
        self._required = required
        self._made = functools.lru_cache(maxsize=OBJECTS_KEPT)(self._make)

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """Every registered class by name; the project's own first, then the plug-ins'.

        Where a plug-in's name is taken, by one of the project's own or by another plug-in, it is
        `package/name`.
        """
        own = [entry for path, module, family in self._files() for entry in self._read(path, module, family)]
        found = {entry.name: entry for entry in own}
        points = self._points()
        several = Counter(point.name for point in points)
        for point in points:
            clashes = point.name in found or several[point.name] > 1
            name = f"{_package(point)}/{point.name}" if clashes else point.name
            reason = (
                ""
                if re.fullmatch(NAME, name)
                else "its name has characters other than letters, digits and _ . / -"
            )
            found[name] = Entry(
                name, point.module, point.attr, f"from {point.value}", _origin(point), self.kind, "", reason
            )
        return found

    @cached_property
    def broken(self) -> Mapping[str, str]:
        """The names that cannot be used, each with the reason; every plug-in is imported to find out."""
        found = {}
        for entry in self.entries.values():
            try:
                if entry.reason or entry.origin != OWN:
                    self.load(entry.name)
            except UsageError as error:
                found[entry.name] = _reason(error.__cause__)
        return found

    def classes(self) -> Iterator[tuple[str, type[T]]]:
        """Yield every class that can be used, with its name, importing one after the other."""
        for name in self.entries:
            with suppress(UsageError):
                yield name, self.load(name)

    def choose(self, text: str, /, **levels: Value) -> Choice:
        """Resolve what a user typed, `"nce[k=5]"`, with further options by keyword.

        None by keyword stands for the default.

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
        return self.describe(self._build(self.load(name), name, given), name)

    def from_options(self, name: str, options: Mapping[str, Any]) -> Choice:
        """Resolve a name and the values of options as they are stored: here None is a value.

        Raises:
            UsageError: an unknown name or option, or a value that is not allowed.
        """
        return self.describe(self._build(self.load(name), name, verbatim(options)), name)

    def make(self, choice: Choice) -> T:
        """Return the object of a choice; as it is frozen, later callers may get the same."""
        # Files can change between two calls, so what is made of one is made anew and checked.
        kind = self.load(choice.name)
        if choice.located:
            return self._make(kind, choice)
        return self._made(kind, choice)  # type: ignore[arg-type]  # mypy: a class is not Hashable

    def get(self, text: str, /, **options: Value) -> T:
        """Return the object of what a user typed: `get("nce[k=5]")` or `get("nce", k=5)`."""
        return self.make(self.choose(text, **options))

    def describe(self, made: T, name: str | None = None) -> Choice:
        """Return the choice that an object was made of; `name` is that of its entry, if not its class's."""
        kind: Any = type(made)
        known, values = options_of(kind), values_of(made)
        located = {
            key: value
            for key, value in values.items()
            if value != known[key].default and not known[key].identifies
        }
        options = values | {key: known[key].default for key in located}
        bare = name or kind.name
        shown = label(bare, made, getattr(kind, "unlabelled", self._unlabelled))
        return Choice(bare, kind.version, tuple(options.items()), shown, tuple(located.items()))

    def load(self, name: str) -> type[T]:
        """Return the class of that name.

        Raises:
            UsageError: there is none, several packages have one, or the plug-in that has it is broken.
        """
        if name not in self.entries:
            several = [known for known in self.entries if known.endswith(f"/{name}")]
            if several:
                raise UsageError(
                    f"Several packages have {_a(self.kind)} {name!r}.", f"Give one of: {', '.join(several)}."
                )
            raise unknown(self.kind, name, self.entries, f"'mibench list {self.kind}s' shows all.")
        entry = self.entries[name]
        try:
            if entry.reason:
                raise _BrokenError(entry.reason)
            return entry.load() if entry.origin == OWN else self._checked(entry)
        except (Exception, SystemExit) as error:
            if entry.origin == OWN and not entry.reason:
                raise
            raise self._is_broken(entry, error) from error

    @contextmanager
    def blaming(self, name: str) -> Iterator[None]:
        """Make what the code of a plug-in raises a UsageError that says which is broken.

        What is raised by the project's own code, and a UsageError, is left as it is.
        """
        try:
            yield
        except UsageError:
            raise
        except Exception as error:
            if self.entries[name].origin == OWN:
                raise
            raise self._is_broken(self.entries[name], error) from error

    def _is_broken(self, entry: Entry, error: BaseException) -> UsageError:
        return UsageError(
            f"{self.kind.capitalize()} {entry.name!r} of {entry.origin} is broken: {_reason(error)}.",
            "Update, fix or uninstall that package; --debug shows the traceback. "
            f"'mibench list {self.kind}s' shows all.",
        )

    def _checked(self, entry: Entry) -> type[T]:
        """Import a plug-in's class, or raise where it is none of this kind."""
        kind = entry.load()
        if not (isinstance(kind, type) and issubclass(kind, pkgutil.resolve_name(self._base))):
            raise _BrokenError(f"{entry.attribute} is not a subclass of {self._base.replace(':', '.')}")
        if not dataclasses.is_dataclass(kind):
            raise _BrokenError(f"{entry.attribute} is not a dataclass")
        if inspect.isabstract(kind):
            raise _BrokenError(
                f"{entry.attribute} does not define {', '.join(sorted(kind.__abstractmethods__))}"
            )
        lacking = [attribute for attribute in self._required if not hasattr(kind, attribute)]
        if lacking:
            raise _BrokenError(f"{entry.attribute} does not define {', '.join(lacking)}")
        own = entry.name.rpartition("/")[2]
        if getattr(kind, "name", None) != own:
            raise _BrokenError(
                f"{entry.attribute} has the name {getattr(kind, 'name', None)!r}, its entry point {own!r}"
            )
        options_of(kind)
        return cast("type[T]", kind)

    def _make(self, kind: type[T], choice: Choice) -> T:
        return self._build(kind, choice.name, verbatim(choice.arguments))

    def _build(self, kind: type[T], name: str, given: Mapping[str, Any]) -> T:
        known = options_of(kind)  # type: ignore[arg-type]  # mypy: a class is not Hashable
        for key in given:
            if key not in known:
                see = f"'mibench describe {name}' shows its options."
                raise unknown(f"option of {self.kind} {name!r}:", key, known, see)
        values = {
            key: known[key].convert(value, f"{key} of {self.kind} {name!r}") for key, value in given.items()
        }
        with self.blaming(name):
            return kind(**values)

    def _points(self) -> list[EntryPoint]:
        """Return the entry points of other packages, each once."""
        found = entry_points(group=self._group) if self._group else ()
        return list({(_package(point), point.name): point for point in found}.values())

    def _files(self) -> Iterator[tuple[Path, str, str]]:
        """Yield each source file with its module and its folder below the registry's own.

        They are in the order of their names, not of their folders, so that moving one changes no order.
        """
        spec = importlib.util.find_spec(self._source)
        origin = Path(spec.origin if spec and spec.origin else "")
        if origin.name != "__init__.py":
            yield origin, self._source, ""
            return
        for path in sorted(origin.parent.rglob("*.py"), key=lambda path: (path.stem, path)):
            parts = path.relative_to(origin.parent).with_suffix("").parts
            below = parts[:-1] if path.name == "__init__.py" else parts
            yield path, ".".join((self._source, *below)), "/".join(parts[:-1])

    def _read(self, path: Path, module: str, family: str) -> Iterator[Entry]:
        """Yield the classes of a file that have a name."""
        tree = ast.parse(path.read_text("utf-8"))
        texts = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name) and isinstance(node.value.value, str)
        }
        for node in _classes(tree.body):
            summary = (ast.get_docstring(node) or "").partition("\n")[0]
            for value, reason in _names_of(node, texts):
                yield Entry(value, module, node.name, summary, OWN, self.kind, family, reason)


def _classes(body: Iterable[ast.stmt]) -> Iterator[ast.ClassDef]:
    """Yield the classes of a module, those within `if` and `try` included."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield node
        elif isinstance(node, ast.If | ast.Try):
            yield from _classes(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))


def _names_of(node: ast.ClassDef, texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the name that a class's body has, and why it cannot be used, if it cannot.

    `texts` are the constants of the module by which the name can be given. A class without a name, such as a
    base class, yields nothing.
    """
    for statement in node.body:
        match statement:
            case ast.Assign(targets=targets, value=value):
                if not any(isinstance(target, ast.Name) and target.id == "name" for target in targets):
                    continue
                is_option = False
            case ast.AnnAssign(target=ast.Name(id="name"), annotation=annotation, value=ast.expr() as value):
                is_option = not re.search(r"\b(ClassVar|Final)\b", ast.unparse(annotation))
            case _:
                continue
        match value:
            case _ if is_option:
                yield (
                    node.name,
                    f"the name of class {node.name} is an option of it: write name: ClassVar[str]",
                )
            case ast.Constant(value=str(name)):
                yield name, ""
            case ast.Name(id=constant) if constant in texts:
                yield texts[constant], ""
            case _:
                yield node.name, f"the name of class {node.name} is not a string literal"


def _reason(error: BaseException | None) -> str:
    """Return in one line why a class cannot be used."""
    words = str(error) if isinstance(error, _BrokenError) else f"{type(error).__name__}: {error}"
    return " ".join(words.split())


def _package(point: EntryPoint) -> str:
    return str(point.dist.name) if point.dist else point.module


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
