"""The results store: append-only JSON Lines, one segment file per writing process.

    OUT/records/20260102T030405-4711-9f2c.jsonl
    OUT/curves/<key of the run>.npy

A process appends to a segment of its own and never to another's, one `write` and `fsync` per record, so no
locks are needed and a record that was cut short by a crash can only be the last line of its file.
"""

from __future__ import annotations

import os
import re
import secrets
import time
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mibench.errors import StoreError, StoreWarning
from mibench.options import path_of
from mibench.store.files import write_whole
from mibench.store.record import NewerSchemaError, Record, from_line, is_superseded, to_line

Curve = NDArray[np.float32]

_KEY = re.compile("[0-9a-f]{64}")

AGREEMENT_NATS = 0.1
"""Two results of one key differ by less, unless something is wrong: they share data and initial weights."""


class Store:
    """The records under a folder.

    Nothing is created until `writer` is called.

    Raises:
        StoreError: the folder is a file.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = path_of(folder, "out")
        if self.folder.exists() and not self.folder.is_dir():
            raise StoreError(
                f"The output folder {str(self.folder)!r} is a file.", "Give another --out folder."
            )

    @property
    def segments(self) -> list[Path]:
        """The segment files, in the order of their creation."""
        return sorted((self.folder / "records").glob("*.jsonl"))

    def load(self) -> dict[str, Record]:
        """Return the record of each key: a finished one first, then one whose truth stands, then the latest.

        A torn last line of a segment is left out with a warning; so is said when two finished records of one
        key disagree.

        Raises:
            StoreError: a damaged line elsewhere, or a record of a newer version; it names file and line.
        """
        return merge(record for path in self.segments for record in _read(path))

    def curve(self, key: str) -> Curve | None:
        """Return the values, step by step, that were stored beside a record; None where there are none."""
        if not _KEY.fullmatch(key):
            return None  # the key of someone else's record may be no name of a file
        path = self.folder / "curves" / f"{key}.npy"
        if not path.is_file():
            return None
        try:
            return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
        except (ValueError, EOFError) as error:
            raise StoreError(
                f"{path} is damaged: {error}.", "Delete it and run again with --rerun all."
            ) from error

    def writer(self) -> Writer:
        """Create a segment and return a context that appends to it.

        Raises:
            StoreError: the folder cannot be made or written.
        """
        return Writer(self.folder / "records")


class Writer:
    """An open segment. It is removed again if nothing was appended."""

    def __init__(self, folder: Path) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        self._path = folder / f"{stamp}-{os.getpid()}-{secrets.token_hex(2)}.jsonl"
        self._curves = folder.parent / "curves"
        self._empty = True
        try:
            folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._file = os.open(self._path, flags, 0o666)
            for created in (folder, folder.parent, folder.parent.parent):
                _sync_folder(created)
        except OSError as error:
            raise StoreError(
                f"The output folder {str(folder.parent)!r} cannot be written: {error.strerror}.",
                "Give another --out folder.",
            ) from error

    def append(self, record: Record, curve: Curve | None = None) -> None:
        """Append a record, and write its curve; they are on disk when this returns."""
        line = to_line(record).encode()
        self._empty = False
        try:
            if curve is not None:
                path = self._curves / f"{record.key}.npy"
                write_whole(path, lambda file: np.save(file, curve, allow_pickle=False))
            written = os.write(self._file, line)
            os.fsync(self._file)
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}.", "Free some space.") from error
        if written != len(line):
            raise StoreError(f"{self._path}: the disk is full.", "Free some space.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
        if self._empty:
            self._path.unlink()


def merge(records: Iterable[Record]) -> dict[str, Record]:
    """Return the record of each key: a finished one first, then one whose truth stands, then the latest."""
    chosen: dict[str, Record] = {}
    for record in records:
        rival = chosen.get(record.key)
        if rival is not None:
            _warn_of_disagreement(rival, record)
        if rival is None or _rank(record) >= _rank(rival):
            chosen[record.key] = record
    return chosen


def _read(path: Path) -> list[Record]:
    lines = path.read_bytes().split(b"\n")
    ended = len(lines) - 1
    if not lines[-1]:
        lines.pop()  # what follows the last newline; a line without one counts, if it is a whole record
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(from_line(line.decode()))
        except NewerSchemaError as error:
            raise StoreError(
                f"{path}, line {number}, was written by a newer version of mibench: {error}.",
                "Upgrade mibench, or give another --out folder.",
            ) from None
        except (ValueError, TypeError, RecursionError) as error:
            if number <= ended:
                raise StoreError(
                    f"{path}, line {number}, is damaged: {error}.",
                    "Restore the file from a copy, or delete that line: its run is then done again.",
                ) from error
            _warn(f"{path}, line {number}, was cut short by a crash and is left out.")
    return records


def _warn_of_disagreement(one: Record, other: Record) -> None:
    earlier, later = sorted((one, other), key=lambda record: record.finished_at)
    run = f"{one.key[:12]} ({one.estimator}, n = {one.n}, seed {one.seed})"
    if earlier.status == "ok" != later.status:
        why = f"{later.status}: {later.message}"
        _warn(f"Run {run} finished once and later {why}. The finished result is kept.")
    if one.estimate_nats is None or other.estimate_nats is None:
        return
    difference = abs(one.estimate_nats - other.estimate_nats)
    if difference > AGREEMENT_NATS:
        makers = f"{one.device}, {one.version}; {other.device}, {other.version}"
        _warn(f"Two results of run {run} differ by {difference:.2g} nats ({makers}).")


def _warn(text: str) -> None:
    warnings.warn(text, StoreWarning, stacklevel=4)


def _rank(record: Record) -> tuple[bool, bool, str]:
    return record.status == "ok", not is_superseded(record), record.finished_at


def _sync_folder(folder: Path) -> None:
    """Make a new file's name survive a crash of the machine, where the system can.

    A folder that may be entered but not read cannot be opened, and some file systems cannot sync folders.
    """
    if os.name != "posix":
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
