"""Pickles read through an allow-list: plain containers, NumPy arrays and torch tensors, nothing that runs code."""

from __future__ import annotations

import bz2
import collections
import io
import pickle
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foretrain.errors import DataError

_DOWNLOAD = "The file is damaged or truncated: download it again"
_DISTRUST = "Nothing of it was run. Do not use files you do not trust"

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

Storage = Callable[[torch.dtype, str, int], Tensor]
"""Gives the storage of a type, key and length as a flat tensor."""


def load_bz2_pickle(path: Path, limit: int) -> Any:  # noqa: ANN401 - a pickle holds any plain object
    """Reads a bz2-compressed pickle.

    Args:
        path: The file.
        limit: The most bytes that may come out of it.

    Raises:
        DataError: It is damaged, larger than ``limit``, or wants a class outside the allow-list.
    """
    return _load(io.BytesIO(_decompress(path, limit)), path)


def load_torch_file(path: Path) -> Any:  # noqa: ANN401
    """Reads a file that ``torch.save`` wrote, as a zip archive or in the form it had before torch 1.6.

    Raises:
        DataError: It is damaged, no such file, or wants a class outside the allow-list.
    """
    try:
        with path.open("rb") as file:
            is_zip = zipfile.is_zipfile(file)
            file.seek(0)
            return _load_archive(file, path) if is_zip else _load_legacy(file, path)
    except DataError:
        raise
    except Exception as error:  # a wrong byte may raise anything
        raise _damaged(path, error) from error


class _PlainUnpickler(pickle.Unpickler):
    """Refuses every global name that is not on the allow-list."""

    def __init__(self, file: IO[bytes], path: Path, storage: Storage | None) -> None:
        super().__init__(file)
        self._path = path
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        try:
            return _ALLOWED[module, name]
        except KeyError:
            problem = f"wants {module}.{name}, which is not among the plain data types that are read"
            raise DataError(self._path, problem, _DISTRUST) from None

    def persistent_load(self, pid: Any) -> Tensor:  # noqa: ANN401
        if self._storage is None or pid[0] != "storage" or pid[5:] not in ((), (None,)):
            raise pickle.UnpicklingError(f"refers to {pid[0]!r} outside of the pickle")
        return self._storage(pid[1], str(pid[2]), int(pid[4]))


def _load(file: IO[bytes], path: Path, storage: Storage | None = None) -> Any:  # noqa: ANN401
    try:
        return _PlainUnpickler(file, path, storage).load()
    except DataError:
        raise
    except Exception as error:  # a wrong byte may raise anything
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(path, f"not a readable pickle ({type(error).__name__}: {error})", _DOWNLOAD)


def _decompress(path: Path, limit: int) -> bytes:
    try:
        with bz2.open(path, "rb") as file:
            data = file.read(limit + 1)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(path, f"not a readable bz2 file ({error})", _DOWNLOAD) from error
    if len(data) > limit:
        raise DataError(path, f"holds more than {limit} bytes when decompressed", _DISTRUST)
    return data


def _load_archive(file: IO[bytes], path: Path) -> Any:  # noqa: ANN401
    """The zip form: ``<name>/data.pkl`` and a member ``<name>/data/<key>`` for every storage.

    The members must be stored as they are, as torch writes them, so that no compressed one can blow up.
    """
    archive = zipfile.ZipFile(file)
    members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
    for info in members.values():
        if info.compress_type != zipfile.ZIP_STORED:
            raise DataError(path, f"the member {info.filename} is compressed, which torch never does", _DISTRUST)
    storages: dict[str, Tensor] = {}

    def storage(dtype: torch.dtype, key: str, length: int) -> Tensor:
        if key not in storages:
            storages[key] = _flat_tensor(archive.read(members[f"data/{key}"]), dtype, length)
        return storages[key]

    with archive.open(members["data.pkl"]) as pickled:
        loaded = _load(pickled, path, storage)
        pickled.read()  # zipfile compares the checksum at the end of the member
    return loaded


