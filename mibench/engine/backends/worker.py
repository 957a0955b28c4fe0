"""A process that runs jobs for the backend `processes`: `python -m mibench.engine.backends.worker`.

It reads pickled jobs from its standard input. On its standard output it writes the work that it has done, and
the results of each job or the error that it raised. It ends with its input, or where nobody reads.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, Literal

import torch

from mibench.engine.jobs import Job
from mibench.process import keep_freed_memory

Message = tuple[Literal["work", "ended"], object]
"""`work` with what was done since the last message, or `ended` with a job's results or error."""


def serve(jobs: BinaryIO, results: BinaryIO) -> None:
    """Run jobs until there are no more."""

    def send(kind: str, content: object) -> None:
        results.write(pickle.dumps((kind, content)))
        results.flush()

    while True:
        try:
            job, device = pickle.load(jobs)
        except EOFError:
            return
        send("ended", _ended(job, device, lambda work: send("work", work)))


def _ended(
    job: Job[object], device: torch.device, report: Callable[[float], None]
) -> list[object] | Exception:
    """Return the results of a job, or its error as it can be pickled, with its traceback as a note."""
    try:
        return job.run(device, report)
    except BrokenPipeError:
        raise
    except Exception as error:
        error.add_note("".join(traceback.format_exception(error)))
        with suppress(Exception):
            pickle.loads(pickle.dumps(error))
            return error
        return RuntimeError(f"{type(error).__name__}: {error}")


def main() -> None:
    """Serve whoever started this process."""
    keep_freed_memory()
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what models print is no result
    with suppress(BrokenPipeError, KeyboardInterrupt):
        serve(sys.stdin.buffer, results)
    os._exit(0)  # nothing is left to flush, and no thread to wait for


if __name__ == "__main__":
    main()
