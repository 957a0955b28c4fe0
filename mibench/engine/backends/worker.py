"""A process that runs jobs for the backend `processes`: `python -m mibench.engine.backends.worker THREADS`.

It reads pickled jobs from its standard input. On its standard output it writes the work that it has done, and
the results of each job or the error that it raised. It ends with its input, and with whoever started it.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

import torch

from mibench.engine.jobs import Job
from mibench.process import keep_freed_memory

PARENT_SECONDS = 1.0
"""How often a worker looks whether the process that started it is still there."""


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
        lines = traceback.format_exception(error)
        with suppress(Exception):
            error.add_note("".join(lines))
            pickle.loads(pickle.dumps(error))
            return error
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        plain.add_note("".join(lines))
        return plain


def _private(descriptor: int, instead: int) -> int:
    """Return a copy of a standard stream for this process alone; others have another one in its place."""
    own = os.dup(descriptor)
    os.dup2(instead, descriptor)
    return own


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(1)


def main() -> None:
    """Serve whoever started this process."""
    keep_freed_memory()
    torch.set_num_threads(int(sys.argv[1]))
    warnings.simplefilter("ignore")  # those of this process would appear among the lines of another
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    # What models print is no result, and what a program that they start reads is no job.
    results = os.fdopen(_private(1, instead=2), "wb")
    jobs = os.fdopen(_private(0, instead=os.open(os.devnull, os.O_RDONLY)), "rb")
    with suppress(BrokenPipeError, KeyboardInterrupt):
        serve(jobs, results)
    os._exit(0)  # nothing is left to flush, and no thread to wait for


if __name__ == "__main__":
    main()
