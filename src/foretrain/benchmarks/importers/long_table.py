"""A plain long table of one's own measurements: a CSV or Parquet file with a row per architecture and epoch.

The columns are ``arch``, ``dataset``, ``seed``, ``epoch`` (counted from 1), ``split`` and ``accuracy`` (percent). The
training length of a data set is its largest epoch; a run that stopped before has a curve but no final accuracy.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from foretrain.benchmarks.contents import ACCURACY, Contents, Description, Series
from foretrain.errors import DataError
from foretrain.runtime.reading import load_table, to_numbers

COLUMNS = ["arch", "dataset", "seed", "epoch", "split", "accuracy"]
_TEXTS = ["arch", "dataset", "split"]
_INTEGERS = ["seed", "epoch"]
_LARGEST = {"seed": 2**53, "epoch": 100_000}
_CELLS = 100_000_000


def read(path: Path) -> Contents:
    """Reads the table; its architectures keep the order in which they first appear.

    Raises:
        DataError: A column is missing or has wrong values, a row is there twice, or an accuracy is not in 0..100;
            names the row (counted from 1, without the header).
    """
    table = _check(_read_table(path), path)
    codes, architectures = pd.factorize(table["arch"])
    series: dict[Series, NDArray[Any]] = {}
    for dataset, of_dataset in table.assign(row=codes).groupby("dataset", sort=True):
        epochs = int(of_dataset["epoch"].max())
        for split, rows in of_dataset.groupby("split", sort=True):
            series |= _series(rows, str(dataset), str(split), epochs, len(architectures))
    description = Description(
        name=path.stem,
        title=f"Measurements of {path.name}",
        space=None,
        source="imported from a long table",
        licence="not stated",
    )
    return Contents(description, architectures.tolist(), series)


def _read_table(path: Path) -> pd.DataFrame:
    is_parquet = path.suffix in (".parquet", ".pq")
    try:
        return load_table(path) if is_parquet else pd.read_csv(path, dtype=dict.fromkeys(_TEXTS, "str"))
    except (pa.ArrowException, pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, OSError) as error:
        kind = "Parquet" if is_parquet else "CSV"
        raise DataError(path, f"not a readable {kind} file ({error})", "Check how it was written") from error


def _check(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise DataError(path, f"lacks the columns {', '.join(missing)}", f"It needs {', '.join(COLUMNS)}")
    _reject(table["arch"].isna() | table["dataset"].isna() | table["split"].isna(), path, table, "a name is missing")
    numbers = table[[*_INTEGERS, "accuracy"]].apply(to_numbers)
    for name in _INTEGERS:
        _reject(~(numbers[name] % 1 == 0), path, table, f"{name} is no whole number")
        _reject(numbers[name].abs() > _LARGEST[name], path, table, f"{name} is larger than {_LARGEST[name]}")
    _reject(numbers["epoch"] < 1, path, table, "epochs count from 1")
    _reject(~numbers["accuracy"].between(0, 100), path, table, "the accuracy is not between 0 and 100 (percent)")
    table = table.assign(
        **{name: table[name].astype(str) for name in _TEXTS},
        **{name: numbers[name].astype(np.int64) for name in _INTEGERS},
        accuracy=numbers["accuracy"],
    )
    _reject(table.duplicated(["arch", "dataset", "seed", "epoch", "split"]), path, table, "is there twice")
    return table


def _reject(bad: pd.Series, path: Path, table: pd.DataFrame, problem: str) -> None:
    if bad.any():
        row = int(bad.to_numpy().argmax())
        content = ", ".join(f"{name} {table[name].iloc[row]}" for name in COLUMNS)
        raise DataError(path, f"row {row + 1} ({content}): {problem}", "Correct or remove that row")


def _series(rows: pd.DataFrame, dataset: str, split: str, epochs: int, length: int) -> dict[Series, NDArray[Any]]:
    seed_codes, seeds = pd.factorize(rows["seed"], sort=True)
    if length * len(seeds) * epochs > _CELLS:
        problem = f"{length} architectures x {len(seeds)} seeds x {epochs} epochs of {dataset} are too many"
        raise DataError("the table", problem, f"Convert at most {_CELLS} values of a data set at a time")
    values = np.full((length, len(seeds), epochs), np.nan)
    values[rows["row"], seed_codes, rows["epoch"] - 1] = rows["accuracy"]
    labels = tuple(int(seed) for seed in seeds)
    observed = np.isfinite(values).any(axis=(0, 1))
    series: dict[Series, NDArray[Any]] = {Series("final", ACCURACY, dataset, split, epochs, labels): values[..., -1]}
    if observed[:-1].any():
        seen = None if observed.all() else tuple((np.flatnonzero(observed) + 1).tolist())
        curve = Series("curve", ACCURACY, dataset, split, epochs, labels, seen)
        series[curve] = values[..., observed].astype(np.float32)
    return series
