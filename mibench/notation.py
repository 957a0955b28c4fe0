"""How names with options are written: `nce[k=5]`, `nce[k=1|4]`, `digits[data="a,b.npz"]`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mibench.errors import UsageError

NAME = r"[\w./-]+"

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_INSIDE = rf'(?:[^\[\]"]|{_QUOTED})*'
_OPTIONS = rf"\[(?P<options>{_INSIDE})\]"
_CHOICE = re.compile(rf"(?P<name>{NAME})({_OPTIONS})?", re.DOTALL)
_WITH_OPTIONS = re.compile(rf"(?P<head>[^\[]*){_OPTIONS}(?P<tail>.*)", re.DOTALL)
_TOKEN = re.compile(rf"\[{_INSIDE}\]|{_QUOTED}|.", re.DOTALL)


class Verbatim(str):
    """The text of an option that is meant as it stands: `"none"` in quotes is a text and not None."""

    __slots__ = ()


def text_of(value: Any, what: str) -> str:  # noqa: ANN401 - any value
    """Return a text as it is, or raise a UsageError that names `what`."""
    if not isinstance(value, str):
        raise UsageError(
            f"{what} must be a text, not {value!r}.",
            "Give a name, with its options in brackets: 'name[option=value]'.",
        )
    return value


def parse(text: str, kind: str) -> tuple[str, dict[str, Any]]:
    """Split `"nce[k=5]"` into its name and its options as text.

    A value that holds a comma, a bracket or the like stands in double quotes, in which a backslash stands
    before a quote or a backslash: `digits[data="a,b.npz"]`.
    """
    match = _CHOICE.fullmatch(text_of(text, f"The name of the {kind}").strip())
    if match is None:
        raise UsageError(
            f"Cannot read {text!r}: no {kind} can have this name.",
            "Write a name, or a name with options: name[option=value,option=value].",
        )
    options: dict[str, Any] = {}
    for part in filter(None, _split(match["options"] or "", ",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        read = _unquoted(value)
        if not equals or not key or read is None or key in options:
            raise UsageError(
                f"Cannot read the option {part.strip()!r} in {text!r}.",
                'Write each option once, as option=value, or as option="value" if it holds a comma.',
            )
        options[key] = read
    return match["name"], options


def split_names(text: str) -> list[str]:
    """Split a list of names at the commas outside brackets: `"mine,nce[k=5,normalizer=learned]"`.

    An option with several values, `nce[k=1|4|16]`, stands for a name at each of them.
    """
    return [each for name in _split(text, ",") for each in _alternatives(name.strip())]


def _alternatives(name: str) -> Iterator[str]:
    match = _WITH_OPTIONS.fullmatch(name)
    if match is None:
        yield name
        return
    values = []
    for option in _split(match["options"], ","):
        key, equals, several = option.partition("=")
        values.append([f"{key}{equals}{value.strip()}" for value in _split(several, "|")])
    if all(len(each) == 1 for each in values):
        yield name
        return
    for chosen in itertools.product(*values):
        yield f"{match['head']}[{','.join(chosen)}]{match['tail']}"


def _split(text: str, separator: str) -> list[str]:
    """Split a text at a character, except in brackets and quotes."""
    pieces = [""]
    for token in _TOKEN.findall(text):
        if token == separator:
            pieces.append("")
        else:
            pieces[-1] += token
    return pieces


def quoted(value: str) -> str:
    """Return a text as an option's value: in quotes where it could be read as something else."""
    plain = value and value == value.strip() and not re.search(r'[\[\],|"]', value)
    if plain and value.lower() != "none":
        return value
    escaped = re.sub(r'(["\\])', r"\\\1", value)
    return f'"{escaped}"'


def _unquoted(value: str) -> str | None:
    """Return what an option's value says, None where that cannot be read."""
    if not value.startswith('"'):
        return None if not value or '"' in value else value
    if not re.fullmatch(_QUOTED, value, re.DOTALL):
        return None
    return Verbatim(re.sub(r'\\(["\\])', r"\1", value[1:-1]))


def verbatim(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of options with every text marked as one that is meant as it stands."""
    return {key: Verbatim(value) if isinstance(value, str) else value for key, value in options.items()}
