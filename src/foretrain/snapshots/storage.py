"""Recorded populations on disk: one folder with a file per network, an index and a description.

::

    population.json      format version, units, what was recorded and how
    networks/<key>.npy   float16[t, 2, l, 100, 12], the signed logarithm of a network's statistics
    records/<key>.json   what the recording of a network returned; a network without it is not finished
    index.parquet        one row a network, written when all are there
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from foretrain.errors import DataError
from foretrain.runtime.files import atomic_path, read_json, sha256, write_json
from foretrain.runtime.parallel import Record
from foretrain.runtime.reading import load_archive, load_array, load_columns
from foretrain.snapshots.batches import KINDS
from foretrain.snapshots.recorder import Snapshots
from foretrain.snapshots.statistics import MAX_LAYERS, ROWS, STATISTICS

FORMAT_VERSION = 1
RESOLUTION = 1e-8
PER_SNAPSHOT = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
UNITS = {
    "accuracy": "percent",
    "loss": "mean cross-entropy in nats",
    "seconds": "seconds",
    "step": "optimiser steps, from 1",
}

Maps = NDArray[np.float16]
Integers = NDArray[np.int64]

_TEXT, _NUMBER = pa.string(), pa.float64()
_FINAL = ("final_val_accuracy", "test_accuracy")
_COLUMNS = {
    "key": _TEXT,
    "architecture": _TEXT,
    "hyperparameters": _TEXT,
    "layers": pa.list_(_TEXT),
    "rows": pa.list_(pa.int64()),
    "step": pa.list_(pa.int64()),
    **dict.fromkeys(PER_SNAPSHOT, pa.list_(_NUMBER)),
    **dict.fromkeys(_FINAL, _NUMBER),
    "seconds": _NUMBER,
    "sha256": _TEXT,
}
_ADDED_BY_WRITE = ("key", "layers", "rows", "step", "sha256")
_GIVEN = tuple(name for name in _COLUMNS if name not in _ADDED_BY_WRITE)
_MOST_LAYERS = 100_000
_PADDING = 20
"""Layers of snapshots that are padded without asking, and how much padding each real one may cost beyond."""
_REMEDY = "Restore it from a copy, or delete it together with its record and record the population again"


class SnapshotFolder:
    """The folder of one recorded population.

    Each network is written as it finishes, by :meth:`write`; the records of all go into the index at the end, by
    :meth:`write_index`. Reading needs the finished folder.

    Args:
        path: The folder; :meth:`create` makes it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def population_path(self) -> Path:
        """The file that describes the population."""
        return self.path / "population.json"

    @property
    def records_path(self) -> Path:
        """The folder of the records, one ``<key>.json`` per finished network."""
        return self.path / "records"

    @property
    def index_path(self) -> Path:
        """The file of the index."""
        return self.path / "index.parquet"

    def network_path(self, key: str) -> Path:
        """Returns the file of a network."""
        return self.path / "networks" / f"{key}.npy"

    def create(self, every_n_steps: int, max_snapshots: int, space: object, images: object, plan: object) -> None:
        """Makes the folder and describes the population, or checks that the folder is of this very population.

        Args:
            every_n_steps: Optimiser steps between snapshots.
            max_snapshots: At most so many of each network.
            space: The space of architectures with its options; this and the following are any JSON values.
            images: The set of images.
            plan: How every network is trained.

        Raises:
            DataError: The folder holds another population, or one of another format version.
        """
        options = {"every_n_steps": every_n_steps, "max_snapshots": max_snapshots, "space": space, "images": images}
        wanted = _as_json(_description(options | {"plan": plan}))
        if not self.population_path.exists():
            write_json(self.population_path, wanted)
        found = self.population()
        for name, value in wanted.items():
            if found.get(name) != value:
                raise DataError(
                    self.population_path,
                    f"is another population: {name} is {found.get(name)!r} there and {value!r} here",
                    "Record into another folder, or delete this one",
                )

    def population(self) -> dict[str, Any]:
        """Returns the description of the population.

        Raises:
            DataError: There is none, or it is of another format version.
        """
        if not self.population_path.exists():
            inner = sorted(path.parent for path in self.path.glob(f"*/{self.population_path.name}"))
            remedy = f"Give one of those in it: {', '.join(map(str, inner))}" if inner else "Check the path"
            raise DataError(self.path, "has no population.json, so it is no recorded population", remedy)
        content = read_json(self.population_path)
        version = content.get("format_version") if isinstance(content, dict) else None
        if version != FORMAT_VERSION:
            raise DataError(
                self.population_path,
                f"format version {version}, this version of foretrain reads {FORMAT_VERSION}",
                "Record the population again, or install the version that wrote it",
            )
        return dict(content)

    def write(self, key: str, snapshots: Snapshots, record: Mapping[str, Any]) -> Record:
        """Writes a network's file atomically and completes its record.

        Args:
            key: The network's name: its file's name without the ending.
            snapshots: What was recorded.
            record: ``architecture`` (the string form), ``hyperparameters`` (a dictionary), for each snapshot
                ``train_loss``, ``train_accuracy``, ``val_loss``, ``val_accuracy`` (lists), ``final_val_accuracy``,
                ``test_accuracy``, ``seconds``, and whatever else belongs into the index; accuracies in percent.

        Returns:
            The record with ``key``, ``layers``, ``rows``, ``step`` and ``sha256`` (of the file).

        Raises:
            DataError: There is no snapshot, or the record lacks something.
        """
        if not len(snapshots.steps):
            raise DataError(key, "training ended before the first snapshot", "Train longer, or take them more often")
        complete = {
            **record,
            "key": key,
            "layers": snapshots.layers,
            "rows": snapshots.rows.tolist(),
            "step": snapshots.steps.tolist(),
        }
        _check_record(key, complete, _GIVEN)
        path = self.network_path(key)
        with atomic_path(path) as temporary:
            np.save(temporary, compress(snapshots.features).numpy(), allow_pickle=False)
        return {**complete, "sha256": sha256(path)}

    def write_index(self, records: Mapping[str, Record]) -> None:
        """Writes the index from the records of all networks, in their order.

        Hyperparameters become JSON text; entries of the records beyond those of :meth:`write` become columns too.

        Raises:
            DataError: A record lacks something or holds impossible values.
        """
        for key, record in records.items():
            _check_record(key, record, tuple(_COLUMNS))
        rows = [{**r, "hyperparameters": json.dumps(r["hyperparameters"], sort_keys=True)} for r in records.values()]
        names = dict.fromkeys([*_COLUMNS, *(name for row in rows for name in row)])
        try:
            columns = {name: pa.array([row.get(name) for row in rows], _COLUMNS.get(name)) for name in names}
        except (pa.ArrowException, TypeError) as error:
            raise DataError(self.records_path, f"the records make no table ({error})", "Record them again") from error
        table = pa.table(columns)
        _checked(table, self.index_path)
        with atomic_path(self.index_path) as temporary:
            pq.write_table(table, temporary)

    def index(self) -> pd.DataFrame:
        """Returns the index, one row a network.

        Columns: ``key``, ``architecture``, ``hyperparameters`` (JSON text), ``layers`` and ``rows`` (lists over
        layers), ``step``, ``train_loss``, ``train_accuracy``, ``val_loss``, ``val_accuracy`` (lists over snapshots),
        ``final_val_accuracy``, ``test_accuracy``, ``seconds``, ``sha256``, then what else was recorded.

        Raises:
            DataError: The index is missing or damaged, lacks a column or holds impossible values.
        """
        self.population()
        if not self.index_path.exists():
            raise DataError(self.index_path, "no index: the recording was not finished", "Start it again, it goes on")
        try:
            table = load_columns(self.index_path)
        except (OSError, ValueError) as error:
            raise DataError(self.index_path, f"not a readable Parquet file ({error})", _REMEDY) from error
        return _checked(table, self.index_path)

    def load(self, key: str) -> Maps:
        """Maps a network's file into memory, read-only.

        Returns:
            ``float16[t, 2, l, 100, 12]``, signed logarithms (:func:`signed_log`).

        Raises:
            DataError: The file is missing, damaged or not of that form.
        """
        return _read_maps(self.network_path(key))

    def load_all(self, keys: Sequence[str], max_layers: int | None = None) -> tuple[Maps, Integers, Integers]:
        """Reads many networks into one array, padded with zeros to the most snapshots and layers among them.

        Args:
            keys: Names of the networks.
            max_layers: Layers after these are dropped.

        Returns:
            Maps ``float16[n, t, 2, l, 100, 12]`` as signed logarithms, rows ``int64[n, l]`` (valid rows of each layer,
            0 for padding) and lengths ``int64[n]`` (snapshots of each network).

        Raises:
            DataError: A network is not in the index, or its file is missing, damaged or not the recorded one.
        """
        index = self.index().set_index("key")
        if unknown := [key for key in keys if key not in index.index]:
            raise DataError(self.index_path, f"has no network '{unknown[0]}'", "Use keys of the index")
        chosen = index.loc[list(keys)]
        lengths = np.array(chosen["step"].map(len), dtype=np.int64)
        depth = min(chosen["layers"].map(len).max(), max_layers or MAX_LAYERS)
        maps = np.zeros((len(keys), lengths.max(), 2, depth, ROWS, len(STATISTICS)), dtype=np.float16)
        rows = np.zeros((len(keys), depth), dtype=np.int64)
        for position, (key, network) in enumerate(chosen.iterrows()):
            content = self._load_recorded(str(key), network)[:, :, :depth]
            maps[position, : len(content), :, : content.shape[2]] = content
            rows[position, : content.shape[2]] = network["rows"][:depth]
        return maps, rows, lengths

    def _load_recorded(self, key: str, network: pd.Series) -> Maps:
        """A network's file, if it is the one that the index speaks of."""
        path = self.network_path(key)
        maps = _read_maps(path)
        expected = (len(network["step"]), len(network["rows"]))
        if (maps.shape[0], maps.shape[2]) != expected:
            raise DataError(
                path,
                f"holds {maps.shape[0]} snapshots of {maps.shape[2]} layers, the index {expected[0]} of {expected[1]}",
                _REMEDY,
            )
        if sha256(path) != network["sha256"]:
            raise DataError(path, "is not the file that was recorded (its SHA-256 differs from the index)", _REMEDY)
        return maps


