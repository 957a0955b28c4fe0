"""LaTeX: one function that escapes any text, and tables with booktabs' rules."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence


def _greek(letter: str) -> str:
    r"""Return the command of a Greek letter: \rho, \Sigma."""
    name = unicodedata.name(letter).split()[-1].lower().replace("lamda", "lambda")
    return f"\\{name if letter.islower() else name.capitalize()}"


_MATHS = {letter: _greek(letter) for letter in "αβγδεζηθλμνξπρστφχψωΓΔΘΛΞΠΣΦΨΩ"} | {
    "|": "|",
    "<": "<",
    ">": ">",
    "±": r"\pm",
    "×": r"\times",
    "·": r"\cdot",
    "†": r"^\dagger",
    "‡": r"^\ddagger",
    "−": "-",
    "≤": r"\le",
    "≥": r"\ge",
    "∞": r"\infty",
    "→": r"\to",
    "²": "^2",
}

_ESCAPED = (
    {character: f"\\{character}" for character in "_%&#${}"}
    | {character: f"${command}$" for character, command in _MATHS.items()}
    | {
        "\\": r"\textbackslash{}",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "–": "--",
        "—": "---",
        "’": "'",
        "“": "``",
        "”": "''",
        "…": r"\dots{}",
    }
)

_SIGN = re.compile(r"(?<![\w.)\]-])[+-](?=\d)")


def escape(text: str) -> str:
    """Return a text that LaTeX prints as it is; characters that its fonts lack are named by their number."""
    text = " ".join(text.split())
    pieces, end = [], 0
    for sign in _SIGN.finditer(text):
        pieces += [*map(_character, text[end : sign.start()]), f"${sign[0]}$"]
        end = sign.end()
    pieces += map(_character, text[end:])
    # What \\ would take for its argument where the text begins a row.
    return ("{}" if text[:1] in ("[", "*") else "") + "".join(pieces)


def _character(character: str) -> str:
    if character in _ESCAPED:
        return _ESCAPED[character]
    if " " <= character <= "~" or _is_accented(character):
        return character
    return f"[U+{ord(character):04X}]"


def _is_accented(character: str) -> bool:
    """Return whether a character is an ASCII letter with an accent that LaTeX's standard font can set."""
    if not 0xC0 <= ord(character) <= 0xFF:
        return False
    parts = unicodedata.normalize("NFD", character)
    return len(parts) == 2 and parts[0].isascii()


def comment(text: str) -> str:
    """Return lines as comments of LaTeX."""
    return "\n".join(f"% {line}".rstrip() for line in text.splitlines())


def tabular(
    heads: Sequence[str], lines: Sequence[str], columns: str, notes: Sequence[str], preamble: str = ""
) -> str:
    r"""Return a table from parts that are LaTeX already; `notes` are escaped here.

    `columns` is what \begin{tabular} takes, and each line has cells between ampersands or is a rule.
    """
    body = "\n".join(line if line.startswith("\\midrule") else f"{line} \\\\" for line in lines)
    return (
        f"{preamble}\\begin{{table}}\n\\centering\n"
        f"\\caption{{{' '.join(map(escape, filter(None, notes)))}}}\n"
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{' & '.join(heads)} \\\\\n\\midrule\n"
        f"{body}\n\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )
