"""NAS-Bench-Suite-Zero's ``zc_<space>.json`` (Krishnakumar et al. 2022): zero-cost scores of networks.

``data[dataset][architecture]`` has ``{"score", "time"}`` for every proxy (a bare number in earlier copies, which also
have the name of the space around everything) and ``val_accuracy`` in percent, that of one seed. Architectures are
written as NASLib's tuples. A score of -1e8 marks one that could not be had; it is read as NaN.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretrain.benchmarks.contents import ACCURACY, Contents, Description, Series
from foretrain.benchmarks.importers import nasbench101, nasbench201
from foretrain.benchmarks.space import errors_of
from foretrain.errors import DataError
from foretrain.spaces.darts import DARTS
from foretrain.spaces.literals import literal_of
from foretrain.spaces.nasbench201 import NASBench201

DARTS_SPACE = "foretrain.spaces.darts.DARTS"
FAILED = -1e8
_ACCURACY = "val_accuracy"
_OPERATIONS_101 = ("input", "output", "maxpool3x3", "conv1x1-bn-relu", "conv3x3-bn-relu")
_VERTICES_101 = 7


def read(path: Path) -> Contents:
    """Reads the file, whose name says the space.

    Raises:
        DataError: The file is damaged, is of another space, or has an architecture twice.
    """
    name = path.stem.removeprefix("zc_")
    if name not in _SPACES:
        known = ", ".join(f"zc_{space}.json" for space in _SPACES)
        raise DataError(path, f"'{name}' is no space that is read", f"The name of the file says it: {known}")
    space = _SPACES[name]
    data = _load(path, name)
    architectures = list(dict.fromkeys(architecture for entries in data.values() for architecture in entries))
    row_of = {architecture: row for row, architecture in enumerate(architectures)}
    series: dict[Series, NDArray[Any]] = {}
    for dataset, entries in data.items():
        series |= _series_of_dataset(dataset, entries, row_of, space.epochs, path)
    description = Description(
        name=f"suite-zero-{name}",
        title=f"NAS-Bench-Suite-Zero: zero-cost scores of {space.title} networks",
        space=space.path,
        source="Krishnakumar et al. 2022, https://github.com/automl/NASLib/tree/zerocost",
        licence="Apache-2.0",
    )
    try:
        with errors_of(path):
            return Contents(description, space.strings(architectures), series)
    except (ValueError, SyntaxError, TypeError, IndexError) as error:
        raise DataError(path, f"an architecture is no tuple of NASLib ({error})", "Download the file again") from error


@dataclass(frozen=True)
class _Space:
    """How one space is written, and the length of its trainings in epochs."""

    title: str
    path: str
    epochs: int
    strings: Callable[[Sequence[str]], list[str]]


def _strings_101(tuples: Sequence[str]) -> list[str]:
    """49 entries of the adjacency matrix, then 7 operations in NASLib's order."""
    return [_string_101(literal_of(text)) for text in tuples]


def _string_101(numbers: Sequence[int]) -> str:
    entries = _VERTICES_101**2
    digits = "".join(map(str, numbers[:entries]))
    return f"{digits}:{','.join(_OPERATIONS_101[code] for code in numbers[entries:])}"


def _strings_201(tuples: Sequence[str]) -> list[str]:
    space = NASBench201()
    return space.format(space.parse_naslib([literal_of(text) for text in tuples]))


def _strings_darts(tuples: Sequence[str]) -> list[str]:
    space = DARTS()
    return space.format(space.parse_compact(tuples))


_SPACES = {
    "nasbench101": _Space("NAS-Bench-101", nasbench101.SPACE, 108, _strings_101),
    "nasbench201": _Space("NAS-Bench-201", nasbench201.SPACE, 200, _strings_201),
    "nasbench301": _Space("DARTS", DARTS_SPACE, 100, _strings_darts),
}


def _load(path: Path, space: str) -> dict[str, dict[str, Any]]:
    """The table of data sets, which in earlier copies stands under the name of the space."""
    try:
        content = json.loads(path.read_bytes(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise DataError(path, f"not a readable JSON file ({error})", "Download the file again") from error
    data = content.get(space, content) if isinstance(content, dict) else None
    if not isinstance(data, dict) or not all(isinstance(entries, dict) for entries in data.values()):
        raise DataError(path, "holds no table of data sets", "Download the file again")
    return data


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose keys must be there once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice} is there twice")
    return found


def _series_of_dataset(
    dataset: str, entries: Mapping[str, Mapping[str, Any]], row_of: Mapping[str, int], epochs: int, path: Path
) -> dict[Series, NDArray[Any]]:
    columns: dict[Series, NDArray[np.float64]] = {}

    def put(series: Series, row: int, value: float) -> None:
        columns.setdefault(series, np.full((len(row_of), 1), np.nan))[row] = value

    for architecture, entry in entries.items():
        row = row_of[architecture]
        try:
            for name, value in entry.items():
                if name == _ACCURACY:
                    put(Series("final", ACCURACY, dataset, "valid", epochs), row, _percent(value))
                    continue
                score, seconds = (value["score"], value.get("time")) if isinstance(value, dict) else (value, None)
                put(Series("score", name, dataset), row, np.nan if score == FAILED else float(score))
                if seconds is not None:
                    put(Series("cost", f"{name}_seconds", dataset), row, float(seconds))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            problem = f"{dataset}, architecture {architecture}: {error}"
            raise DataError(path, problem, "Download the file again") from error
    return columns


def _percent(value: float) -> float:
    if not 0 <= value <= 100:
        raise ValueError(f"val_accuracy {value} is not between 0 and 100")
    return float(value)
