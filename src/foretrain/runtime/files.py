"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foretrain.errors import DataError

_READ_BLOCK = 1 << 20
_UNWRITABLE_NUMBERS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
_UNWRITABLE = ("PytorchStreamWriter failed", "items requested and", "requested and 0 written")
"""What torch.save and NumPy say of a full disk, without its number."""


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path to write to; it takes the place of ``path`` when the block ends without an error.

    The temporary file lies in the same folder, is flushed to disk and then renamed, so a reader sees the old file or
    the new one and a kill at any moment leaves no half file.

    Args:
        path: The final path; its folder is created where it is missing.

    Raises:
        DataError: The disk is full or the folder is read-only; the old file is there as it was.
    """
    path = Path(path)
    with _told_if_unwritable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=f".tmp{path.suffix}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _told_if_unwritable(path: Path) -> Iterator[None]:
    """Turns what a full disk or a read-only folder raises, in several libraries' words, into one error."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = next((text for text in _UNWRITABLE if text in str(error)), None)
        number = error.errno if isinstance(error, OSError) else None
        if cause is None and number not in _UNWRITABLE_NUMBERS:
            raise
        remedy = "Make room or choose another folder; what is finished is kept, the same command goes on"
        raise DataError(path, f"cannot be written ({error})", remedy) from error


def write_text(path: str | Path, text: str) -> None:
    """Writes ``text`` to ``path`` atomically, as UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Writes ``value`` to ``path`` atomically as JSON with sorted keys; NaN and infinities stay as they are."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: str | Path) -> Any:  # noqa: ANN401 - JSON is any value
    """Reads a JSON file.

    Raises:
        DataError: The file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(path, "no such file", "Check the path") from error
    except (ValueError, RecursionError) as error:
        raise DataError(path, f"not a JSON file ({error})", "Delete it or restore it from a copy") from error


def remove_leftovers(folder: str | Path) -> None:
    """Removes the temporary files that killed processes left of :func:`atomic_path`; nobody may write there now."""
    for path in Path(folder).glob(".*-*.tmp*"):
        path.unlink(missing_ok=True)


def sha256(path: str | Path) -> str:
    """Returns the SHA-256 of a file's bytes, as hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(_READ_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Makes a rename durable; not every file system lets a folder be opened for that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        return
    finally:
        os.close(handle)