def _load_legacy(file: IO[bytes], path: Path) -> Any:  # noqa: ANN401
    """The older form: pickles of a magic number, a version and the machine; the object; the storages in order."""
    if _load(file, path) != _LEGACY_MAGIC or _load(file, path) != _LEGACY_PROTOCOL:
        raise DataError(path, "has not the magic number of a file that torch wrote", _DOWNLOAD)
    _load(file, path)
    storages: dict[str, Tensor] = {}
    size = path.stat().st_size

    def storage(dtype: torch.dtype, key: str, length: int) -> Tensor:
        if key not in storages:
            if not 0 <= length * dtype.itemsize <= size:
                raise EOFError(f"a tensor of {length} numbers in a file of {size} bytes")
            storages[key] = torch.empty(length, dtype=dtype)
        return storages[key]

    loaded = _load(file, path, storage)
    for key in _load(file, path):
        tensor = storages[str(key)]
        length = int.from_bytes(file.read(8), "little")
        tensor.copy_(_flat_tensor(file.read(tensor.nbytes), tensor.dtype, length))
    return loaded


def _flat_tensor(data: bytes, dtype: torch.dtype, length: int) -> Tensor:
    if len(data) != length * dtype.itemsize:
        raise EOFError(f"{len(data)} bytes for {length} numbers of {dtype}")
    flat = torch.empty(length, dtype=dtype)
    flat.view(torch.uint8).numpy()[:] = np.frombuffer(data, np.uint8)
    return flat


def _rebuild_tensor(storage: Tensor, offset: int, size: Sequence[int], stride: Sequence[int], *_: object) -> Tensor:
    """Stands for ``torch._utils._rebuild_tensor_v2``; torch checks that the view lies inside the storage."""
    return storage.as_strided(size, stride, offset)


class _PlainDtype:
    """Stands for ``numpy.dtype``: NumPy's own takes flags from the pickle by which numbers pass for pointers."""

    def __init__(self, code: str, *_: object) -> None:
        self._code = code
        self._order: Any = "="

    def __setstate__(self, state: Sequence[Any]) -> None:
        self._order = state[1]

    def resolve(self) -> np.dtype[Any]:
        dtype = np.dtype(self._code).newbyteorder(self._order)
        if dtype.hasobject:
            raise pickle.UnpicklingError("an array of objects")
        return dtype


class _PlainArray(np.ndarray[Any, Any]):
    """An array that takes its state from bytes only."""

    def __setstate__(self, state: Sequence[Any]) -> None:
        _, shape, dtype, fortran, data = state
        array = _array_from_bytes(data, dtype, shape, "F" if fortran else "C")
        super().__setstate__(cast("Any", array.__reduce__()[2]))


def _empty_array(*_: object) -> _PlainArray:
    """Stands for NumPy's ``_reconstruct``; the array gets its shape and bytes from the state that follows."""
    return _PlainArray((0,), np.int8)


def _array_from_bytes(data: bytes, dtype: _PlainDtype, shape: Sequence[int], order: Any) -> NDArray[Any]:  # noqa: ANN401
    """Stands for NumPy's ``_frombuffer``, which pickle protocol 5 uses in place of ``_reconstruct``."""
    return np.frombuffer(data, dtype=dtype.resolve()).reshape(shape, order=order)


def _scalar(dtype: _PlainDtype, data: bytes) -> Any:  # noqa: ANN401
    """Stands for ``numpy.core.multiarray.scalar``."""
    return np.frombuffer(data, dtype=dtype.resolve(), count=1)[0]


def _encode(text: str, _encoding: str = "latin1") -> bytes:
    """Stands for ``_codecs.encode``, by which older pickle protocols write bytes."""
    return text.encode("latin1")


_PLAIN_TYPES = (bool, complex, dict, float, frozenset, int, list, set, str, tuple)
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): collections.defaultdict,
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _PlainDtype,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    **{("builtins", item.__name__): item for item in _PLAIN_TYPES},
    **{("__builtin__", item.__name__): item for item in _PLAIN_TYPES},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _empty_array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array_from_bytes for core in ("core", "_core")},
}
