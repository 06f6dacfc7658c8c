"""The one folder that a run leaves."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock, Timeout
from omegaconf import OmegaConf

from foretrain.errors import DataError
from foretrain.runtime.files import atomic_path, plain_yaml, read_json, read_yaml, write_json, write_text

_VERSIONS_OF = ("foretrain", "torch", "lightning", "numpy", "scipy", "pandas", "hydra-core")
_ELSEWHERE = ("parallel", "run_dir", "logger")
"""Nodes of a config that say where a run works and who is told of it."""
_MOST_SHOWN = 3
_LONGEST_VALUE = 60


class RunFolder:
    """A run's folder and the names of what is in it.

    ``config.yaml`` (resolved), ``metrics.json`` (flat, stable keys, the same for the same seed), ``timings.json``
    (seconds), ``predictions.parquet``, ``figures/*.png``, ``report.md``, ``provenance.json``, ``checkpoints/``.

    Args:
        path: The folder; it is created.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.figures = self.path / "figures"
        self.checkpoints = self.path / "checkpoints"
        self.report = self.path / "report.md"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(self.path, f"cannot be made ({error})", "Choose another run_dir") from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other runs out of the folder during the block; the end of the process, however it ends, lets go.

        Raises:
            DataError: Another run works in the folder.
        """
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise DataError(
                self.path, "another run works in this folder", "Wait for it, or choose another run_dir"
            ) from error
        except OSError as error:
            raise DataError(self.path, f"cannot be written ({error})", "Choose another run_dir") from error
        try:
            yield
        finally:
            lock.release()

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Writes the resolved config.

        An interrupted run may go on elsewhere, by other workers, in a folder that was moved, with another logger:
        none of these decides the results.

        Raises:
            DataError: The folder holds a run of another config, which must not be mixed with this one.
        """
        path = self.path / "config.yaml"
        text = OmegaConf.to_yaml(OmegaConf.create(dict(config)))
        if path.exists():
            changes = _changes(_what_decides(read_yaml(path)), _what_decides(plain_yaml(text)))
            if changes:
                problem = f"this run folder belongs to another config: {', '.join(changes[:_MOST_SHOWN])}"
                more = f", and {len(changes) - _MOST_SHOWN} more" if len(changes) > _MOST_SHOWN else ""
                raise DataError(path, problem + more, "Choose another run_dir or delete it")
        write_text(path, text)

    def write_metrics(self, metrics: Mapping[str, float]) -> None:
        """Writes ``metrics.json``: names with ``/`` to numbers, NaN where a metric is not defined."""
        write_json(self.path / "metrics.json", {name: _plain_number(value) for name, value in metrics.items()})

    def read_metrics(self) -> dict[str, float]:
        """Reads ``metrics.json``."""
        return dict(read_json(self.path / "metrics.json"))

    def write_timings(self, seconds: Mapping[str, float]) -> None:
        """Writes ``timings.json``: what took how many seconds (not reproducible, so not among the metrics)."""
        write_json(self.path / "timings.json", dict(seconds))

    def write_predictions(self, table: pd.DataFrame) -> None:
        """Writes ``predictions.parquet``."""
        with atomic_path(self.path / "predictions.parquet") as temporary:
            table.to_parquet(temporary, index=False)

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Writes a table of results twice: ``<name>.csv`` to look at and ``<name>.parquet`` to compute with."""
        write_text(self.path / f"{name}.csv", table.to_csv(index=False))
        with atomic_path(self.path / f"{name}.parquet") as temporary:
            table.to_parquet(temporary, index=False)

    def write_report(self, text: str) -> None:
        """Writes ``report.md``."""
        write_text(self.report, text)

    def write_provenance(self, seed: int, data: Mapping[str, str]) -> None:
        """Writes ``provenance.json``: versions, seed, device, command, git commit and the data's SHA-256."""
        content = {
            "versions": {name: _version(name) for name in _VERSIONS_OF} | {"python": platform.python_version()},
            "seed": seed,
            "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] or ["cpu"],
            "platform": platform.platform(),
            "command": sys.argv,
            "git_commit": _git_commit(),
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "data_sha256": dict(data),
        }
        write_json(self.path / "provenance.json", content)


def _what_decides(plain: Any) -> dict[Any, Any]:  # noqa: ANN401 - whatever the file holds
    """A config without what its results do not depend on."""
    return {name: value for name, value in plain.items() if name not in _ELSEWHERE} if isinstance(plain, dict) else {}


def _changes(there: Any, now: Any, key: str = "") -> list[str]:  # noqa: ANN401 - plain values of a config
    """What differs between two configs, each with its key."""
    if isinstance(there, dict) and isinstance(now, dict):
        names = dict.fromkeys([*there, *now])
        inner = (_changes(there.get(name), now.get(name), f"{key}.{name}" if key else str(name)) for name in names)
        return [change for changes in inner for change in changes]
    return [] if there == now else [f"{key} is {_short(there)}, now {_short(now)}"]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _plain_number(value: float) -> float | int:
    number = float(value)
    return int(number) if math.isfinite(number) and isinstance(value, int) else number


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the working folder, with ``+changes`` where files differ from it; None outside a checkout."""
    commands = (["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"])
    try:
        commit, changes = (subprocess.run(c, capture_output=True, text=True, check=True).stdout for c in commands)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.strip() + ("+changes" if changes.strip() else "")
