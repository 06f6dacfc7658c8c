"""Syne Tune's copy of NAS-Bench-201: ``hyperparameters.parquet``, ``metadata.json``, ``objectives_evaluations.npy``.

The array is ``float32[task, architecture, seed, 200 epochs, objective]``, errors in 0..1 and seconds. Its
``valid_error`` is the error on the official test set, and it holds the mean of the other two seeds where a seed was
never trained: such a seed is recognised and left out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from foretrain.benchmarks.contents import (
    ACCURACY,
    FLOPS,
    LATENCY_SECONDS,
    PARAMETERS,
    TRAINING_SECONDS,
    Contents,
    Description,
    Series,
)
from foretrain.benchmarks.importers.nasbench201 import SPACE
from foretrain.errors import DataError
from foretrain.runtime.files import read_json
from foretrain.runtime.progress import progress_bar
from foretrain.runtime.reading import load_array, load_table

SEEDS = (777, 888, 999)
_OPERATIONS = [f"hp_x{edge}" for edge in range(6)]
_FORM = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"
_TEST_ERROR, _TRAIN_ERROR = "metric_valid_error", "metric_train_error"
_ELAPSED, _LATENCY = "metric_elapsed_time", "metric_latency"
_FLOPS, _PARAMETERS = "metric_flops", "metric_params"
_OBJECTIVES = {_TEST_ERROR, _TRAIN_ERROR, _ELAPSED, _LATENCY, _FLOPS, _PARAMETERS}
_REMEDY = "Download Syne Tune's folder nasbench201 again"


def read(path: Path) -> Contents:
    """Reads the folder.

    Raises:
        DataError: A file is damaged, or the array does not fit the names and architectures.
    """
    architectures = _read_architectures(path / "hyperparameters.parquet")
    tasks, objectives = _read_names(path / "metadata.json")
    values = _read_values(path / "objectives_evaluations.npy", (len(tasks), len(architectures), len(SEEDS)), objectives)
    series: dict[Series, NDArray[Any]] = {}
    with progress_bar("reading data sets", total=len(tasks)) as advance:
        for task, name in enumerate(tasks):
            by_objective = {objective: values[task, ..., place] for place, objective in enumerate(objectives)}
            series |= _series_of_task(name, by_objective)
            advance()
    description = Description(
        name="synetune-nasbench201",
        title="Syne Tune's copy of NAS-Bench-201: test and training accuracy per epoch",
        space=SPACE,
        source="Dong & Yang 2020, as copied by https://github.com/syne-tune/syne-tune",
        licence="Apache-2.0",
    )
    return Contents(description, architectures, series)


def _read_architectures(path: Path) -> list[str]:
    try:
        table = load_table(path, columns=_OPERATIONS)
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        raise DataError(path, f"not a readable table of {', '.join(_OPERATIONS)} ({error})", _REMEDY) from error
    return [_FORM.format(*operations) for operations in table[_OPERATIONS].to_numpy()]


def _read_names(path: Path) -> tuple[list[str], list[str]]:
    content = read_json(path)
    try:
        tasks, objectives = ([str(name) for name in content[key]] for key in ("task_names", "objectives_names"))
    except (KeyError, TypeError) as error:
        raise DataError(path, "lacks 'task_names' or 'objectives_names'", _REMEDY) from error
    if missing := _OBJECTIVES - set(objectives):
        raise DataError(path, f"lacks the objective {min(missing)}", _REMEDY)
    return tasks, objectives


def _read_values(path: Path, lengths: tuple[int, int, int], objectives: Sequence[str]) -> NDArray[np.float32]:
    try:
        values: NDArray[np.float32] = load_array(path, mmap_mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise DataError(path, f"not a readable array of numbers ({error})", _REMEDY) from error
    if values.ndim != 5 or values.shape[:3] != lengths or values.shape[4] != len(objectives):
        expected = f"{list(lengths)} x epochs x {len(objectives)}"
        raise DataError(path, f"has the shape {list(values.shape)}, not {expected} as the other files say", _REMEDY)
    return values


def _series_of_task(dataset: str, objectives: dict[str, NDArray[np.float32]]) -> dict[Series, NDArray[Any]]:
    epochs = objectives[_TEST_ERROR].shape[-1]
    invented = _is_mean_of_others(objectives[_TEST_ERROR])
    series: dict[Series, NDArray[Any]] = {}
    for split, objective in (("test", _TEST_ERROR), ("train", _TRAIN_ERROR)):
        accuracy = 100 * (1 - objectives[objective].astype(np.float64))
        accuracy[invented] = np.nan
        series[Series("final", ACCURACY, dataset, split, epochs, SEEDS)] = accuracy[..., -1]
        series[Series("curve", ACCURACY, dataset, split, epochs, SEEDS)] = accuracy.astype(np.float32)
    seconds = objectives[_ELAPSED][..., -1].astype(np.float64)
    seconds[invented] = np.nan
    series[Series("cost", TRAINING_SECONDS, dataset, None, epochs, SEEDS)] = seconds
    for name, objective, unit in ((LATENCY_SECONDS, _LATENCY, 1), (PARAMETERS, _PARAMETERS, 1e6), (FLOPS, _FLOPS, 1e6)):
        values = objectives[objective][:, :1, 0].astype(np.float64) * unit
        series[Series("cost", name, dataset)] = values if unit == 1 else values.round()
    return series


def _is_mean_of_others(curves: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which seeds, ``bool[n, 3]``, equal the mean of the other two at every epoch while those two differ."""
    found = np.zeros(curves.shape[:2], dtype=np.bool_)
    for seed in range(len(SEEDS)):
        first, second = (curves[:, other] for other in range(len(SEEDS)) if other != seed)
        is_mean = (curves[:, seed] == np.stack((first, second)).mean(axis=0, dtype=np.float32)).all(axis=-1)
        found[:, seed] = is_mean & (first != second).any(axis=-1)
    return found
