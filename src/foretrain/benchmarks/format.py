"""The on-disk form of a benchmark: one folder of Parquet, ``.npy`` and ``benchmark.json``.

- ``benchmark.json``: name, source, licence, units, the list of series, and size and SHA-256 of every other file.
- ``table.parquet``: a row per architecture; its string, its key where the source has one, and a ``float64`` column
  ``kind/dataset/split/name/epochs/seed`` for every final value, cost and score.
- ``architectures/<field>.npy``: the fields of the space's batch of architectures, read memory-mapped; not there where
  the networks belong to no space.
- ``curve/<dataset>/<split>/<name>/<epochs>.npy``: ``float32[n, seeds, observed epochs]``, read memory-mapped.

Nothing is pickled. The folder appears only when all of it is written.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter

from foretrain.benchmarks.catalog import MANIFEST
from foretrain.benchmarks.contents import Contents, Description, Series, check_contents
from foretrain.benchmarks.space import errors_of, load_space
from foretrain.errors import DataError
from foretrain.runtime.files import read_json, sha256, write_json
from foretrain.runtime.reading import load_array, load_columns
from foretrain.spaces.base import Architectures

FORMAT_VERSION = 1
TABLE = "table.parquet"
ARCHITECTURE = "architecture"
KEY = "key"
ARCHITECTURES = "architectures"
UNITS = {
    "accuracy": "percent, 0 to 100",
    "epochs": "counted from 1",
    "flops": "floating point operations of one image, as the source counts them",
    "parameters": "trainable parameters",
    "seconds": "seconds",
}
Batch = TypeVar("Batch", bound=Architectures)
_ROWS_AT_ONCE = 1 << 15
_IMPORT_AGAIN = "Delete the folder and import the benchmark again"


@dataclass(frozen=True)
class Manifest:
    """What ``benchmark.json`` says.

    Attributes:
        description: What the benchmark is.
        length: Number of architectures.
        has_keys: Whether the table has the column of keys.
        series: The series.
        files: Size in bytes and SHA-256 of every other file, by its path in the folder.
    """

    description: Description
    length: int
    has_keys: bool
    series: tuple[Series, ...]
    files: dict[str, tuple[int, str]]


def write_benchmark(contents: Contents, folder: str | Path) -> None:
    """Checks the contents and writes them; ``folder`` appears only when all of it is on disk.

    Raises:
        DataError: The contents are not fit (see :func:`check_contents`), an architecture is none of the space, or the
            folder is there already.
    """
    folder = Path(folder)
    check_contents(contents, contents.description.source_file or contents.description.name)
    with _new_folder(folder) as temporary:
        _write_architectures(contents, temporary)
        _write_table(contents, temporary / TABLE)
        for series, values in contents.series.items():
            if series.kind == "curve":
                _save(temporary / _curve_file(series), np.asarray(values, dtype=np.float32))
        files = sorted(path for path in temporary.rglob("*") if path.is_file())
        write_json(temporary / MANIFEST, _manifest_json(contents, temporary, files))


def read_manifest(folder: str | Path) -> Manifest:
    """Reads ``benchmark.json`` and checks that every file it lists is there in full length.

    Raises:
        DataError: The folder is no benchmark, of another format version, or incomplete; names the file.
    """
    path = Path(folder) / MANIFEST
    content = read_json(path)
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise DataError(path, f"format version {version}, this foretrain reads {FORMAT_VERSION}", _IMPORT_AGAIN)
    try:
        manifest = _parse_manifest(content)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(path, f"lacks a field or has a wrong one ({error})", _IMPORT_AGAIN) from error
    for name, (size, _) in manifest.files.items():
        _check_file(Path(folder), name, size)
    return manifest


def check_sums(folder: str | Path, manifest: Manifest) -> None:
    """Compares the SHA-256 of every file with the manifest.

    Raises:
        DataError: A file was changed.
    """
    for name, (_, digest) in manifest.files.items():
        path = Path(folder) / name
        if sha256(path) != digest:
            raise DataError(path, "its SHA-256 differs from the one in benchmark.json", _IMPORT_AGAIN)


def read_columns(folder: str | Path, names: list[str], length: int) -> pa.Table:
    """Reads columns of the table, one value for each of the benchmark's ``length`` architectures.

    Raises:
        DataError: The table is damaged, lacks a column, or has more or fewer rows.
    """
    path = Path(folder) / TABLE
    try:
        table = load_columns(path, names)
    except (OSError, ValueError) as error:
        raise DataError(path, f"damaged, or lacks one of its columns ({error})", _IMPORT_AGAIN) from error
    if table.num_rows != length:
        raise DataError(path, f"has {table.num_rows} rows of {names[0]} for {length} architectures", _IMPORT_AGAIN)
    return table


def map_curves(folder: str | Path, series: Series, length: int) -> NDArray[np.float32]:
    """Maps a curve file into memory: ``float32[n, seeds, observed epochs]``; nothing is read before it is used.

    Raises:
        DataError: The file is damaged or has another shape.
    """
    path = Path(folder) / _curve_file(series)
    values = _map(path)
    if values.shape != (length, *series.item_shape) or values.dtype != np.float32:
        raise DataError(path, f"holds {values.dtype}{list(values.shape)}, not what is listed", _IMPORT_AGAIN)
    return values


def map_architectures(folder: str | Path, kind: type[Batch], length: int) -> Batch:
    """Maps a batch of architectures into memory; writing to its tensors does not change the files.

    Args:
        folder: The benchmark.
        kind: The space's class of batches.
        length: Number of architectures.

    Raises:
        DataError: A file is missing or damaged.
    """
    paths = [Path(folder) / _architecture_file(field.name) for field in fields(kind)]
    try:
        batch = kind(*(torch.from_numpy(_map(path)) for path in paths))
    except (ValueError, TypeError) as error:
        raise DataError(Path(folder) / ARCHITECTURES, str(error), _IMPORT_AGAIN) from error
    if len(batch) != length:
        raise DataError(Path(folder) / ARCHITECTURES, f"holds {len(batch)}, not {length}", _IMPORT_AGAIN)
    return batch


def _write_architectures(contents: Contents, folder: Path) -> None:
    description = contents.description
    if description.space is not None:
        source = description.source_file or description.name
        space = load_space(description.space, description.skeleton, source)
        with errors_of(source):
            batch = space.parse(contents.architectures)
        for field, tensor in zip(fields(batch), batch.tensors(), strict=True):
            _save(folder / _architecture_file(field.name), tensor.numpy())


def _write_table(contents: Contents, path: Path) -> None:
    """Writes the table in blocks of rows, so that the columns are not copied all at once."""
    schema = _table_schema(contents)
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        for start in range(0, len(contents.architectures), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            writer.write_table(pa.table(list(_block(contents, rows)), schema=schema))


def _table_schema(contents: Contents) -> pa.Schema:
    texts = [ARCHITECTURE] + ([KEY] if contents.keys is not None else [])
    numbers = [name for series in contents.series if series.kind != "curve" for name in series.columns]
    return pa.schema([(name, pa.string()) for name in texts] + [(name, pa.float64()) for name in numbers])


def _block(contents: Contents, rows: slice) -> Iterator[pa.Array]:
    yield pa.array(contents.architectures[rows], pa.string())
    if contents.keys is not None:
        yield pa.array(contents.keys[rows], pa.string())
    for series, values in contents.series.items():
        if series.kind != "curve":
            for column in values[rows].T:
                yield pa.array(np.ascontiguousarray(column, dtype=np.float64))


def _manifest_json(contents: Contents, folder: Path, files: list[Path]) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "description": asdict(contents.description),
        "architectures": len(contents.architectures),
        "keys": contents.keys is not None,
        "units": UNITS,
        "series": [asdict(series) for series in contents.series],
        "files": {
            path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
            for path in files
        },
    }


@dataclass(frozen=True)
class _File:
    """What the manifest says of a file."""

    bytes: int
    sha256: str


def _parse_manifest(content: dict[str, Any]) -> Manifest:
    files = _typed(dict[str, _File], content["files"])
    return Manifest(
        description=_typed(Description, content["description"]),
        length=_typed(Annotated[int, Field(ge=0, lt=1 << 40)], content["architectures"]),
        has_keys=_typed(bool, content["keys"]),
        series=_typed(tuple[Series, ...], content["series"]),
        files={name: (file.bytes, file.sha256) for name, file in files.items()},
    )


def _typed(kind: Any, value: object) -> Any:  # noqa: ANN401 - any type hint, and a value of it
    """JSON as an object of a type, of which it must have the very form (a ValueError else)."""
    return TypeAdapter(kind).validate_json(json.dumps(value), strict=True)


def _check_file(folder: Path, name: str, size: int) -> None:
    path = folder / name
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise DataError(folder / MANIFEST, f"lists '{name}', which lies outside the folder", "Do not use this folder")
    if not path.is_file():
        raise DataError(path, "is missing", _IMPORT_AGAIN)
    if path.stat().st_size != size:
        raise DataError(path, f"has {path.stat().st_size} bytes instead of {size}", _IMPORT_AGAIN)


def _curve_file(series: Series) -> str:
    return f"{series.path}.npy"


def _architecture_file(field: str) -> str:
    return f"{ARCHITECTURES}/{field}.npy"


def _save(path: Path, values: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values, allow_pickle=False)


def _map(path: Path) -> NDArray[Any]:
    """Maps an array copy-on-write, so that torch may take it."""
    try:
        values: NDArray[Any] = load_array(path, mmap_mode="c")
    except (ValueError, EOFError, OSError) as error:
        raise DataError(path, f"not a readable array ({error})", _IMPORT_AGAIN) from error
    return values


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Gives a temporary folder beside ``folder`` that takes its name when the block ends without an error."""
    if folder.exists():
        raise DataError(folder, "is there already", "Remove it first, or choose another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".tmp", dir=folder.parent))
    try:
        yield temporary
        for path in temporary.rglob("*"):
            _sync(path)
        temporary.chmod(0o755)
        _rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _rename(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError as error:
        raise DataError(folder, "is there already", "Another process made it meanwhile: use that one") from error
    _sync(folder.parent)


def _sync(path: Path) -> None:
    """Flushes a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
