"""What the files of NAS-Bench-201 and NATS-Bench hold for one architecture, gathered for all of them.

Both store, by training length, a dictionary with ``all_results``: ``(dataset, seed)`` -> the record of one training.
Its epochs count from 0; its accuracies are in percent, parameters and operations in millions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretrain.benchmarks.contents import (
    ACCURACY,
    FLOPS,
    LATENCY_SECONDS,
    LOSS,
    PARAMETERS,
    SINGLE,
    TRAINING_SECONDS,
    Kind,
    Series,
)
from foretrain.errors import DataError

_SPLITS = {"x-valid": "valid", "x-test": "test", "ori-test": "test"}
_HALVED = ("cifar100", "ImageNet16-120")
"""Data sets whose official test set was divided into ``x-valid`` and ``x-test``; there it keeps its own name."""

_SEED_OF_COUNTS = 888
"""Where the seeds of an architecture differ in parameters or operations, the official reader trusts this one."""

_LONGEST = 1000
"""No training has more epochs; a damaged number must not take all memory."""

_Key = tuple[Kind, str, str, str | None, int | None]


@dataclass(frozen=True)
class _Training:
    """Which training a record is of."""

    row: int
    dataset: str
    seed: int
    epochs: int

    def __str__(self) -> str:
        return f"architecture {self.row}, {self.dataset}, seed {self.seed}, {self.epochs} epochs"


@dataclass
class ArchResults:
    """Gathers records one by one and returns their series.

    Attributes:
        length: Number of architectures.
        source: The file, for the messages.
    """

    length: int
    source: Path
    _values: dict[_Key, dict[int | str, NDArray[Any]]] = field(default_factory=dict)

    def add(self, row: int, by_length: Any) -> None:  # noqa: ANN401 - a file holds any object until it is checked
        """Adds all trainings of one architecture.

        Args:
            row: The architecture.
            by_length: Its results, a dictionary by training length.

        Raises:
            DataError: A field is missing, of another type, or an accuracy is not between 0 and 100.
        """
        if row not in range(self.length):
            problem = f"has results of architecture {row}, which is none of the {self.length} listed"
            raise DataError(self.source, problem, "Check that it is the official file")
        try:
            for results in by_length.values():
                for (dataset, seed), record in results["all_results"].items():
                    self._add_training(row, str(dataset), int(seed), record)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            problem = f"architecture {row} lacks a field or has a wrong one ({type(error).__name__}: {error})"
            raise DataError(self.source, problem, "Check that it is the official file") from error

    def series(self) -> dict[Series, NDArray[Any]]:
        """Returns the series with the seeds as their second dimension; curves of the last epoch only are left out.

        The gathered numbers are given up on the way, so that they are not in memory twice.
        """
        found: dict[Series, NDArray[Any]] = {}
        while self._values:
            (kind, name, dataset, split, epochs), by_seed = self._values.popitem()
            seeds = sorted(by_seed, key=str)
            values = np.stack([by_seed[seed] for seed in seeds], axis=1)
            observed = np.isfinite(values).any(axis=(0, 1)) if kind == "curve" else np.ones(2, dtype=np.bool_)
            if observed.all():
                found[Series(kind, name, dataset, split, epochs, tuple(seeds))] = values
            elif observed[:-1].any():
                seen = tuple((np.flatnonzero(observed) + 1).tolist())
                found[Series(kind, name, dataset, split, epochs, tuple(seeds), seen)] = values[:, :, observed]
        return dict(reversed(found.items()))

    def _add_training(self, row: int, dataset: str, seed: int, record: Mapping[str, Any]) -> None:
        epochs = int(record["epochs"])
        if not 0 < epochs <= _LONGEST:
            raise ValueError(f"training for {epochs} epochs")
        training = _Training(row, dataset, seed, epochs)
        self._add_split(training, "train", record["train_acc1es"], record["train_losses"], range(epochs))
        accuracies, losses = record["eval_acc1es"], record["eval_losses"]
        for name in dict.fromkeys(key.partition("@")[0] for key in accuracies):
            split = name if dataset in _HALVED and name == "ori-test" else _SPLITS.get(name, name)
            self._add_split(training, split, accuracies, losses, [f"{name}@{epoch}" for epoch in range(epochs)])
        self._add_costs(training, record)

    def _add_split(
        self,
        training: _Training,
        split: str,
        accuracies: Mapping[Any, float],
        losses: Mapping[Any, float],
        keys: Sequence[Any],
    ) -> None:
        accuracy = self._percent(accuracies, keys, training)
        where = (training.dataset, split, training.epochs)
        self._put(("final", ACCURACY, *where), training.seed, training.row, accuracy[-1])
        self._put(("curve", ACCURACY, *where), training.seed, training.row, accuracy)
        self._put(("curve", LOSS, *where), training.seed, training.row, _numbers(losses, keys))

    def _add_costs(self, training: _Training, record: Mapping[str, Any]) -> None:
        times, latency = record.get("train_times"), record.get("latency")
        row, dataset = training.row, training.dataset
        if times:
            key: _Key = ("cost", TRAINING_SECONDS, dataset, None, training.epochs)
            self._put(key, training.seed, row, sum(times.values()))
        if latency:
            key = ("cost", LATENCY_SECONDS, dataset, None, training.epochs)
            self._put(key, training.seed, row, sum(latency) / len(latency))
        for name, millions in ((PARAMETERS, record["params"]), (FLOPS, record["flop"])):
            key = ("cost", name, dataset, None, None)
            if training.seed == _SEED_OF_COUNTS or not self._has(key, row):
                self._put(key, SINGLE, row, round(millions * 1e6))

    def _percent(self, values: Mapping[Any, float], keys: Sequence[Any], training: _Training) -> NDArray[np.float64]:
        accuracy = _numbers(values, keys)
        for epoch in np.flatnonzero(~((accuracy >= 0) & (accuracy <= 100))).tolist():
            if keys[epoch] in values:
                problem = f"{training}, {keys[epoch]!r}: accuracy {accuracy[epoch]} is not between 0 and 100"
                raise DataError(self.source, problem, "Check that it is the official file")
        return accuracy

    def _has(self, key: _Key, row: int) -> bool:
        return key in self._values and bool(np.isfinite(self._values[key][SINGLE][row]))

    def _put(self, key: _Key, seed: int | str, row: int, value: Any) -> None:  # noqa: ANN401
        by_seed = self._values.setdefault(key, {})
        if seed not in by_seed:
            curve, epochs = key[0] == "curve", key[-1] or 0
            shape = (self.length, epochs) if curve else (self.length,)
            by_seed[seed] = np.full(shape, np.nan, dtype=np.float32 if curve else np.float64)
        by_seed[seed][row] = value


def _numbers(values: Mapping[Any, float], keys: Sequence[Any]) -> NDArray[np.float64]:
    """The values at the keys; NaN where a key is missing."""
    return np.array([values.get(key) for key in keys], dtype=np.float64)
