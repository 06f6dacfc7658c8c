"""People's own tables: CSV, Parquet and npz in, CSV and Parquet out, ``-`` for the standard streams."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from foretrain.errors import ConfigError, DataError
from foretrain.runtime.files import atomic_path, require_writable
from foretrain.runtime.reading import load_archive, load_table, to_numbers

STREAM = "-"
WRITERS: dict[str, Callable[..., object]] = {".csv": pd.DataFrame.to_csv, ".parquet": pd.DataFrame.to_parquet}
_PARQUET, _ARCHIVE = b"PAR1", b"PK"
_CELLS = 5_000_000


def read_table(source: str | Path) -> pd.DataFrame:
    """Reads a table as the text of its cells, ``""`` for an empty one; the numbers in it lose no digit.

    The content tells what it is: Parquet, npz or else CSV. In an archive each one-dimensional array is a column, and
    one array ``[n, t]`` may be t columns, 1 to t: a curve in each row.

    Args:
        source: The file; ``-`` is standard input.

    Raises:
        DataError: There is no such file, or it is no table.
    """
    source = Path(source)
    try:
        content = sys.stdin.buffer.read() if is_stream(source) else source.read_bytes()
    except FileNotFoundError as error:
        raise DataError(source, "no such file", "Check the path") from error
    except OSError as error:
        raise DataError(source, f"cannot be read ({error.strerror})", "Give a CSV, Parquet or npz file") from error
    try:
        if content.startswith(_PARQUET):
            return _as_text(load_table(io.BytesIO(content)))
        if content.startswith(_ARCHIVE):
            return _as_text(_from_archive(content, source))
        return pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, skip_blank_lines=False)
    except (ValueError, pa.ArrowException, zipfile.BadZipFile, OSError) as error:
        problem = f"not a readable table ({error})"
        raise DataError(name_of(source), problem, "Give a CSV, Parquet or npz file") from error


def write_table(table: pd.DataFrame, target: str | Path) -> None:
    """Writes a table whole or not at all; ``-`` is standard output and gets CSV."""
    target = Path(target)
    if is_stream(target):
        table.to_csv(sys.stdout, index=False)
        return
    with atomic_path(target) as temporary:
        WRITERS[target.suffix](table, temporary, index=False)


def checked_target(target: str, key: str = "output") -> Path:
    """Returns where a table goes.

    Raises:
        ConfigError: Its ending is that of no table.
        DataError: No file can be made there.
    """
    if is_stream(target):
        return Path(target)
    if Path(target).suffix not in WRITERS:
        raise ConfigError(key, "unknown file ending", target, [*WRITERS, "- for standard output"])
    return require_writable(target)


def require_column(table: pd.DataFrame, name: str, source: str | Path) -> None:
    """Refuses a table without a column, or without rows.

    Raises:
        DataError: So it is.
    """
    if name not in table.columns:
        shown = ", ".join(table.columns[:8])
        raise DataError(name_of(source), f"has no column {name!r}, only {shown}", "Add it, or name another column")
    if not len(table):
        raise DataError(name_of(source), "has no rows", "Give one a network")


def numbers(table: pd.DataFrame, column: str, source: str | Path) -> NDArray[np.float64]:
    """Returns the numbers of a column of :func:`read_table`, NaN for empty cells.

    Raises:
        DataError: A cell holds something else; names its row.
    """
    texts = table[column].str.strip()
    empty = texts.str.lower().isin(["", "nan", "none", "null"]).to_numpy()
    found = to_numbers(texts.where(~empty)).to_numpy(dtype=np.float64)
    bad = np.isnan(found) & ~empty
    if bad.any():
        row = int(bad.argmax())
        raise DataError(name_of(source), f"row {row + 1} has {texts.iloc[row]!r} as {column}", "Give a number")
    return found


def is_stream(path: str | Path) -> bool:
    """Returns whether a path stands for a standard stream."""
    return str(path) == STREAM


def name_of(source: str | Path) -> str:
    """Returns what messages call a source."""
    return "standard input" if is_stream(source) else str(source)


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Text of all cells; floats of less precision are widened first, as NumPy does where it computes with them."""
    wide = dict.fromkeys(table.select_dtypes("float").columns, np.float64)
    whole = table.astype(wide).astype(object)
    whole.columns = whole.columns.map(str)
    return whole.where(whole.notna(), "").astype(str)


def _from_archive(content: bytes, source: Path) -> pd.DataFrame:
    found = load_archive(io.BytesIO(content))
    columns: dict[str, NDArray[np.generic]] = {name: array for name, array in found.items() if array.ndim == 1}
    remedy = "Give columns [n], beside one array [n, t] at most"
    matrices = {name: array for name, array in found.items() if array.ndim == 2}
    if len(matrices) > 1 or len(columns) + len(matrices) < len(found) or len({*map(len, found.values())}) != 1:
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in found.items()) or "no arrays"
        raise DataError(name_of(source), f"makes no table: {shapes}", remedy)
    if (cells := sum(array.size for array in found.values())) > _CELLS + len(content):
        raise DataError(name_of(source), f"{len(content)} bytes that become {cells} values", remedy)
    for matrix in matrices.values():
        columns |= {str(place + 1): column for place, column in enumerate(matrix.T)}
    return pd.DataFrame(columns)
