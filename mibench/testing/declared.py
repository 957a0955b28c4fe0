"""Properties of every kind of class: what it says about itself, its options, and its equality."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from mibench.errors import UsageError
from mibench.options import Option, Value, options_of
from mibench.testing.conformance import Broken, expect

NUMBERS = (1, 2, 3, 0.5, 0.1, 4, 8)
"""Values that are tried where those near the default are refused."""


def documented(subject: Any, *facts: str) -> None:  # noqa: ANN401 - any registered class
    """The class has a docstring, the facts that `mibench describe` shows, and a line of help per option."""
    kind: Any = type(subject)
    text = vars(kind).get("__doc__") or ""
    expect(bool(text) and not text.startswith(f"{kind.__name__}("), "a docstring", repr(text))
    for fact in ("name", *facts):
        value = getattr(kind, fact, None)
        expect(isinstance(value, str) and bool(value), f"the class attribute {fact!r}, a text", repr(value))
    for option in options_of(kind).values():
        expect(bool(option.about.get("help")), f"option({option.name} ...) with a line of help", "none")


def options_work(subject: Any) -> None:  # noqa: ANN401
    """The class can be made with its defaults, and with another value of each option."""
    kind: Any = type(subject)
    kind()
    for option in options_of(kind).values():
        others = [value for value in _other_values(option) if value != option.default]
        refused = [error for value in others if (error := _refused(kind, option.name, value))]
        if others and len(refused) == len(others):
            raise Broken(f"a value of option {option.name!r} other than its default", refused[0].what)


def _other_values(option: Option) -> Iterator[Value]:
    """Yield values that an option may have; none for texts, whose meaning is not known."""
    default, hint = option.default, option.hint
    if get_origin(hint) is Literal:
        yield from get_args(hint)
    elif hint is bool:
        yield from (True, False)
    elif hint in (int, float):
        near = (default * 2, default / 2, default + 1) if default else ()
        yield from (hint(value) for value in (*near, *NUMBERS))


def _refused(kind: type[Any], name: str, value: Value) -> UsageError | None:
    try:
        kind(**{name: value})
    except UsageError as error:
        return error
    return None


def is_a_value(subject: Any) -> None:  # noqa: ANN401
    """The object is frozen and can be hashed, and another one with the same options equals it."""
    kind: Any = type(subject)
    made_by: Any = getattr(kind, "__dataclass_params__", None)
    expect(made_by is not None and made_by.frozen, "a frozen dataclass", kind.__name__)
    other = kind(**{key: getattr(subject, key) for key in options_of(kind)})
    expect(other == subject and hash(other) == hash(subject), "equality of two with the same options", "none")
    expect(isinstance(kind.version, int) and kind.version > 0, "a version from 1", repr(kind.version))