def read_snapshots(source: str | Path) -> tuple[list[str], tuple[Maps, Integers, Integers]]:
    """Reads all networks of a recorded population, or files of single networks.

    A file without its population does not say how many rows of a layer are valid: they are taken to end with the last
    one that is not zero throughout.

    Args:
        source: The folder, the ``.npy`` file of one network, or an ``.npz`` file with an array for each, named by it.

    Returns:
        The keys and, as :meth:`SnapshotFolder.load_all` gives them, maps, rows and lengths.

    Raises:
        DataError: Something is missing, damaged or has another shape.
    """
    source = Path(source)
    if source.is_dir():
        folder = SnapshotFolder(source)
        keys = folder.index()["key"].to_list()
        return keys, folder.load_all(keys)
    if source.suffix != ".npz":
        return [source.stem], _padded(source, [_read_maps(source)])
    archive = _read_archive(source)
    return list(archive), _padded(source, list(archive.values()))


def _padded(source: Path, networks: Sequence[Maps]) -> tuple[Maps, Integers, Integers]:
    """Networks of different length and depth as one array, their valid rows and their lengths."""
    lengths = np.array([len(maps) for maps in networks], dtype=np.int64)
    depth = max(maps.shape[2] for maps in networks)
    wanted = len(networks) * int(lengths.max()) * depth
    if wanted > _MOST_LAYERS + _PADDING * sum(maps.shape[0] * maps.shape[2] for maps in networks):
        problem = f"{len(networks)} networks of up to {lengths.max()} snapshots and {depth} layers"
        raise DataError(source, f"{problem}, most of them far smaller", "Give networks of one kind at a time")
    padded = np.zeros((len(networks), lengths.max(), 2, depth, ROWS, len(STATISTICS)), dtype=np.float16)
    rows = np.zeros((len(networks), depth), dtype=np.int64)
    for position, maps in enumerate(networks):
        padded[position, : len(maps), :, : maps.shape[2]] = maps
        used = (maps != 0).any(axis=(0, 1, 4))
        rows[position, : maps.shape[2]] = np.where(used.any(axis=1), ROWS - used[:, ::-1].argmax(axis=1), 1)
    return padded, rows, lengths


