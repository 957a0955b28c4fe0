"""Properties, and what is found when a class is tested for them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, Self, TypeVar

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

C = TypeVar("C")
Outcome = Literal["ok", "failed", "expected", "passes"]
Kind = Literal["estimator", "task", "model", "encoder"]

STANDARD_ERRORS = 4.0
"""Means of random values agree within this many standard errors."""

ROUNDING = 1e-9
"""Values that are the same but for the order of float64 operations agree within this, relative above 1."""


class Broken(Exception):
    """A property that does not hold: what was expected, and what was seen."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}; seen {seen}")


@dataclass(frozen=True)
class Property(Generic[C]):
    """A property that a class promises.

    Attributes:
        name: what messages and `conformance_exceptions` call it.
        test: raises `Broken` where it does not hold.
        applies: whether a class promises it at all.
    """

    name: str
    test: Callable[[C], None]
    applies: Callable[[C], bool] = lambda case: True


@dataclass(frozen=True)
class Result:
    """What was found of one property.

    Attributes:
        outcome: `ok`, `failed`, `expected` (it fails, as the class declares), or `passes` (it holds, though
            the class declares that it fails).
        message: what was expected and seen, or the declared reason.
    """

    property: str
    outcome: Outcome
    message: str = ""

    def __str__(self) -> str:
        words = {
            "ok": "ok",
            "failed": f"FAILED: {self.message}",
            "expected": f"expected exception: {self.message}",
            "passes": f"ok, although declared as an exception: {self.message}",
        }
        return f"{self.property}: {words[self.outcome]}"


class ConformanceError(AssertionError):
    """Properties that a class promises and that do not hold; the message lists all of them."""

    def __init__(self, found: Conformance) -> None:
        super().__init__("\n  ".join([f"{found.kind} {found.name} is not as promised", *found.failures]))
        self.found = found


@dataclass(frozen=True)
class Conformance:
    """What was found of every property of one estimator, task, model or encoder."""

    kind: Kind
    name: str
    results: tuple[Result, ...]

    @property
    def failures(self) -> list[str]:
        """A line for each property that does not hold."""
        return [str(result) for result in self.results if result.outcome == "failed"]

    @property
    def fine(self) -> bool:
        """Whether every property holds, but for declared exceptions."""
        return not self.failures

    def or_raise(self) -> Self:
        """Return what was found, or raise a ConformanceError that lists what does not hold."""
        if not self.fine:
            raise ConformanceError(self)
        return self


def examined(
    kind: Kind, name: str, case: C, properties: Iterable[Property[C]], declared: Mapping[str, str]
) -> Conformance:
    """Test the properties that apply; `declared` are the names of those known to fail, with the reason."""
    known = tuple(properties)
    unknown = sorted(declared.keys() - {known_one.name for known_one in known})
    try:
        applying = [one for one in known if one.applies(case)]
    except Exception as error:
        return Conformance(kind, name, (Result("can be tested", "failed", _words(error)),))
    results = [_examined(one, case, declared.get(one.name)) for one in applying]
    if unknown:
        message = f"names of properties in conformance_exceptions; seen {', '.join(unknown)}"
        results.append(Result("declared exceptions", "failed", f"expected {message}"))
    return Conformance(kind, name, tuple(results))


def _examined(one: Property[C], case: C, reason: str | None) -> Result:
    try:
        one.test(case)
    except Exception as error:
        if reason is not None:
            return Result(one.name, "expected", reason)
        return Result(one.name, "failed", _words(error))
    return Result(one.name, "ok") if reason is None else Result(one.name, "passes", reason)


def _words(error: Exception) -> str:
    """Return what does not hold; an error of another kind is logged with its traceback."""
    if isinstance(error, Broken):
        return str(error)
    logger.debug("A property cannot be tested.", exc_info=error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def expect(holds: bool | Tensor, expected: str, seen: object) -> None:
    """Raise `Broken` unless something holds."""
    if not holds:
        raise Broken(expected, f"{seen:.6g}" if isinstance(seen, float) else str(seen))


def expect_same(found: Tensor, wanted: Tensor, expected: str, tolerance: float = ROUNDING) -> None:
    """Raise `Broken` unless two tensors agree: absolutely below 1, relatively above; NaN agrees with NaN."""
    expect(found.shape == wanted.shape, f"{expected}: shape {tuple(wanted.shape)}", tuple(found.shape))
    found, wanted = found.double(), wanted.double()
    excess = (found - wanted).abs() - tolerance * (1 + wanted.abs())
    agree = (excess <= 0) | (found == wanted) | (found.isnan() & wanted.isnan())
    if not agree.all():
        place = int(torch.where(agree, -math.inf, excess.nan_to_num(math.inf)).argmax())
        one, other = found.flatten()[place].item(), wanted.flatten()[place].item()
        raise Broken(f"{expected} ({other:.6g})", f"{one:.6g}")


@dataclass(frozen=True)
class Mean:
    """The mean of independent values and its standard error."""

    value: float
    error: float

    @classmethod
    def of(cls, values: Tensor) -> Self:
        """Return that of values."""
        return cls(values.mean().item(), values.std().item() / math.sqrt(len(values)))

    @property
    def margin(self) -> float:
        """Four standard errors, and rounding."""
        return STANDARD_ERRORS * self.error + ROUNDING

    def __str__(self) -> str:
        return f"{self.value:.4g} +- {self.error:.2g}"

    def expect_near(self, wanted: float, expected: str, tolerance: float = 0.0) -> None:
        """Raise `Broken` where the mean is farther from a number than four standard errors (NaN is)."""
        expect(abs(self.value - wanted) <= self.margin + tolerance, expected, self)

    def expect_at_most(self, wanted: float, expected: str, tolerance: float = 0.0) -> None:
        """Raise `Broken` where the mean is above a number by more than four standard errors."""
        expect(self.value - wanted <= self.margin + tolerance, expected, self)

    def expect_at_least(self, wanted: float, expected: str, tolerance: float = 0.0) -> None:
        """Raise `Broken` where the mean is below a number by more than four standard errors."""
        expect(wanted - self.value <= self.margin + tolerance, expected, self)
