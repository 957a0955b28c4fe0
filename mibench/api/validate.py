"""Does an estimator, a task, a model or an encoder do what its class promises?"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mibench import encoders, estimators, models, tasks
from mibench.api.registries import SEE, that_know
from mibench.encoders.base import Encoder
from mibench.errors import UsageError
from mibench.estimators.base import Estimator
from mibench.models.base import Model
from mibench.notation import text_of
from mibench.registry import Registry
from mibench.tasks.base import Task
from mibench.testing.conformance import Conformance, Kind, Result
from mibench.testing.encoders import examine_encoder
from mibench.testing.estimators import examine_estimator
from mibench.testing.models import examine_model
from mibench.testing.tasks import examine_task


@dataclass(frozen=True)
class _Kind:
    """A kind of class that can be tested."""

    name: Kind
    registry: Registry[Any]
    base: type[Any]
    examine: Callable[[Any, str], Conformance]


KINDS = (
    _Kind("estimator", estimators.registry, Estimator, examine_estimator),
    _Kind("task", tasks.registry, Task, examine_task),
    _Kind("model", models.registry, Model, examine_model),
    _Kind("encoder", encoders.registry, Encoder, examine_encoder),
)


@dataclass(frozen=True)
class Subject:
    """What is to be tested: a name, and what makes the object of it."""

    kind: _Kind
    name: str
    make: Callable[[], Any]

    def examine(self) -> Conformance:
        """Test it; a class that cannot be made or imported is found not to have options that work."""
        try:
            made = self.make()
        except Exception as error:
            words = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return Conformance(self.kind.name, self.name, (Result("options", "failed", words),))
        return self.kind.examine(made, self.name)


def validate(*names: str, all: bool = False) -> list[Conformance]:
    """Test that estimators, tasks, models and encoders do what their classes promise.

    >>> import mibench
    >>> (found,) = mibench.validate("bilinear")
    >>> found.fine
    True
    >>> print(found.results[0])
    documented: ok

    Args:
        names: registered names, with options or without, such as `"nwj"` or `"nce[k=5]"`, or classes of one's
            own as `"module:Class"`. A name that a task and an encoder have stands for both.
        all: every registered estimator, task, model and encoder; protocols and backends are not tested.

    Raises:
        UsageError: no name, an unknown one, or a module that cannot be imported.
    """
    return [subject.examine() for subject in subjects(names, all)]


def subjects(names: tuple[str, ...] | list[str], all: bool) -> list[Subject]:
    """Return what is to be tested."""
    if bool(names) == all:
        raise UsageError(
            "Both names and --all are given." if all else "Nothing to validate is named.",
            "Give names, such as nwj, gaussian or my_package.tasks:MyTask, or --all alone.",
        )
    if all:
        return [_named(kind, name) for kind in KINDS for name in kind.registry.entries]
    return [subject for name in names for subject in _subjects(text_of(name, "Each name").strip())]


def _named(kind: _Kind, name: str) -> Subject:
    return Subject(kind, name, lambda: kind.registry.get(name))


def _subjects(text: str) -> list[Subject]:
    """Return what a name stands for, all that have it, or the class of `module:Class`."""
    if re.fullmatch(r"[\w.]+:[\w.]+", text):
        return [_of_class(text)]
    see = f"{SEE}; a class of your own is module:Class."
    knowing = that_know(text, [kind.registry for kind in KINDS], see)
    return [_named(kind, text) for kind in KINDS if kind.registry in knowing]


def _of_class(text: str) -> Subject:
    """Return the class of `module:Class`."""
    try:
        found = pkgutil.resolve_name(text)
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"{text!r} cannot be imported: {words}.", "Give module:Class.") from error
    for kind in KINDS:
        if isinstance(found, type) and issubclass(found, kind.base):
            return Subject(kind, text, found)
    bases = ", ".join(f"{kind.base.__module__}.{kind.base.__name__}" for kind in KINDS)
    raise UsageError(f"{text!r} is no class that can be validated.", f"It has to be a subclass of {bases}.")
