"""A benchmark as estimators and searches use it: measured numbers by architecture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from foretrain.benchmarks.catalog import CATALOG, MANIFEST, find_folder, installed, tables_folder
from foretrain.benchmarks.contents import ACCURACY, MEAN, TRAINING_SECONDS, Description, Kind, Series
from foretrain.benchmarks.conversion import convert_tables
from foretrain.benchmarks.format import (
    ARCHITECTURE,
    KEY,
    check_sums,
    map_architectures,
    map_curves,
    read_columns,
    read_manifest,
)
from foretrain.benchmarks.space import load_space
from foretrain.errors import DataError
from foretrain.runtime.files import sha256
from foretrain.runtime.seeding import make_generator
from foretrain.spaces.base import Architectures, SearchSpace

Rows = NDArray[np.int64]
Selection = Architectures | Sequence[str] | Sequence[int] | NDArray[np.integer | np.bool_] | Tensor | None
"""Which architectures: a batch of the benchmark's space, strings, row numbers, a mask of all rows, or None for all."""


class Split(NamedTuple):
    """Disjoint rows to learn from and to judge on.

    Attributes:
        train: ``int64[n_train]``, row numbers.
        test: ``int64[n_test]``, row numbers.
    """

    train: Rows
    test: Rows


def open_benchmark(name: str | Path) -> Benchmark:
    """Opens a benchmark by name or by the path of its folder.

    A name is looked up among the converted folders in ``FORETRAIN_HOME`` (default ``~/.cache/foretrain``), then among
    those that ship with the package; where neither has it and ``FORETRAIN_DATA`` is set, it is converted from the
    tables there on first use.

    Raises:
        DataError: There is no such benchmark; says what there is and how to get it.
    """
    folder = find_folder(str(name))
    if folder is not None:
        return Benchmark(folder)
    entry, tables = CATALOG.get(str(name)), tables_folder()
    if entry is None:
        names = ", ".join(sorted({*CATALOG, *installed()}))
        raise DataError(name, "no benchmark of this name and no benchmark folder", f"Known are {names}")
    if entry.tables is not None and tables is not None:
        return Benchmark(convert_tables(entry.name, tables))
    remedy = f"'foretrain info {name}' says where its files are described, 'foretrain import' converts them"
    raise DataError(name, "is not on this machine", remedy)


