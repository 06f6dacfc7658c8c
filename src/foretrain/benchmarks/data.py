"""Benchmarks as Lightning data: drawn once, kept on the device, a batch is an index."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from foretrain.benchmarks.batches import CurveBatch, EncodedBatch
from foretrain.benchmarks.contents import MEAN
from foretrain.benchmarks.table import Benchmark, Rows, open_benchmark
from foretrain.errors import DataError
from foretrain.runtime.tables import TableData
from foretrain.spaces.encodings.graph import GraphBatch

Count = Annotated[int, Field(ge=1)]


class BenchmarkDataModule(TableData[EncodedBatch]):
    """Architectures with their measured accuracies, encoded as a whole.

    The networks are drawn among those whose accuracy is known.

    Args:
        benchmark: Name or folder of the benchmark.
        encoding: An encoding of its space: ``graph``, ``one_hot``, ``graph_features``, ...
        n_train: Networks to learn from.
        n_val: Networks that decide when to stop.
        n_test: Networks to judge on; None takes all others.
        dataset: Data set of the accuracy; None where the benchmark has only one.
        split: ``valid``, ``test``, ...; None where it has only one.
        epochs: Length of the training; None takes the longest.
        accuracy_seed: Seed of the accuracy, or ``mean``.
        distinct: Whether no two of the drawn networks may be equal (see ``Benchmark.split``).
        batch_size: Networks in a batch.
        seed: Seed of the draw and of the shuffling.

    Raises:
        DataError: There is no such benchmark or series, or it has fewer networks than asked for.
    """

    def __init__(
        self,
        benchmark: str,
        encoding: str,
        n_train: Count,
        n_val: Count,
        n_test: Count | None = None,
        dataset: str | None = None,
        split: str | None = None,
        epochs: int | None = None,
        accuracy_seed: int | str = MEAN,
        distinct: bool = False,
        batch_size: Count = 32,
        seed: int = 0,
    ) -> None:
        self.benchmark = open_benchmark(benchmark)
        accuracy = self.benchmark.accuracy(None, dataset, split, accuracy_seed, epochs)
        parts = _draw(self.benchmark, ~np.isnan(accuracy), (n_train, n_val, n_test), seed, distinct)
        train, val, test = (_encode(self.benchmark, encoding, rows, accuracy) for rows in parts)
        super().__init__(train, val, batch_size, seed, test)


class CurveDataModule(TableData[CurveBatch]):
    """Learning curves whose first epochs are observed, with their final accuracies.

    The networks are drawn among those whose final accuracy and at least one observed epoch are known.

    Args:
        benchmark: Name or folder of the benchmark.
        observed: The first so many epochs are observed.
        n_train: Networks to learn from, whose curves are finished.
        n_val: Networks that decide when to stop.
        n_test: Networks to judge on; None takes all others.
        dataset: Data set of the curves; None where the benchmark has only one.
        split: ``valid``, ``test``, ...; None where it has only one.
        epochs: Length of the training; None takes the longest.
        accuracy_seed: Seed of the training, or ``mean``.
        batch_size: Networks in a batch.
        seed: Seed of the draw and of the shuffling.

    Raises:
        DataError: There is no such benchmark or series, or it has fewer networks than asked for.
    """

    def __init__(
        self,
        benchmark: str,
        observed: Count,
        n_train: Count,
        n_val: Count,
        n_test: Count | None = None,
        dataset: str | None = None,
        split: str | None = None,
        epochs: int | None = None,
        accuracy_seed: int | str = MEAN,
        batch_size: Count = 32,
        seed: int = 0,
    ) -> None:
        self.benchmark = open_benchmark(benchmark)
        curves = self.benchmark.curves(None, dataset, split, accuracy_seed, epochs)
        final = curves[:, -1].copy()
        curves[:, observed:] = np.nan
        known = ~np.isnan(final) & ~np.isnan(curves).all(axis=1)
        parts = _draw(self.benchmark, known, (n_train, n_val, n_test), seed, distinct=False)
        train, val, test = (
            CurveBatch(torch.from_numpy(curves[rows]), torch.from_numpy(final[rows]), torch.from_numpy(rows))
            for rows in parts
        )
        super().__init__(train, val, batch_size, seed, test)


def _draw(
    benchmark: Benchmark, known: NDArray[np.bool_], counts: tuple[int, int, int | None], seed: int, distinct: bool
) -> tuple[Rows, Rows, Rows]:
    """Rows of training, validation and test; with the same seed the test rows stay, whatever the other counts."""
    n_train, n_val, n_test = counts
    if n_test is None:
        n_test = _available(benchmark, known, distinct) - n_train - n_val
        if n_test < 1:
            problem = f"{n_train} + {n_val} networks are asked for and none is left to judge on"
            raise DataError(benchmark.folder, problem, "Ask for fewer")
    learned, test = benchmark.split(n_train + n_val, n_test, seed, distinct, known)
    return learned[n_val:], learned[:n_val], test


def _available(benchmark: Benchmark, known: NDArray[np.bool_], distinct: bool) -> int:
    rows = np.flatnonzero(known)
    return len({benchmark.keys[row] for row in rows}) if distinct else len(rows)


def _encode(benchmark: Benchmark, encoding: str, rows: Rows, accuracy: NDArray[np.float64]) -> EncodedBatch:
    arch_id = torch.from_numpy(rows)
    code = benchmark.space.encode(benchmark.architectures[arch_id], encoding)
    if isinstance(code, GraphBatch):
        code = replace(code, arch_id=arch_id)
    return EncodedBatch(torch.from_numpy(accuracy[rows]).float(), arch_id, code)