def signed_log(values: Tensor) -> Tensor:
    r"""Returns :math:`\operatorname{sign}(x) \log(1 + |x| / 10^{-8})`, in at least float32."""
    exact = values.double()
    return (exact.sign() * torch.log1p(exact.abs() / RESOLUTION)).to(torch.promote_types(values.dtype, torch.float32))


def signed_exp(values: Tensor) -> Tensor:
    """Inverts :func:`signed_log`, in at least float32."""
    exact = values.double()
    return (exact.sign() * torch.expm1(exact.abs()) * RESOLUTION).to(torch.promote_types(values.dtype, torch.float32))


def compress(features: Tensor) -> Tensor:
    """Brings recorded statistics into the stored form, the signed logarithm in float16.

    What is lost: a value x comes back with an error of at most 0.8% of ``|x| + 1e-8`` up to ``|x| = 7.8e5``, and 1.6%
    up to 6e19. Values far below 1e-8 are thus as good as zero.
    """
    return signed_log(features).half()


def _description(options: Mapping[str, object]) -> dict[str, object]:
    return {
        "format_version": FORMAT_VERSION,
        "kinds": list(KINDS),
        "statistics": list(STATISTICS),
        "values": f"float16 of sign(x) log(1 + |x| / {RESOLUTION})",
        "units": UNITS,
        **options,
    }


def _as_json(value: dict[str, object]) -> dict[str, Any]:
    """The value as it comes back from a JSON file (tuples become lists)."""
    return dict(json.loads(json.dumps(value)))