class Benchmark:
    """A converted benchmark folder.

    Opening reads ``benchmark.json`` only; columns are read when they are asked for, curves are memory-mapped. Where a
    data set, split or training length is not given, it is taken from the only one there is; of several training
    lengths the longest is taken.

    Args:
        folder: The folder.

    Raises:
        DataError: The folder is no benchmark, or is incomplete.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._manifest = read_manifest(self.folder)
        self._columns: dict[str, NDArray[np.float64]] = {}

    def __len__(self) -> int:
        return self._manifest.length

    def __repr__(self) -> str:
        return f"Benchmark({self.description.name!r}, {len(self)} architectures, {str(self.folder)!r})"

    @property
    def description(self) -> Description:
        """What the benchmark is, its source and licence."""
        return self._manifest.description

    @property
    def series(self) -> tuple[Series, ...]:
        """All series of numbers that are there."""
        return self._manifest.series

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of ``benchmark.json``, which holds those of all other files."""
        return sha256(self.folder / MANIFEST)

    @property
    def num_bytes(self) -> int:
        """Size on disk."""
        return sum(size for size, _ in self._manifest.files.values())

    def verify(self) -> None:
        """Compares every file with its SHA-256.

        Raises:
            DataError: A file was changed.
        """
        check_sums(self.folder, self._manifest)

    @cached_property
    def space(self) -> SearchSpace[Any]:
        """The search space of the architectures.

        Raises:
            DataError: The networks belong to no space, or this version of foretrain lacks it.
        """
        if self.description.space is None:
            raise DataError(self.folder, "its networks belong to no search space", "Use their row numbers or names")
        return load_space(self.description.space, self.description.skeleton, self.folder)

    @cached_property
    def names(self) -> list[str]:
        """The n architectures in their published string form."""
        return list(self._texts(ARCHITECTURE))

    @cached_property
    def architectures(self) -> Architectures:
        """The n architectures as one batch of the space."""
        kind: type[Architectures] = get_type_hints(type(self.space).parse)["return"]
        found = map_architectures(self.folder, kind, len(self))
        wanted = self.space.parse(self.names[:1])
        for column, example in zip(found.tensors(), wanted.tensors(), strict=True):
            if column.dtype != example.dtype or column.shape[1:] != example.shape[1:]:
                problem = f"holds architectures as {column.dtype}{list(column.shape)}, which {self.space.name} has not"
                raise DataError(self.folder, problem, "Delete the folder and import the benchmark again")
        return found

    @cached_property
    def keys(self) -> list[str]:
        """One key per architecture, equal for equal networks: those of the source, else the space's ``canonical``."""
        return self._texts(KEY) if self._manifest.has_keys else self.space.canonical(self.architectures)

    def rows(self, archs: Selection = None) -> Rows:
        """Returns the row numbers ``int64[n]`` of architectures.

        A batch of architectures is looked up by its strings, and where a string is not in the table, by its canonical
        key, so that another drawing of the same network is found.

        Raises:
            DataError: An architecture is not in the table; names the first one.
        """
        if archs is None:
            return np.arange(len(self))
        if isinstance(archs, Architectures):
            return self._rows_of_batch(archs)
        if isinstance(archs, Tensor):
            archs = archs.cpu().numpy()
        if len(archs) and isinstance(archs[0], str):
            rows = self._row_of_name.get_indexer(pd.Index(list(archs), dtype=object))
            return self._checked(rows, rows < 0, list(map(str, archs)))
        return self._rows_of_numbers(np.asarray(archs))

    def accuracy(
        self,
        archs: Selection = None,
        dataset: str | None = None,
        split: str | None = None,
        seed: int | str = MEAN,
        epochs: int | None = None,
    ) -> NDArray[np.float64]:
        """Returns the accuracies ``float64[n]`` at the end of training, in percent.

        Args:
            archs: Which architectures.
            dataset: The data set.
            split: ``valid``, ``test``, ...
            seed: The seed of the training, or ``"mean"`` over the seeds that there are.
            epochs: Length of the training.

        Returns:
            NaN where the network was not measured (with this seed).

        Raises:
            DataError: There is no such series (the message lists what there is), or no such architecture.
        """
        return self._values("final", ACCURACY, dataset, split, seed, epochs)[self.rows(archs)]

    def curves(
        self,
        archs: Selection = None,
        dataset: str | None = None,
        split: str | None = None,
        seed: int | str = MEAN,
        epochs: int | None = None,
        metric: str = ACCURACY,
    ) -> NDArray[np.float32]:
        """Returns learning curves ``float32[n, epochs]``; column e - 1 is epoch e, NaN what was not observed.

        Args:
            archs: Which architectures.
            dataset: The data set.
            split: ``train``, ``valid``, ``test``, ...
            seed: The seed of the training, or ``"mean"`` over the seeds that there are.
            epochs: Length of the training.
            metric: ``accuracy`` (percent) or ``loss``.

        Raises:
            DataError: There is no such series (the message lists what there is), or no such architecture.
        """
        series = self._find("curve", metric, dataset, split, epochs)
        values = map_curves(self.folder, series, len(self))[self.rows(archs)]
        chosen = _mean(values) if seed == MEAN else values[:, self._place_of_seed(series, seed)]
        if series.observed is None:
            return np.ascontiguousarray(chosen, dtype=np.float32)
        curves = np.full((len(chosen), int(series.epochs or 0)), np.nan, dtype=np.float32)
        curves[:, np.array(series.observed) - 1] = chosen
        return curves

    def scores(self, name: str, archs: Selection = None, dataset: str | None = None) -> NDArray[np.float64]:
        """Returns published scores ``float64[n]`` of the untrained networks, NaN where none could be had.

        Raises:
            DataError: There is no such series (the message lists what there is), or no such architecture.
        """
        return self._values("score", name, dataset, None, MEAN, None)[self.rows(archs)]

    def cost(
        self,
        archs: Selection = None,
        name: str = TRAINING_SECONDS,
        dataset: str | None = None,
        seed: int | str = MEAN,
        epochs: int | None = None,
    ) -> NDArray[np.float64]:
        """Returns costs ``float64[n]``: ``training_seconds``, ``latency_seconds``, ``parameters``, ``flops``, ...

        Raises:
            DataError: There is no such series (the message lists what there is), or no such architecture.
        """
        return self._values("cost", name, dataset, None, seed, epochs)[self.rows(archs)]

    def best_accuracies(self) -> list[tuple[str, float, int]]:
        """Returns, for every series of final accuracies, its path, the best mean over seeds and how many are known."""
        found = []
        for series in self.series:
            if series.kind == "final" and series.name == ACCURACY:
                values = self.accuracy(None, series.dataset, series.split, MEAN, series.epochs)
                known = values[~np.isnan(values)]
                best = float(known.max()) if len(known) else np.nan
                found.append((series.path.removeprefix("final/"), best, len(known)))
        return found

    def split(self, n_train: int, n_test: int, seed: int, distinct: bool = False, among: Selection = None) -> Split:
        """Draws disjoint rows to learn from and to judge on.

        With the same seed and ``n_test``, a larger training set holds the smaller one and the test set is the same.

        Args:
            n_train: Number of training rows.
            n_test: Number of test rows.
            seed: The draw depends on nothing else.
            distinct: Whether no two of all drawn rows may be equal as networks. This is another task than a draw from
                the plain table, where a test network may have been trained on under another name: say which was used.
            among: Draw from these only, e.g. from those that have a curve.

        Raises:
            DataError: There are fewer (distinct) architectures than asked for.
        """
        rows = np.unique(self.rows(among))
        order = torch.randperm(len(rows), generator=make_generator(seed, "benchmark split")).numpy()
        drawn = rows[order]
        if distinct:
            keys = pd.Series(self.keys, dtype=object).iloc[drawn]
            drawn = drawn[~keys.duplicated().to_numpy()]
        if len(drawn) < n_train + n_test:
            kind = "distinct networks" if distinct else "architectures"
            problem = f"has {len(drawn)} {kind} to draw from, {n_train} + {n_test} are asked for"
            raise DataError(self.folder, problem, "Ask for fewer")
        return Split(drawn[n_test : n_test + n_train], drawn[:n_test])

    @cached_property
    def _row_of_name(self) -> pd.Index:
        return pd.Index(self.names, dtype=object)

    @cached_property
    def _first_row_of_key(self) -> pd.Series:
        rows = pd.Series(np.arange(len(self)), index=pd.Index(self.keys, dtype=object))
        return rows[~rows.index.duplicated()]

    def _texts(self, column: str) -> list[str]:
        texts: list[str] = read_columns(self.folder, [column], len(self))[column].to_pylist()
        return texts

    def _rows_of_batch(self, archs: Architectures) -> Rows:
        names = self.space.format(archs)
        rows = self._row_of_name.get_indexer(pd.Index(names, dtype=object))
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            keys = self.space.canonical(archs[missing.tolist()])
            rows[missing] = self._first_row_of_key.reindex(keys, fill_value=-1)
        return self._checked(rows, rows < 0, names)

    def _rows_of_numbers(self, numbers: NDArray[Any]) -> Rows:
        if numbers.dtype == np.bool_ and len(numbers) == len(self):
            return np.flatnonzero(numbers)
        if len(numbers) and not np.issubdtype(numbers.dtype, np.integer):
            raise DataError(self.folder, f"no index by {numbers.dtype}", "Give row numbers or a mask of all rows")
        rows = numbers.astype(np.int64)
        return self._checked(rows, (rows < 0) | (rows >= len(self)), rows)

    def _checked(self, rows: Rows, bad: NDArray[np.bool_], names: Sequence[str] | Rows) -> Rows:
        if bad.any():
            problem = f"has no architecture {names[int(bad.argmax())]}"
            raise DataError(self.folder, problem, f"It holds the {len(self)} that Benchmark.names lists")
        return rows

    def _values(
        self, kind: Kind, name: str, dataset: str | None, split: str | None, seed: int | str, epochs: int | None
    ) -> NDArray[np.float64]:
        """A column, or the mean over the columns of all seeds."""
        series = self._find(kind, name, dataset, split, epochs)
        if seed == MEAN:
            return _mean(np.stack([self._column(column) for column in series.columns], axis=1))
        return self._column(series.columns[self._place_of_seed(series, seed)])

    def _column(self, name: str) -> NDArray[np.float64]:
        if name not in self._columns:
            values = read_columns(self.folder, [name], len(self))[name].to_numpy()
            values.setflags(write=False)
            self._columns[name] = values
        return self._columns[name]

    def _find(self, kind: Kind, name: str, dataset: str | None, split: str | None, epochs: int | None) -> Series:
        named = [series for series in self.series if series.kind == kind and series.name == name]
        fitting = [
            series
            for series in named
            if dataset in (None, series.dataset) and split in (None, series.split) and epochs in (None, series.epochs)
        ]
        if len({(series.dataset, series.split) for series in fitting}) == 1:
            return max(fitting, key=lambda series: series.epochs or 0)
        asked = "/".join(str(part) for part in (kind, dataset, split, name, epochs) if part is not None)
        problem = f"several series fit {asked}" if fitting else f"no series fits {asked}"
        known = named or [series for series in self.series if series.kind == kind]
        choices = ", ".join(series.path for series in fitting or known) or "none of this kind"
        raise DataError(self.folder, problem, f"There are: {choices}")

    def _place_of_seed(self, series: Series, seed: int | str) -> int:
        if seed not in series.seeds:
            known = ", ".join(map(str, (*series.seeds, MEAN)))
            raise DataError(self.folder, f"{series.path} has no seed {seed}", f"There are: {known}")
        return series.seeds.index(seed)


def _mean(values: NDArray[Any]) -> NDArray[Any]:
    """The mean over the second dimension of what is not NaN; NaN where all is."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis=1, dtype=np.float64)
    count = known.sum(axis=1)
    mean: NDArray[Any] = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean
