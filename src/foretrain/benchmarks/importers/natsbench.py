"""NATS-Bench's folder ``NATS-tss-v1_0-3ffb9-simple`` (Dong et al. 2021): bz2-compressed pickles.

``meta.pickle.pbz2`` lists the strings; ``000000.pickle.pbz2`` and so on hold one architecture each, by training length
(``12``, ``200``). They are read one at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foretrain.benchmarks.contents import Contents, Description
from foretrain.benchmarks.importers.arch_results import ArchResults
from foretrain.benchmarks.importers.nasbench201 import SPACE
from foretrain.benchmarks.importers.unpickling import load_bz2_pickle
from foretrain.errors import DataError
from foretrain.runtime.progress import progress_bar

_ENDING = "pickle.pbz2"
_LIMIT = 256 << 20
"""The most bytes a file may hold when decompressed; an architecture's has about one megabyte."""


def read(path: Path) -> Contents:
    """Reads the folder.

    Raises:
        DataError: A file is missing or damaged, is too large when decompressed, wants a class outside the allow-list,
            lacks a field or has an impossible accuracy.
    """
    meta_file = path / f"meta.{_ENDING}"
    meta = _load(meta_file)
    if not isinstance(meta.get("meta_archs"), Sequence):
        raise DataError(meta_file, "lacks 'meta_archs'", "Download the folder again")
    architectures = [str(name) for name in meta["meta_archs"]]
    results = ArchResults(len(architectures), path)
    with progress_bar("reading architectures", total=len(architectures)) as advance:
        for row in range(len(architectures)):
            results.add(row, _load(_file_of(path, row)))
            advance()
    description = Description(
        name="natsbench",
        title="NATS-Bench, topology: the cells of NAS-Bench-201 with more runs",
        space=SPACE,
        source="Dong, Liu, Musial & Gabrys 2021, https://github.com/D-X-Y/NATS-Bench",
        licence="MIT",
    )
    return Contents(description, architectures, results.series())


def _file_of(path: Path, row: int) -> Path:
    """The file of an architecture, whose number is padded to six digits in some copies and not in others."""
    padded, plain = path / f"{row:06d}.{_ENDING}", path / f"{row}.{_ENDING}"
    return plain if plain.is_file() else padded


def _load(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise DataError(path, "no such file", "Unpack NATS-tss-v1_0-3ffb9-simple.tar again")
    content = load_bz2_pickle(path, _LIMIT)
    if not isinstance(content, Mapping):
        raise DataError(path, f"holds a {type(content).__name__}, not a dictionary", "Download the folder again")
    return content