def _check_record(key: str, record: Mapping[str, Any], needed: Sequence[str]) -> None:
    if missing := [name for name in needed if name not in record]:
        raise DataError(f"record of network '{key}'", f"lacks {', '.join(missing)}", "Record the network again")
    for name in PER_SNAPSHOT:
        if len(record[name]) != len(record["step"]):
            raise DataError(
                f"record of network '{key}'",
                f"{name} has {len(record[name])} values for {len(record['step'])} snapshots",
                "Evaluate the network at every snapshot",
            )


def _typed(table: pa.Table, path: Path) -> pa.Table:
    """Casts the known columns to their types."""
    for name, kind in _COLUMNS.items():
        if name not in table.column_names:
            raise DataError(path, f"has no column '{name}'", _REMEDY)
        position = table.column_names.index(name)
        try:
            column = table.column(name).cast(kind)
        except pa.ArrowException as error:
            raise DataError(path, f"column '{name}' is {table.field(name).type}, not {kind}", _REMEDY) from error
        if column.null_count:
            raise DataError(path, f"column '{name}' has empty cells", _REMEDY)
        table = table.set_column(position, name, column)
    return table


def _checked(table: pa.Table, path: Path) -> pd.DataFrame:
    """The index as a frame, once its columns and values are found to be possible."""
    frame: pd.DataFrame = _typed(table, path).to_pandas()
    steps, layers = frame["step"].map(len), frame["layers"].map(len)
    problems = {
        "its key occurs before": frame["key"].duplicated(),
        "its key is no plain file name": frame["key"].map(lambda key: Path(key).name != key),
        "it has no snapshots": steps < 1,
        f"it has not 1 to {MAX_LAYERS} layers": ~layers.between(1, MAX_LAYERS),
        "rows and layers differ in number": frame["rows"].map(len) != layers,
        f"its rows are not 1 to {ROWS}": frame["rows"].map(lambda rows: min(rows, default=0) < 1 or max(rows) > ROWS),
        **{f"{name} has not one value per snapshot": frame[name].map(len) != steps for name in PER_SNAPSHOT},
        **{f"{name} is not in 0 to 100 percent": ~frame[name].between(0, 100) for name in _FINAL},
    }
    for problem, where in problems.items():
        if where.any():
            row = int(where.to_numpy().argmax())
            raise DataError(path, f"row {row}, network '{frame['key'].iloc[row]}': {problem}", _REMEDY)
    if frame.empty:
        raise DataError(path, "has no networks", _REMEDY)
    return frame


def _read_maps(path: Path) -> Maps:
    if not path.is_file():
        raise DataError(path, "no such file", "Check the path, or record the network again")
    try:
        maps = load_array(path, mmap_mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise DataError(path, f"not a readable .npy file ({error})", _REMEDY) from error
    return _checked_maps(maps, path)


def _read_archive(path: Path) -> dict[str, Maps]:
    if not path.is_file():
        raise DataError(path, "no such file", "Check the path")
    try:
        arrays = load_archive(path)
    except (ValueError, OSError) as error:
        raise DataError(path, f"not a readable .npz file ({error})", "Write it again") from error
    networks = {key: _checked_maps(maps, f"{path} [{key}]") for key, maps in arrays.items()}
    if not networks:
        raise DataError(path, "holds no networks", "Give an array for each network")
    return networks


def _checked_maps(maps: object, path: Path | str) -> Maps:
    if not isinstance(maps, np.ndarray) or maps.dtype != np.float16:
        found = getattr(maps, "dtype", "an archive")
        raise DataError(path, f"holds {found}, not float16", "Give the signed logarithm of snapshots as float16")
    shape = maps.shape
    if len(shape) != 5 or shape[1] != 2 or shape[3:] != (ROWS, len(STATISTICS)) or not 1 <= shape[2] <= MAX_LAYERS:
        form = f"[snapshots, 2, layers (at most {MAX_LAYERS}), {ROWS}, {len(STATISTICS)}]"
        raise DataError(path, f"has shape {list(shape)}, not {form}", "Give snapshots as SnapshotRecorder takes them")
    if not len(maps):
        raise DataError(path, "holds no snapshots", _REMEDY)
    _check_finite(maps, path)
    return maps


def _check_finite(maps: Maps, path: Path | str) -> None:
    """Looks at the bits (an exponent of ones), 30 times as fast as ``isfinite`` on float16."""
    infinite = np.float16(np.inf).view(np.uint16)
    if (maps.view(np.uint16) & infinite).max() == infinite:
        place = np.argwhere(~np.isfinite(maps))[0].tolist()
        raise DataError(path, f"NaN or infinite at [snapshot, kind, layer, row, statistic] = {place}", _REMEDY)
