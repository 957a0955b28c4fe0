"""The cache of trained encoders, one file per key: OUT/encoders/<key>.npz.

A file holds the parameters as arrays, and in `about` the JSON of what they are. It is written under another
name first, so a file of that name is always whole.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mibench.errors import StoreError
from mibench.store.files import write_whole

SCHEMA = 1
"""Raised when the form of the file changes; files of other schemas are refused."""

Arrays = Mapping[str, NDArray[Any]]


class EncoderStore:
    """The encoders under a results folder; nothing is created until one is kept."""

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder) / "encoders"

    def has(self, key: str) -> bool:
        """Return whether there is an encoder of that key."""
        return self._path(key).is_file()

    def load(self, key: str) -> dict[str, NDArray[Any]]:
        """Return the arrays of a key.

        Raises:
            StoreError: the file is damaged, or of another version of mibench.
        """
        path = self._path(key)
        how = f"Delete {path}: the encoder is then trained again. Or give another --out folder."
        try:
            # Opened here: a file that is not an archive would otherwise stay open.
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: np.asarray(file[name]) for name in file.files}
            about = json.loads(str(arrays.pop("about")))
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise StoreError(f"The cached encoder {path} is damaged: {error}.", how) from error
        if about.get("schema") != SCHEMA or about.get("key") != key:
            raise StoreError(
                f"The cached encoder {path} is of another version of mibench ({about.get('version')}).", how
            )
        return arrays

    def keep(self, key: str, arrays: Arrays, about: Mapping[str, Any]) -> None:
        """Write the arrays of a key, and what they are."""
        path = self._path(key)
        text = np.array(json.dumps({"schema": SCHEMA, "key": key, **about}, sort_keys=True))
        try:
            write_whole(path, lambda file: np.savez(file, about=text, **arrays))  # type: ignore[arg-type]
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}.", "Free some space.") from error

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.npz"
