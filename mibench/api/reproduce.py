"""Reproducing a paper: a suite is a TOML file with its protocol, and its published numbers if it has any."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import pandas as pd

from mibench import estimators, models
from mibench.analysis.cells import NATS_IN
from mibench.api.plan import Plan, plan_grid
from mibench.errors import UsageError, unknown
from mibench.grid import SETTINGS, OneOrMore, PlaceArguments, one_of, read
from mibench.notation import parse, split_names
from mibench.options import path_of, real_number

SUITES = Path(__file__).parents[1] / "suites"


@dataclass(frozen=True)
class Suite:
    """A published protocol.

    Attributes:
        estimators: names with options.
        critics: the critics' names in the paper, and ours with their options.
        settings: of its grid, by the names of `mibench.grid.Grid`.
        published: path of a CSV table beside the file, with columns estimator, critic, true_mi_nats,
            estimate_nats, reading_error_nats.
        notes: what a reader of the numbers should know.
        unit: of `mi` in the file, "nats" or "bits"; in `settings` it is in nats.
    """

    title: str
    estimators: list[str]
    critics: dict[str, str]
    settings: dict[str, Any]
    reference: str = ""
    published: str | None = None
    notes: list[str] = field(default_factory=list)
    unit: str = "nats"
    folder: Path = SUITES

    def plan(
        self,
        critic: Sequence[str] | None = None,
        only: Sequence[str] | None = None,
        seeds: OneOrMore[int | str] | None = None,
        **where: Unpack[PlaceArguments],
    ) -> Plan:
        """Return the plan of the suite, or of some of its critics and estimators.

        Raises:
            UsageError: a critic or estimator that it does not have, or a mistake in the file.
        """
        chosen: dict[str, Any] = {
            "estimator": self._only(only),
            "critic": [self.critics[name] for name in self._critics(critic)],
            **where,
        }
        if seeds is not None:
            chosen["seeds"] = seeds
        return plan_grid(read("plan", self.settings | chosen))

    def named(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return records with a column `critic_name`: what the paper calls their critics."""
        names = {models.registry.choose(ours).label: name for name, ours in self.critics.items()}
        return records.assign(critic_name=records["critic"].map(names))

    def published_numbers(self) -> pd.DataFrame | None:
        """Return the published numbers, None if there are none.

        Raises:
            UsageError: the table is not there, or lacks a column.
        """
        if self.published is None:
            return None
        path = self.folder / self.published
        try:
            table = pd.read_csv(path, dtype=dict.fromkeys(_NUMBERS, float))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"Cannot read the published numbers {str(path)!r}: {error}.",
                "It is a CSV file, named by its path from the suite's folder.",
            ) from None
        needed = {"estimator", "critic", *_NUMBERS}
        if not needed <= set(table):
            raise UsageError(
                f"{str(path)!r} lacks {', '.join(sorted(needed - set(table)))}.",
                f"Its columns are {', '.join(sorted(needed))}.",
            )
        named = table.assign(
            estimator=[_label(name) for name in table["estimator"]],
            true_mi_nats=[self._level(nats, path) for nats in table["true_mi_nats"]],
        )
        return self._matched(named, path)

    def _matched(self, published: pd.DataFrame, path: Path) -> pd.DataFrame:
        """Return the published numbers, if each is of something that the suite has, and once."""
        for kind, known in (("estimator", self._labels()), ("critic", [*self.critics])):
            for name in published[kind]:
                if name not in known:
                    raise unknown(f"{kind} in {str(path)!r}:", name, known, "The suite lacks it.")
        twice = published[published.duplicated(["estimator", "critic", "true_mi_nats"])]
        if len(twice):
            raise UsageError(f"{str(path)!r} has two numbers for {twice.iloc[0]['estimator']}.", "Keep one.")
        return published

    def _level(self, nats: float, path: Path) -> float:
        """Return the level of the suite that is, to rounding, a published true MI."""
        levels = self.settings.get("mi", [nats])
        for level in levels:
            if math.isclose(level, nats, rel_tol=_ROUNDED):
                return float(level)
        raise UsageError(
            f"{str(path)!r} has a number at a true MI of {nats:g} nats, which the suite lacks.",
            f"Its levels are {', '.join(f'{level:.7g}' for level in levels)} nats.",
        )

    def _labels(self) -> list[str]:
        return [_label(name) for text in self.estimators for name in split_names(text)]

    def _critics(self, wanted: Sequence[str] | None) -> list[str]:
        have = ", ".join(self.critics)
        for name in wanted or ():
            if name not in self.critics:
                raise unknown("critic of this suite", name, self.critics, f"It has {have}.")
        return list(dict.fromkeys(wanted or self.critics))

    def _only(self, wanted: Sequence[str] | None) -> list[str]:
        """Return the labels of the estimators that are wanted, by label or by family."""
        have = self._labels()
        found = []
        for name in (name for text in wanted or () for name in split_names(text)):
            family, options = parse(name, "estimator")
            label = _label(name) if options else None
            of_name = [one for one in have if parse(one, "estimator")[0] == family and label in (None, one)]
            if not of_name:
                raise unknown("estimator of this suite", name, have, f"It has {', '.join(have)}.")
            found += of_name
        return list(dict.fromkeys(found)) or have


