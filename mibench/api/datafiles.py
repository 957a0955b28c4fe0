"""Reading x and y from files: .npz, two .npy, .csv, .parquet. Nothing pickled is ever loaded."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mibench.errors import UsageError, unknown

Columns = Sequence[str] | None

_FORMATS = "one .npz, two .npy files (x, then y), one .csv or one .parquet"


def read(paths: Sequence[Path], x: Columns = None, y: Columns = None) -> tuple[Any, Any]:
    """Return x and y of a file or of a pair of files, as they stand there.

    Args:
        paths: one .npz, two .npy (x, then y), one .csv or one .parquet.
        x: the array of an .npz file ("x"), or the columns of a table: names or patterns such as `x_*`;
            without it, all columns whose name begins with x.
        y: the same for y.

    Raises:
        UsageError: no such file, array or column, or a file that cannot be read.
    """
    for path in paths:
        if not path.is_file():
            raise UsageError(f"There is no file {str(path)!r}.", f"Give {_FORMATS}.")
    kinds = [path.suffix.lower() for path in paths]
    try:
        if kinds == [".npy", ".npy"]:
            return _array(paths[0]), _array(paths[1])
        if kinds == [".npz"]:
            return _from_archive(paths[0], x, y)
        if kinds == [".csv"]:
            return _from_table(pd.read_csv(paths[0]), paths[0], x, y)
        if kinds == [".parquet"]:
            return _from_table(_parquet(paths[0]), paths[0], x, y)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"Cannot read {str(paths[0])!r}: {error}.", f"Give {_FORMATS}.") from None
    names = " and ".join(repr(str(path)) for path in paths)
    raise UsageError(f"Cannot tell x and y of {names}.", f"Give {_FORMATS}.")


def _array(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds; it is checked where it is used
    return np.load(path, allow_pickle=False)


def _from_archive(path: Path, x: Columns, y: Columns) -> tuple[Any, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        sides = []
        for name in (x or ["x"], y or ["y"]):
            parts = []
            for one in name:
                if one not in arrays.files:
                    have = ", ".join(arrays.files) or "none"
                    raise unknown(f"array of {str(path)!r}:", one, arrays.files, f"It has {have}.")
                parts.append(arrays[one])
            sides.append(parts[0] if len(parts) == 1 else np.column_stack(parts))
    return sides[0], sides[1]


def _parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except ImportError:
        raise UsageError(
            "Reading .parquet needs pyarrow.", 'Install it: pip install "mibench[parquet]".'
        ) from None


def _from_table(table: pd.DataFrame, path: Path, x: Columns, y: Columns) -> tuple[Any, Any]:
    if len(table) == 0:
        raise UsageError(f"{str(path)!r} has no rows.", "Give a table with one row per pair.")
    chosen = {name: _columns(table, path, wanted, name) for name, wanted in (("x", x), ("y", y))}
    both = [column for column in chosen["x"] if column in chosen["y"]]
    if both:
        raise UsageError(f"Column {both[0]!r} is in x and in y.", "Give each column to one of them.")
    return _frame(table, chosen["x"]), _frame(table, chosen["y"])


def _columns(table: pd.DataFrame, path: Path, wanted: Columns, side: str) -> list[str]:
    names = [str(column) for column in table.columns]
    if wanted is None:
        found = [name for name in names if name.lower().startswith(side)]
        if not found:
            raise UsageError(
                f"No column of {str(path)!r} begins with {side}.",
                f"Name the columns of {side}: --{side} first,second. It has {', '.join(names[:12])}.",
            )
        return found
    found = []
    for pattern in wanted:
        matching = [name for name in names if name == pattern] or [
            n for n in names if fnmatchcase(n, pattern)
        ]
        if not matching:
            have = ", ".join(names[:12])
            raise unknown(f"column of {str(path)!r}:", pattern, names, f"It has {have}.")
        found += matching
    return list(dict.fromkeys(found))


def _frame(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    for column in columns:
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise UsageError(
                f"Column {column!r} is not numeric.",
                "Leave it out with --x and --y, or encode it as numbers.",
            )
    return table[columns]
