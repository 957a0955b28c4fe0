"""What a user can do wrong, said in two lines: what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """A mistake that the user can fix.

    The command line prints `what` and `how` on a line each and exits with status 2; from Python it
    is raised as it stands.
    """

    def __init__(self, what: str, how: str) -> None:
        super().__init__(f"{what}\n{how}")
        self.what = what
        self.how = how

    def __reduce__(self) -> tuple[type[UsageError], tuple[str, str], dict[str, object]]:
        """Return what makes the error again in another process, with its notes."""
        return type(self), (self.what, self.how), vars(self)


class StoreError(UsageError):
    """A results store that cannot be read or written as it is."""


class StoreWarning(UserWarning):
    """Something in a store that the user should know of, and that does not stop the program."""


class SlowWarning(UserWarning):
    """Something outside the program that makes it many times slower, with the remedy."""


def unknown(kind: str, name: str, known: Iterable[str], see: str) -> UsageError:
    """Return the error for a `name` that is none of the `known` ones, with the nearest one.

    `see` is a sentence that says where the whole list is.
    """
    close = get_close_matches(name.lower(), list(known), n=1, cutoff=0.5)
    how = f"Did you mean {close[0]!r}? {see}" if close else see
    return UsageError(f"Unknown {kind} {name!r}.", how)


def in_words(error: BaseException) -> str:
    """Return an error in a line."""
    return f"{type(error).__name__}: {error}".strip().replace("\n", " ")
