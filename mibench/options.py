"""Options of registered classes: how they are declared, converted from what users give, and shown.

An option is a field of a dataclass; its type is the field's annotation.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mibench.errors import UsageError
from mibench.limits import LARGEST
from mibench.notation import Verbatim, quoted

Value = str | int | float | bool | None

DIGEST_SHOWN = 12
"""Characters of a digest that a label shows."""

WHOLE_BELOW = 2**53
"""Whole numbers up to here are the same as floats, and as numbers of JSON in any program."""

INFINITE = ("inf", "infinity", "∞")


def option(
    default: Any,  # noqa: ANN401 - a dataclass field is of its class's type
    help: str,
    *,
    identifies: bool = True,
    digest: bool = False,
    infinite: Any = dataclasses.MISSING,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Declare an option of a registered class: a dataclass field with a line of help.

    Args:
        default: its default.
        help: the line of help.
        identifies: whether it is part of a run's identity. An option that says where data are found is not:
            the data's digest, another option, is.
        digest: whether it is a long digest, of which labels show the beginning.
        infinite: the value that an infinite number stands for, where there is one: `infinite=None` makes
            `inf` another spelling of `none`.
    """
    about = {"help": help, "identifies": identifies, "digest": digest, "infinite": infinite}
    return dataclasses.field(default=default, metadata=about)


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of a class, with the type to which what users give is converted."""

    name: str
    default: Any
    hint: Any
    nullable: bool
    about: Mapping[str, Any]

    @property
    def identifies(self) -> bool:
        """Whether the option is part of a run's identity."""
        return bool(self.about.get("identifies", True))

    def shown(self, value: Value) -> str:
        """Return a value as a label shows it."""
        return _shown(str(value)[:DIGEST_SHOWN] if self.about.get("digest") and value else value)

    def finite(self, value: Any) -> Any:  # noqa: ANN401
        """Return a value, or what an infinite one stands for where there is such a thing."""
        infinite = self.about.get("infinite", dataclasses.MISSING)
        is_infinite = value == math.inf or _word(value).strip().removeprefix("+") in INFINITE
        return infinite if is_infinite and infinite is not dataclasses.MISSING else value

    def convert(self, value: Any, what: str) -> Value:  # noqa: ANN401
        """Convert what a user gave to the option's type, or raise a UsageError that names `what`."""
        value = self.finite(value)
        if self.nullable and (value is None or _word(value) == "none"):
            return None
        if get_origin(self.hint) is Literal:
            return _one_of(value, get_args(self.hint), what)
        if self.hint is bool:
            return _one_of(str(value).lower(), ("true", "false"), what) == "true"
        if self.hint is str:
            return str(value)
        return whole_number(value, what) if self.hint is int else real_number(value, what)


@functools.cache
def options_of(kind: type[Any]) -> Mapping[str, Option]:
    """Return the options of a registered class by name, in the order of its fields."""
    hints = get_type_hints(kind)
    found = {}
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        nullable = NoneType in get_args(hint)
        if nullable:
            (hint,) = (part for part in get_args(hint) if part is not NoneType)
        found[field.name] = Option(field.name, field.default, hint, nullable, field.metadata)
    return found


def values_of(made: Any) -> dict[str, Value]:  # noqa: ANN401 - an object of any registered class
    """Return the values of an object's options, in the alphabetical order of their names."""
    kind: Any = type(made)  # mypy: a class is not Hashable
    known = options_of(kind)
    return {name: known[name].finite(getattr(made, name)) for name in sorted(known)}


def label(name: str, made: Any, hidden: Collection[str] = ()) -> str:  # noqa: ANN401 - any dataclass
    """Return a name with those options of an object that differ from their defaults, but for the hidden."""
    kind: Any = type(made)
    known = options_of(kind)
    shown = [
        f"{key}={known[key].shown(value)}"
        for key, value in values_of(made).items()
        if value != known[key].default and known[key].identifies and key not in hidden
    ]
    return name + (f"[{','.join(shown)}]" if shown else "")


def describe_class(kind: str, name: str, described: Any) -> dict[str, Any]:  # noqa: ANN401 - a class
    """Return the facts about a registered class, as JSON values."""
    facts = {
        "name": name,
        "kind": kind,
        "summary": (described.__doc__ or "").partition("\n")[0],
        "formula": getattr(described, "formula", None),
        "ceiling": getattr(described, "ceiling_formula", None),
        "bias": getattr(described, "direction", None),
        "trained on": getattr(described, "source", None),
        "encoder": getattr(described, "default_encoder", None),
        "reference": getattr(described, "reference", None),
        "bibtex": getattr(described, "bibtex", None),
    }
    options = [
        {"name": each.name, "default": _shown(each.default), "help": each.about.get("help", "")}
        for each in options_of(described).values()
    ]
    return {key: value for key, value in facts.items() if value} | {"options": options}


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def _word(value: Any) -> str:  # noqa: ANN401 - any value
    """Return a text in lower case, "" for one that is meant as it stands and for anything else."""
    return value.lower() if isinstance(value, str) and not isinstance(value, Verbatim) else ""


def _one_of(value: Any, allowed: tuple[str, ...], what: str) -> str:  # noqa: ANN401
    if value not in allowed:
        raise UsageError(f"{what} cannot be {value!r}.", f"It is one of: {', '.join(allowed)}.")
    return str(value)


def whole_number(value: Any, what: str, least: int | None = None) -> int:  # noqa: ANN401
    """Return a value as an int, or raise a UsageError that names `what`."""
    number = real_number(value, what)
    if number != int(number):
        raise UsageError(f"{what} must be a whole number, not {value!r}.", "Give a whole number.")
    if abs(number) >= WHOLE_BELOW:
        raise UsageError(
            f"{what} must be a whole number between -2^53 and 2^53, not {value!r}.", "Give a smaller number."
        )
    exact = int(number)
    if least is not None and exact < least:
        raise UsageError(f"{what} must be at least {least}, not {exact}.", f"Give {least} or more.")
    return exact


def path_of(value: Any, what: str) -> Path:  # noqa: ANN401
    """Return a path, or raise a UsageError that names `what`."""
    try:
        return Path(value)
    except TypeError:
        raise UsageError(
            f"{what} must be a path, not {value!r}.", "Give each path as a text or a pathlib.Path of its own."
        ) from None


def real_number(value: Any, what: str) -> float:  # noqa: ANN401
    """Return a value as a finite float (never -0.0), or raise a UsageError that names `what`."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last: a tensor of several numbers
        number = math.nan
    if not abs(number) <= LARGEST:
        raise UsageError(
            f"{what} must be a number, not {value!r}.",
            f"Give a finite number, of at most {LARGEST:g} in size.",
        )
    return number + 0.0
