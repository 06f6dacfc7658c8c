"""Finished runs of other tools as learning curves: Lightning's CSV logs and exports of Weights & Biases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretrain.errors import DataError
from foretrain.integrations.run_forecast import FloatArray
from foretrain.runtime.reading import load_table, to_numbers

_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {".csv": pd.read_csv, ".parquet": load_table}
_SHOWN = 12
_FIRST_LINE = 2  # the header is the first
_LAST_EPOCH = 1_000_000
_CELLS = 50_000_000


def read_histories(path: str | Path, metric: str) -> FloatArray:
    """Reads how a metric went in many runs.

    A table with a column named like the metric is one run: Lightning's ``metrics.csv``, or the history of one run from
    Weights & Biases. One with columns ``NAME - metric`` is an export of a chart of Weights & Biases, with one run a
    column. A column ``epoch`` counts from 0, as Lightning does, and the last value of an epoch is kept; without it, the
    values follow each other epoch by epoch.

    Args:
        path: A CSV or Parquet file, or a folder, in which all of them are read in the order of their names; files
            without the metric are passed over.
        metric: Name of the metric.

    Returns:
        ``float64[m, t]`` in the metric's unit; column e - 1 is epoch e, NaN is what was not observed.

    Raises:
        DataError: A file cannot be read, or no run has the metric; a value is text or an epoch no whole number, which
            names the line.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(path, "no such file or folder", "Give the folder of finished runs, or an export of them")
    files = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.suffix in _READERS)
    curves: list[FloatArray] = []
    columns: set[str] = set()
    length = 0
    for file in files:
        table = _read(file)
        columns |= set(map(str, table.columns))
        for name in _columns_of(table, metric):
            curve = _curve(file, table, name)
            length = max(length, len(curve))
            curves += [curve] if len(curve) else []
            if len(curves) * length > _CELLS:
                problem = f"makes it {len(curves)} runs of up to {length} epochs"
                raise DataError(file, problem, f"Give at most {_CELLS} values at a time")
    if not curves:
        shown = ", ".join(sorted(columns)[:_SHOWN]) or "none"
        problem = f"none of {len(files)} tables has a run with {metric!r}; their columns: {shown}"
        raise DataError(path, problem, "Name a metric that these runs have logged")
    return stacked(curves, length)


def stacked(curves: list[FloatArray], length: int) -> FloatArray:
    """Returns curves ``[n, length]``, filled up with NaN."""
    table = np.full((len(curves), length), np.nan)
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve)] = curve
    return table


def _read(file: Path) -> pd.DataFrame:
    reader = _READERS.get(file.suffix)
    if reader is None:
        raise DataError(file, "is neither CSV nor Parquet", f"Give a file that ends with {' or '.join(_READERS)}")
    try:
        return reader(file)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()  # a run that has logged nothing yet
    except (ValueError, OSError) as error:
        raise DataError(file, f"cannot be read ({error})", "Mend the file or take it away") from error


def _columns_of(table: pd.DataFrame, metric: str) -> list[str]:
    return [str(name) for name in table.columns if name == metric or str(name).endswith(f" - {metric}")]


def _curve(file: Path, table: pd.DataFrame, column: str) -> FloatArray:
    """``float64[t]`` up to the last epoch with a value; empty where the run has none."""
    values = _numbers(file, table, column)
    seen = np.isfinite(values)
    if "epoch" not in table.columns:
        return values[seen]
    epochs = _numbers(file, table, "epoch")
    known = seen & ~np.isnan(epochs)
    _refuse(
        file,
        table,
        known & ((epochs < 0) | (epochs != np.floor(epochs)) | (epochs > _LAST_EPOCH)),
        "epoch",
        "Count epochs 0, 1, 2, ...",
    )
    places = epochs[known].astype(np.int64)
    curve = np.full(places.max(initial=-1) + 1, np.nan)
    curve[places] = values[known]  # the last of equal indices stays
    return curve


def _numbers(file: Path, table: pd.DataFrame, column: str) -> FloatArray:
    """The numbers of a column, NaN for empty cells; text is refused."""
    numbers = to_numbers(table[column]).to_numpy(dtype=np.float64)
    _refuse(file, table, np.isnan(numbers) & table[column].notna().to_numpy(), column, "Give a number")
    return numbers


def _refuse(file: Path, table: pd.DataFrame, bad: NDArray[np.bool_], column: str, remedy: str) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise DataError(file, f"line {row + _FIRST_LINE} has {table[column].iloc[row]!s} as {column}", remedy)
