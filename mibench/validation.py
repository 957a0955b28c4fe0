"""Checks of options that many classes have."""

from __future__ import annotations

from numbers import Integral

from mibench.errors import UsageError


def check_whole(name: str, **values: int) -> None:
    """Raise a UsageError for an option that is not a whole number."""
    for key, value in values.items():
        if not isinstance(value, Integral):
            raise UsageError(
                f"{key} of {name!r} must be a whole number, not {value!r}.", "Give a whole number."
            )


def check_sizes(name: str, **sizes: int) -> None:
    """Raise a UsageError for a size that is not a whole number, or below 1."""
    check_whole(name, **sizes)
    for key, size in sizes.items():
        if size < 1:
            raise UsageError(f"{key} of {name!r} must be at least 1, not {size}.", "Give 1 or more.")


def check_positive(name: str, **values: float) -> None:
    """Raise a UsageError for an option that is not above 0."""
    for key, value in values.items():
        if not value > 0:
            raise UsageError(f"{key} of {name!r} must be positive, not {value:g}.", "Give a number above 0.")


def check_training(name: str, steps: int, lr: float) -> None:
    """Raise a UsageError for a rate that is not positive or a negative number of steps."""
    check_positive(name, lr=lr)
    check_whole(name, steps=steps)
    if steps < 0:
        raise UsageError(
            f"steps of {name!r} must be 0 or more, not {steps}.", "With 0 steps nothing is trained."
        )
