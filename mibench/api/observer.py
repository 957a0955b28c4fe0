"""Who follows what a run does: the command line shows it, the library says nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass


@dataclass(frozen=True)
class Observer:
    """What follows a run.

    Attributes:
        say: is called with lines for the user.
        progress: is called with a title and the total work, for a block whose target is a function: the block
            calls it with the work done since the last call.
    """

    say: Callable[..., None]
    progress: Callable[[str, float], AbstractContextManager[Callable[[float], None]]]


SILENT = Observer(lambda *lines: None, lambda title, total: nullcontext(lambda work: None))
