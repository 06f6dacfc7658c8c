"""What a run folder holds, as the page shows it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from foretrain.errors import DataError
from foretrain.runtime.files import read_json, read_yaml
from foretrain.runtime.reading import load_table

METRICS = "metrics.json"
_PREDICTIONS = "predictions.parquet"
_PNG = b"\x89PNG\r\n\x1a\n"
_RESTORE = "Run the same command again with its run_dir, or leave the run out"


@dataclass(frozen=True)
class Run:
    """A finished run, read when it is asked for.

    Attributes:
        folder: The run's folder.
        name: A short name that no other run of the page has.
    """

    folder: Path
    name: str

    @cached_property
    def metrics(self) -> dict[str, float]:
        """``metrics.json``: flat names to numbers.

        Raises:
            DataError: It is no flat table of numbers.
        """
        path = self.folder / METRICS
        content = read_json(path)
        if not isinstance(content, dict) or not all(_is_number(value) for value in content.values()):
            raise DataError(path, "is not a flat table of numbers", _RESTORE)
        return {name: float(value) for name, value in content.items()}

    @cached_property
    def predictions(self) -> pd.DataFrame | None:
        """``predictions.parquet``, None where there is none.

        Raises:
            DataError: It is damaged.
        """
        path = self.folder / _PREDICTIONS
        return _read_table(path) if path.is_file() else None

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Further tables of results by name.

        Raises:
            DataError: One is damaged.
        """
        paths = sorted(self.folder.glob("*.parquet"))
        return {path.stem: _read_table(path) for path in paths if path.name != _PREDICTIONS}

    @cached_property
    def config(self) -> dict[str, str]:
        """The resolved config as flat dotted keys and their values as text.

        Raises:
            DataError: It is no YAML.
        """
        path = self.folder / "config.yaml"
        if not path.is_file():
            return {}
        return dict(_flatten(read_yaml(path), ""))

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """``provenance.json``, empty where there is none."""
        return self._json("provenance.json")

    @cached_property
    def seconds(self) -> dict[str, Any]:
        """``timings.json``, empty where there is none."""
        return self._json("timings.json")

    @cached_property
    def report(self) -> str:
        """``report.md``, empty where there is none."""
        path = self.folder / "report.md"
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    @cached_property
    def figures(self) -> dict[str, bytes]:
        """The PNG images by their path in the folder; what only bears the name of one is left out."""
        paths = sorted((self.folder / "figures").glob("*.png"))
        images = {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths if path.is_file()}
        return {name: image for name, image in images.items() if image.startswith(_PNG)}

    def _json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        content = read_json(path) if path.is_file() else {}
        if not isinstance(content, dict):
            raise DataError(path, "is not a table", _RESTORE)
        return content


def find_runs(folders: Iterable[Path]) -> list[Run]:
    """Finds the finished runs in some folders: each is a run itself, or holds runs at any depth.

    Raises:
        DataError: There is no such folder, or no finished run in it.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        found |= dict.fromkeys(_runs_in(folder))
    names = _short_names(list(found))
    return [Run(folder, name) for folder, name in zip(found, names, strict=True)]


def _runs_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(folder, "no such folder", "Give the folder of a run, or one that holds runs")
    if (folder / METRICS).is_file():
        return [folder.resolve()]
    runs = sorted(path.parent.resolve() for path in folder.rglob(METRICS))
    if not runs:
        raise DataError(folder, f"holds no finished run: there is no {METRICS} in it or below", _RESTORE)
    return runs


def _short_names(folders: list[Path]) -> list[str]:
    """The last parts of each path, as many as tell all of them apart."""
    for parts in range(2, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-parts:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return load_table(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(path, f"not a Parquet file ({str(error).splitlines()[0]})", _RESTORE) from error


def _flatten(node: object, key: str) -> Iterable[tuple[str, str]]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _flatten(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, str(node)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) <= sys.float_info.max
