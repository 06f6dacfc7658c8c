"""NAS-Bench-101's TFRecord files (Ying et al. 2019).

A record is JSON: module hash, epochs, the adjacency matrix as digits, the operations joined by commas, and the base64
of a ``ModelMetrics`` message. There is one for every cell, training length and repeat.
"""

from __future__ import annotations

import base64
import json
import struct
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from foretrain.benchmarks.contents import ACCURACY, PARAMETERS, TRAINING_SECONDS, Contents, Description, Series
from foretrain.benchmarks.importers.model_metrics import SPLITS, Metrics, parse_metrics
from foretrain.benchmarks.importers.tfrecord import read_records
from foretrain.errors import DataError
from foretrain.runtime.progress import progress_bar

SPACE = "foretrain.spaces.nasbench101.NASBench101"
DATASET = "cifar10"
REPEATS = 3
LENGTHS = (4, 12, 36, 108)
_MEGABYTE = 1 << 20


class Record(NamedTuple):
    """One training.

    Attributes:
        key: The module hash, 16 bytes.
        name: The cell in its string form.
        epochs: Length of the training.
        metrics: Its evaluations.
    """

    key: bytes
    name: str
    epochs: int
    metrics: Metrics


def read(path: Path) -> Contents:
    """Reads ``nasbench_only108.tfrecord`` or ``nasbench_full.tfrecord``, one record at a time.

    The repeats become the seeds 0, 1, 2, in the order of the file.

    Raises:
        DataError: The file is truncated or damaged, or a record has an impossible value; names the record.
    """
    table = _Table()
    with path.open("rb") as file, progress_bar("reading megabytes", path.stat().st_size // _MEGABYTE) as advance:
        done = 0
        for number, payload in enumerate(read_records(file, path)):
            try:
                table.add(parse_record(payload))
            except (ValueError, TypeError, IndexError, struct.error) as error:
                place = f"record {number} ({payload[:44].decode(errors='replace')}...)"
                raise DataError(path, f"{place}: {error}", "Download the file again") from error
            advance(file.tell() // _MEGABYTE - done)
            done = file.tell() // _MEGABYTE
    return table.contents()


def parse_record(payload: bytes) -> Record:
    """Reads one record.

    Raises:
        ValueError: It is no such record, or has an impossible value; so do the errors of ``parse_metrics``.
        TypeError: A field has another type.
    """
    try:
        module_hash, epochs, adjacency, operations, message = json.loads(payload)
    except RecursionError as error:
        raise ValueError("lists in lists without end") from error
    if epochs not in LENGTHS:
        raise ValueError(f"training for {epochs} epochs")
    metrics = parse_metrics(base64.b64decode(message))
    return Record(bytes.fromhex(module_hash), f"{adjacency}:{operations}", epochs, metrics)


class _Trainings:
    """All trainings of one length, by row and repeat."""

    def __init__(self) -> None:
        self._end = np.empty((0, REPEATS, len(SPLITS)))
        self._half = np.empty((0, REPEATS, len(SPLITS)), dtype=np.float32)
        self._seconds = np.empty((0, REPEATS))
        self._repeats = np.empty(0, dtype=np.int8)

    def add(self, row: int, metrics: Metrics) -> None:
        if row >= len(self._repeats):
            self._make_room(2 * row + 1)
        repeat = self._repeats[row]
        if repeat == REPEATS:
            raise ValueError(f"a row too many, {REPEATS} are there already")
        self._half[row, repeat] = metrics.half.accuracies
        self._end[row, repeat] = metrics.end.accuracies
        self._seconds[row, repeat] = metrics.end.seconds
        self._repeats[row] += 1

    def series(self, length: int, epochs: int) -> dict[Series, NDArray[Any]]:
        """The series of the first ``length`` rows, accuracies in percent."""
        self._make_room(length)
        half, end, seconds = self._half[:length], self._end[:length], self._seconds[:length]
        missing = self._repeats[:length, None] <= np.arange(REPEATS)
        half[missing] = end[missing] = seconds[missing] = np.nan
        half *= 100
        end *= 100
        seeds = tuple(range(REPEATS))
        found: dict[Series, NDArray[Any]] = {Series("cost", TRAINING_SECONDS, DATASET, None, epochs, seeds): seconds}
        for place, split in enumerate(SPLITS):
            found[Series("final", ACCURACY, DATASET, split, epochs, seeds)] = end[..., place]
            curve = Series("curve", ACCURACY, DATASET, split, epochs, seeds, (epochs // 2, epochs))
            found[curve] = np.stack((half[..., place], end[..., place]), axis=-1, dtype=np.float32, casting="same_kind")
        return found

    def _make_room(self, length: int) -> None:
        """Lengthens the arrays; memory that is never written takes no room."""
        have = len(self._repeats)
        for name in ("_end", "_half", "_seconds", "_repeats"):
            old = getattr(self, name)
            new = np.empty((max(length, have), *old.shape[1:]), dtype=old.dtype)
            new[:have] = old
            setattr(self, name, new)
        self._repeats[have:] = 0


class _Table:
    """Gathers the records: one row per module hash."""

    def __init__(self) -> None:
        self._rows: dict[bytes, int] = {}
        self._names: list[str] = []
        self._parameters: list[int] = []
        self._trainings: defaultdict[int, _Trainings] = defaultdict(_Trainings)

    def add(self, record: Record) -> None:
        row = self._rows.setdefault(record.key, len(self._rows))
        if row == len(self._names):
            self._names.append(record.name)
            self._parameters.append(record.metrics.parameters)
        self._trainings[record.epochs].add(row, record.metrics)

    def contents(self) -> Contents:
        length = len(self._names)
        parameters = np.array(self._parameters, dtype=np.float64)[:, None]
        series: dict[Series, NDArray[Any]] = {Series("cost", PARAMETERS, DATASET): parameters}
        for epochs in sorted(self._trainings):
            series |= self._trainings.pop(epochs).series(length, epochs)
        description = Description(
            name="nasbench101",
            title="NAS-Bench-101: all 423,624 cells of at most 7 vertices on CIFAR-10, three repeats",
            space=SPACE,
            source="Ying et al. 2019, https://github.com/google-research/nasbench",
            licence="Apache-2.0",
        )
        return Contents(description, self._names, series, [key.hex() for key in self._rows])
