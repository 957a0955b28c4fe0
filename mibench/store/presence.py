"""Which processes write to a store at present: a small file of each, `OUT/running/<host>-<pid>-<hex>.json`.

A process refreshes its file every few seconds and removes it at its end. One that was killed leaves a file
that is no longer refreshed; the next process removes it where it is known to have ended, or is a day old.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import psutil

from mibench.errors import StoreError
from mibench.store.files import write_whole

REFRESH_SECONDS = 3.0
SILENT_SECONDS = 60.0
"""A process whose file is older than this has ended without removing it, or cannot write."""

FORGOTTEN_SECONDS = 86_400.0

MOST_ATTEMPTS = 100


@dataclass
class Progress:
    """What a process that writes to a store is doing.

    Attributes:
        sources: a digest of the sources that make numbers.
        part: which part of the grid it runs, such as "3/16"; "" for all.
        started: seconds since the epoch, by the clock of its host.
        runs: how many it has to do; `finished` and `failed` of them are done.
        title: the stage that it is in, of whose `total` work `done` is done since `stage_started`.
    """

    version: str
    sources: str
    part: str = ""
    workers: int = 1
    runs: int = 0
    finished: int = 0
    failed: int = 0
    title: str = ""
    total: float = 0.0
    done: float = 0.0
    stage_started: float = field(default_factory=time.time)
    started: float = field(default_factory=time.time)
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    updated: float = field(default_factory=time.time)

    @property
    def maker(self) -> tuple[str, str]:
        """What makes its numbers."""
        return self.version, self.sources

    @property
    def is_dead(self) -> bool:
        """Whether it is known to have ended: it was on this machine, and is not there."""
        return self.host == socket.gethostname() and not psutil.pid_exists(self.pid)

    @property
    def left(self) -> int:
        """How many runs are still to be done."""
        return self.runs - self.finished - self.failed

    @property
    def seconds_left(self) -> float | None:
        """How long the stage goes on at the rate that it had so far; None before anything is done."""
        if not 0 < self.done <= self.total:
            return None
        return (self.updated - self.stage_started) * (self.total - self.done) / self.done


class Presence:
    """A context in which a process is seen to write to a store.

    Attributes:
        others: how many others write there when it begins.

    Raises:
        StoreError: on entry, where a process with another version of mibench writes there at present.
    """

    def __init__(self, folder: Path | str, progress: Progress) -> None:
        self.progress = progress
        self._folder = Path(folder)
        name = f"{progress.host}-{progress.pid}-{secrets.token_hex(2)}.json"
        self._path = self._folder / "running" / name
        self._ended, self._writing = threading.Event(), threading.Lock()
        self.others = 0
        self._refresher = threading.Thread(target=self._refresh, daemon=True)

    def __enter__(self) -> Self:
        try:
            self._write()
        except OSError as error:
            raise StoreError(
                f"{str(self._path.parent)!r} cannot be written: {error.strerror}.",
                "Ask its owner for the right to write there, or give another --out folder.",
            ) from error
        try:
            self._look_around()
            self._refresher.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        self._ended.set()
        with self._writing:
            self._path.unlink(missing_ok=True)
            with suppress(OSError):  # where another process is there
                self._path.parent.rmdir()

    def _look_around(self) -> None:
        """Count the others, refuse to write beside another version, and remove what was left behind."""
        for path, other, age in _files(self._folder, now=self._path.stat().st_mtime):
            if path == self._path:
                continue
            if age > FORGOTTEN_SECONDS:
                path.unlink(missing_ok=True)
            elif age <= SILENT_SECONDS:
                self.others += 1
                if other.maker != self.progress.maker:
                    raise StoreError(
                        f"Process {other.pid} on {other.host} writes to {str(self._folder)!r} with mibench "
                        f"{other.version} of other sources; this is {self.progress.version}.",
                        "Wait until it has ended, use one version for both, or give another --out folder.",
                    )

    def _refresh(self) -> None:
        while not self._ended.wait(REFRESH_SECONDS):
            with suppress(OSError):  # a full disk ends the run where a record is written, not here
                self._write()

    def _write(self) -> None:
        self.progress.updated = time.time()
        content = json.dumps(asdict(self.progress)).encode()
        with self._writing:
            for attempt in range(0 if self._ended.is_set() else MOST_ATTEMPTS):
                try:
                    write_whole(self._path, lambda file: file.write(content))
                    return
                except (FileNotFoundError, FileExistsError):  # another process removes the folder at its end
                    if attempt + 1 == MOST_ATTEMPTS:
                        raise


def present(folder: Path | str) -> list[tuple[Progress, float]]:
    """Return the processes that have a file in a store, the longest running first, and how old each file is.

    Infinitely old is that of a process which is known to have ended.
    """
    found = [(progress, age) for _, progress, age in _files(Path(folder), time.time())]
    return sorted(found, key=lambda each: each[0].started)


def _files(folder: Path, now: float) -> Iterator[tuple[Path, Progress, float]]:
    names = {each.name for each in fields(Progress)}
    for path in (folder / "running").glob("*.json"):
        with suppress(OSError, ValueError, TypeError):  # removed meanwhile, or of another version
            values: dict[str, Any] = json.loads(path.read_bytes())
            progress = Progress(**{key: values[key] for key in names & values.keys()})
            age = now - path.stat().st_mtime
            yield path, progress, math.inf if progress.is_dead else max(0.0, age)
