"""Files of arrays and tables that may come from anybody: their readers fail in one way."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Source = str | Path | io.BytesIO

_CELLS = 50_000_000
_CELLS_A_BYTE = 50


def parquet_within_bounds(source: Source) -> Source:
    """Returns ``source`` if the Parquet file there does not become far larger when it is read.

    A run of equal values takes a few bytes in a file and all of its length in memory: more cells than 50 million and
    50 for each byte of the file are no table of measurements.

    Args:
        source: A path, or an open file of bytes.

    Raises:
        ValueError: It is no Parquet file, or would be too large.
    """
    try:
        metadata = pq.read_metadata(source)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error)) from error
    if isinstance(source, io.BytesIO):
        size = source.getbuffer().nbytes
        source.seek(0)
    else:
        size = Path(source).stat().st_size
    cells = metadata.num_rows * max(metadata.num_columns, 1)
    if cells > _CELLS + _CELLS_A_BYTE * size:
        raise ValueError(f"{size} bytes that become {metadata.num_rows} rows of {metadata.num_columns} columns")
    return source


def load_table(source: Source, columns: list[str] | None = None) -> pd.DataFrame:
    """Reads a Parquet file of bounded size (:func:`parquet_within_bounds`) as pandas does, with its hints on types.

    Raises:
        ValueError: It is damaged, its hints are, or it would be too large.
        OSError: It cannot be opened.
    """
    try:
        # Texts that are no UTF-8 would be found when they are used, which is anywhere
        pq.read_table(parquet_within_bounds(source), columns=columns).validate(full=True)
        if isinstance(source, io.BytesIO):
            source.seek(0)
        return pd.read_parquet(source, columns=columns)
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


def load_archive(source: str | Path | BinaryIO) -> dict[str, NDArray[Any]]:
    """Reads all arrays of an ``.npz`` file, without pickle.

    Raises:
        ValueError: It is damaged, or no such file.
        OSError: It cannot be opened.
    """
    try:
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
