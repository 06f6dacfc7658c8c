"""Files of arrays and tables that may come from anybody: their readers fail in one way."""

from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from foretrain.runtime.parquet_footer import column_chunks

Source = str | Path | io.BytesIO

_CELLS = 5_000_000
_CELLS_A_BYTE = 10
_BYTES = 100_000_000
_BYTES_A_BYTE = 50
"""Unpacked, tables of measurements and maps that are zero almost everywhere stay far below these."""


def parquet_within_bounds(source: Source) -> Source:
    """Returns ``source`` if the Parquet file there does not become far larger when it is read.

    A run of equal values takes a few bytes in a file and all of its length in memory, and one long text that each row
    refers to takes it as often: more cells than 5 million and 10 for each byte of the file, or more bytes of text than
    100 million and 50 for each byte of the file, are no table of measurements.

    Args:
        source: A path, or an open file of bytes.

    Raises:
        ValueError: It is no Parquet file, or would be too large.
    """
    try:
        _check_parquet(source)
    except Exception as error:  # damaged bytes fail in many ways
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return source


def _check_parquet(source: Source) -> None:
    with contextlib.nullcontext(source) if isinstance(source, io.BytesIO) else Path(source).open("rb") as file:
        chunks = column_chunks(file)
    size = _size(source)
    metadata = pq.read_metadata(source)
    cells = max(metadata.num_rows * max(metadata.num_columns, 1), sum(abs(chunk.values) for chunk in chunks))
    if cells > _CELLS + _CELLS_A_BYTE * size:
        raise ValueError(f"{size} bytes that become {metadata.num_rows} rows of {metadata.num_columns} columns")
    _check_unpacked(size, sum(abs(chunk.uncompressed) for chunk in chunks))
    columns = [metadata.schema.column(place) for place in range(metadata.num_columns)]
    for name in {column.path for column in columns if column.physical_type == "BYTE_ARRAY"}:
        # read as numbers of a dictionary that holds each text once
        with pq.ParquetFile(source, read_dictionary=[name]) as file:
            texts = file.read(columns=[name], use_threads=False)
        for column in texts.columns:
            _check_unpacked(size, sum(map(_text_bytes, column.chunks)))
        if isinstance(source, io.BytesIO):
            source.seek(0)


def _size(source: Source) -> int:
    if isinstance(source, io.BytesIO):
        source.seek(0)
        return source.getbuffer().nbytes
    return Path(source).stat().st_size


def _check_unpacked(size: int, unpacked: int) -> None:
    if unpacked > _BYTES + _BYTES_A_BYTE * size:
        raise ValueError(f"{size} bytes that become {unpacked}")


def _text_bytes(array: pa.Array) -> int:
    """Bytes of all texts in an array whose texts are numbers of a dictionary."""
    if pa.types.is_dictionary(array.type):
        return pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0
    if pa.types.is_nested(array.type):
        parts = array.flatten()
        return sum(map(_text_bytes, parts if isinstance(parts, list) else [parts]))
    return 0


def load_columns(source: Source, columns: list[str] | None = None) -> pa.Table:
    """Reads a Parquet file of bounded size (:func:`parquet_within_bounds`), or some of its columns.

    Raises:
        ValueError: It is damaged, or would be too large.
        OSError: It cannot be opened.
    """
    try:
        table = pq.read_table(parquet_within_bounds(source), columns=columns, use_threads=False)
        # Texts that are no UTF-8 would be found when they are used, which is anywhere
        table.validate(full=True)
        return table if columns is None else table.select(columns)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def load_table(source: Source, columns: list[str] | None = None) -> pd.DataFrame:
    """Reads a Parquet file as :func:`load_columns` and pandas do, with its hints on types.

    Raises:
        ValueError: It is damaged, its hints are, or it would be too large.
        OSError: It cannot be opened.
    """
    table = load_columns(source, columns)
    try:
        frame: pd.DataFrame = table.to_pandas()
        return frame if columns is None else frame[columns]  # a hint may have made one the index
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def load_array(path: str | Path, mmap_mode: Literal["r", "c"]) -> Any:  # noqa: ANN401 - checked by the caller
    """Maps a ``.npy`` file into memory, without pickle.

    Raises:
        ValueError: It is damaged. NumPy itself reads the header as Python, which fails in as many ways as that.
        OSError: It cannot be opened.
    """
    try:
        return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def load_archive(source: Source) -> dict[str, NDArray[Any]]:
    """Reads all arrays of an ``.npz`` file, without pickle.

    Raises:
        ValueError: It is damaged, or no such file.
        OSError: It cannot be opened.
    """
    try:
        with zipfile.ZipFile(source) as members:
            _check_unpacked(_size(source), sum(member.file_size for member in members.infolist()))
        if isinstance(source, io.BytesIO):
            source.seek(0)
        with np.load(source, allow_pickle=False) as archive:
            arrays = dict(archive)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    # NumPy hands out the bytes of a member that is no array
    if other := next((name for name, values in arrays.items() if not isinstance(values, np.ndarray)), None):
        raise ValueError(f"its member {other} is no array")
    return arrays


def to_numbers(column: pd.Series) -> pd.Series:
    """Returns a column's cells as numbers; NaN for those that are none.

    An integer beyond float64 becomes infinite; pandas itself fails on it.
    """
    try:
        return pd.to_numeric(column, errors="coerce")
    except OverflowError:
        return column.map(_number).astype(np.float64)


def _number(cell: Any) -> float:  # noqa: ANN401 - whatever a table holds
    try:
        return float(str(cell))
    except ValueError:
        return np.nan