def _label(name: str) -> str:
    """Return what tables call the estimator of that name: "smile" for "smile[tau=5]"."""
    return estimators.registry.choose(str(name)).label


def suites() -> list[str]:
    """Return the names of the suites that come with the package."""
    return sorted(path.stem for path in SUITES.glob("*.toml"))


def load(name: str) -> Suite:
    """Return a suite of the package by its name, or another by the path of its file.

    Raises:
        UsageError: there is none, it cannot be read, or it has an unknown key or lacks one.
    """
    path = SUITES / f"{name}.toml" if name in suites() else path_of(name, "suite")
    if not path.is_file():
        raise unknown(
            "suite", str(path), suites(), f"There are {', '.join(suites())}; or give the path of a file."
        )
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"Cannot read the suite {str(path)!r}: {error}.", "It is a TOML file.") from None
    _check(content, path)
    own = {key: value for key, value in content.items() if key in _OWN}
    settings = {key: value for key, value in content.items() if key not in _OWN}
    scale = NATS_IN[one_of(content.get("unit", "nats"), "unit", NATS_IN)]
    if "mi" in settings:
        settings["mi"] = [scale * real_number(level, "mi") for level in settings["mi"]]
    return Suite(**own, settings=settings, folder=path.parent)


def types() -> dict[str, Any]:
    """Return the keys of a suite with the types of their values: its own, and the settings of a grid."""
    return _OWN | {
        name: list if name in _LISTS else _KINDS[about.kind]
        for name, about in SETTINGS.items()
        if about.of is not None and name not in ("estimator", "critic")
    }


def _check(content: dict[str, Any], path: Path) -> None:
    known = types()
    for key in content:
        if key not in known:
            raise unknown(f"key of the suite {str(path)!r}:", key, known, f"Its keys are {', '.join(known)}.")
    for key in ("title", "estimators", "task", "n", "critics"):
        if key not in content:
            raise UsageError(f"The suite {str(path)!r} has no {key!r}.", f"Add {key} = ... to it.")
    for key, value in content.items():
        if not isinstance(value, known[key]) or isinstance(value, bool):
            raise UsageError(
                f"{key} of the suite {str(path)!r} cannot be {value!r}.", f"It is {_NAMES[known[key]]}."
            )
    texts = {key: content.get(key, []) for key in ("estimators", "notes")}
    for key, items in (texts | {"critics": content["critics"].values()}).items():
        if not all(isinstance(item, str) for item in items):
            raise UsageError(
                f"{key} of the suite {str(path)!r} has an item that is not text.", "Put the item in quotes."
            )
    if not content["critics"] or not all(re.fullmatch(r"[\w.-]+", name) for name in content["critics"]):
        raise UsageError(
            f"The table of critics of the suite {str(path)!r} is empty, or has a name with characters other "
            "than letters, digits, '_', '.' and '-'.",
            'Add to [critics] lines such as separable = "separable[layers=3]".',
        )


_ROUNDED = 1e-6
"""Relative error of a level in a table of published numbers: seven digits are enough."""
_NUMBERS = ("true_mi_nats", "estimate_nats", "reading_error_nats")
_KINDS: dict[type, Any] = {str: str, int: int, float: (int, float)}
_NAMES: dict[Any, str] = {
    str: "a text",
    int: "a whole number",
    list: "a list",
    dict: "a table",
    (int, float): "a number",
}
_OWN: dict[str, Any] = {
    **dict.fromkeys(("title", "reference", "published", "unit"), str),
    **dict.fromkeys(("estimators", "notes"), list),
    "critics": dict,
}
_LISTS = ("mi", "rho")
"""Settings that may have several values in a suite: its numbers are known by estimator, critic and MI."""
