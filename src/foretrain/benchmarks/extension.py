"""A benchmark with further scores, as a new folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from foretrain.benchmarks.contents import Contents, Series
from foretrain.benchmarks.format import KEY, map_curves, read_columns, read_manifest, write_benchmark
from foretrain.benchmarks.table import Benchmark


def read_contents(benchmark: Benchmark) -> Contents:
    """Reads a whole benchmark back into memory, as an importer gave it.

    Raises:
        DataError: A file is missing or damaged.
    """
    folder, length = benchmark.folder, len(benchmark)
    series: dict[Series, NDArray[Any]] = {}
    for item in benchmark.series:
        if item.kind == "curve":
            series[item] = np.array(map_curves(folder, item, length))
        else:
            columns = read_columns(folder, item.columns, length)
            series[item] = np.stack([column.to_numpy() for column in columns.itercolumns()], axis=1)
    keys = read_columns(folder, [KEY], length)[KEY].to_pylist() if read_manifest(folder).has_keys else None
    return Contents(benchmark.description, benchmark.names, series, keys)


def with_columns(benchmark: Benchmark, columns: Mapping[Series, ArrayLike], folder: str | Path) -> Benchmark:
    """Writes a copy of a benchmark with further scores or costs, and opens it.

    Args:
        benchmark: The benchmark; its own folder is not changed.
        columns: One number for each architecture, in the order of the benchmark; NaN where there is none. A series of
            the same path is replaced.
        folder: The new folder.

    Raises:
        DataError: The numbers are not as many as the architectures, or the folder is there already.
    """
    contents = read_contents(benchmark)
    replaced = {series.path for series in columns}
    series: dict[Series, NDArray[Any]] = {
        kept: values for kept, values in contents.series.items() if kept.path not in replaced
    }
    series |= {item: np.asarray(values, dtype=np.float64)[:, None] for item, values in columns.items()}
    write_benchmark(Contents(contents.description, contents.architectures, series, contents.keys), folder)
    return Benchmark(folder)
