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

import yaml

from foretrain.errors import DataError

_READ_BLOCK = 1 << 20
_UNWRITABLE_NUMBERS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
_UNWRITABLE = ("PytorchStreamWriter failed", "items requested and", "requested and 0 written")
"""What torch.save and NumPy say of a full disk, without its number."""
_REMEDY = "Make room or choose another folder; what is finished is kept, the same command goes on"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path to write to; it takes the place of ``path`` when the block ends without an error.

    The temporary file lies in the same folder, is flushed to disk and then renamed, so a reader sees the old file or
    the new one and a kill at any moment leaves no half file.

    Args:
        path: The final path; its folder is created where it is missing.

    Raises:
        DataError: The disk is full, or no file can be made in the folder; the old file is there as it was.
    """
    path = Path(path)
    with _told_if_unwritable(path):
        temporary = _new_file_beside(path)
        try:
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def require_writable(path: str | Path) -> Path:
    """Refuses a place where no file can be written, before the work whose result goes there.

    Args:
        path: The final path; neither it nor its folder need be there.

    Returns:
        The path.

    Raises:
        DataError: It is a folder, or its folder takes no files.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(path, "cannot be written (it is a folder)", "Give the name of a file")
    there = next(folder for folder in path.absolute().parents if folder.exists())
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise DataError(path, f"cannot be written ({error.strerror}: {there})", "Choose another folder") from error
    return path


def _new_file_beside(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=f".tmp{path.suffix}", dir=path.parent)
    except OSError as error:
        raise DataError(path, f"cannot be written ({error.strerror})", _REMEDY) from error
    os.close(handle)
    return Path(name)


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
        raise DataError(path, f"cannot be written ({error})", _REMEDY) from error


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


class _PlainLoader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML without references: a few lines that refer to each other become larger than any memory."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("refers to another part of itself")
        return super().compose_node(parent, index)


def read_yaml(path: str | Path) -> Any:  # noqa: ANN401 - YAML is any value
    """Reads a YAML file as plain values; references (``*name``) are not taken.

    Raises:
        DataError: The file is missing or is no such YAML.
    """
    try:
        return plain_yaml(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(path, "no such file", "Check the path") from error
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        cause = " ".join(str(error).split())
        raise DataError(path, f"not a YAML file ({cause})", "Delete it or restore it from a copy") from error


def plain_yaml(text: str) -> Any:  # noqa: ANN401 - YAML is any value
    """Returns what :func:`read_yaml` would; raises yaml's own errors."""
    return yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader


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
