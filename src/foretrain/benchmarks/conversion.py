"""The way from files as they were published to a converted folder."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from foretrain.benchmarks.catalog import CATALOG, MANIFEST, default_folder, home
from foretrain.benchmarks.contents import Contents
from foretrain.benchmarks.format import FORMAT_VERSION, write_benchmark
from foretrain.benchmarks.importers import FORMATS
from foretrain.errors import ConfigError, DataError
from foretrain.runtime.files import sha256


def import_benchmark(
    format_name: str,
    path: str | Path,
    out: str | Path | None = None,
    name: str | None = None,
    space: str | None = None,
) -> Path:
    """Converts published files once; the folder appears only when all of it is there.

    Args:
        format_name: A key of ``FORMATS``.
        path: The file, or the folder of the files.
        out: The folder to make; None takes the one where ``open_benchmark(name)`` looks.
        name: Name of the benchmark; None takes the format's.
        space: Import path of the search space, for formats that do not say it.

    Returns:
        The folder.

    Raises:
        ConfigError: There is no such format.
        DataError: A file is missing, damaged, not the official one, or holds impossible values or architectures.
    """
    if format_name not in FORMATS:
        near = difflib.get_close_matches(format_name, FORMATS, n=1)
        hint = f"unknown, did you mean '{near[0]}'?" if near else "unknown"
        raise ConfigError("format", hint, format_name, FORMATS)
    path = Path(path)
    form = FORMATS[format_name]
    files = form.sources(path)
    digest = _digest(files, path)
    if len(files) == 1:
        _check_official(files[0], digest)
    if out is not None and Path(out).exists():
        raise DataError(out, "is there already", "Remove it first, or choose another folder")
    contents: Contents = form.load()(path)
    description = replace(contents.description, source_file=path.name, source_sha256=digest)
    description = replace(description, name=name or description.name, space=space or description.space)
    folder = default_folder(description.name) if out is None else Path(out)
    write_benchmark(replace(contents, description=description), folder)
    return folder


def convert_tables(name: str, folder: Path) -> Path:
    """Converts a benchmark of the catalogue from the tables in ``folder`` on first use; later it is found again.

    The converted folder's name holds a digest of the tables, so that other tables are converted anew.

    Raises:
        DataError: A table is missing or damaged.
    """
    form = FORMATS[str(CATALOG[name].tables)]
    digest = hashlib.sha256(f"{FORMAT_VERSION} {_digest(form.sources(folder), folder)}".encode()).hexdigest()
    converted = home() / "tables" / f"{name}-{digest[:16]}"
    if (converted / MANIFEST).is_file():
        return converted
    try:
        return import_benchmark(form.name, folder, converted, name)
    except DataError:
        if (converted / MANIFEST).is_file():
            return converted
        raise


def _digest(files: Sequence[Path], root: Path) -> str:
    """SHA-256 of the only file, or of the lines ``<sha256>  <name>`` of several."""
    if len(files) == 1:
        return sha256(files[0])
    lines = (f"{sha256(file)}  {file.relative_to(root).as_posix()}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _check_official(path: Path, digest: str) -> None:
    known = {file.name: file.sha256 for entry in CATALOG.values() for file in entry.files if file.sha256}
    if known.get(path.name, digest) != digest:
        problem = f"has the SHA-256 {digest}, the official file of this name {known[path.name]}"
        raise DataError(path, problem, "Download it again, or rename it if it is meant to be another file")
