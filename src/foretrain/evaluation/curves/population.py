"""The curves that a study is about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from foretrain.benchmarks.contents import ACCURACY, LOSS
from foretrain.benchmarks.task import BenchmarkTask
from foretrain.curves.observation import TrainMetric
from foretrain.errors import ConfigError
from foretrain.runtime.seeding import make_generator

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class CurvePopulation:
    """Whole learning curves of n networks.

    Attributes:
        valid: ``float64[n, horizon]``, percent.
        train: ``float64[n, horizon]``, training accuracies or losses, or None.
        train_metric: What they are.
        rows: ``int64[n]``, rows in the benchmark.
    """

    valid: FloatArray
    train: FloatArray | None
    train_metric: TrainMetric
    rows: NDArray[np.int64]

    @property
    def final(self) -> FloatArray:
        """``[n]``, the values at the horizon."""
        return self.valid[:, -1]

    @property
    def horizon(self) -> int:
        """The last epoch."""
        return int(self.valid.shape[1])


def curve_population(task: BenchmarkTask, networks: int | None, seed: int) -> CurvePopulation:
    """Returns the curves of the task's target and the training curves beside them.

    Args:
        task: The benchmark.
        networks: So many of the networks with a whole curve, drawn by the seed; None takes all.
        seed: Seed of the draw.

    Raises:
        ConfigError: There are fewer.
    """
    target, benchmark = task.target, task.benchmark
    valid = benchmark.curves(None, target.dataset, target.split, target.seed, target.epochs).astype(np.float64)
    rows = np.flatnonzero(~np.isnan(valid).any(axis=1))
    if networks is not None:
        if len(rows) < networks:
            raise ConfigError("networks", "more than there are curves", networks, f"1 to {len(rows)}, or null for all")
        order = torch.randperm(len(rows), generator=make_generator(seed, "curves")).numpy()
        rows = np.sort(rows[order[:networks]])
    kinds = {(series.name, series.split) for series in benchmark.series if series.kind == "curve"}
    metric = ACCURACY if (ACCURACY, "train") in kinds else LOSS
    train = None
    if (metric, "train") in kinds:
        train = benchmark.curves(rows, target.dataset, "train", target.seed, target.epochs, metric).astype(np.float64)
    return CurvePopulation(valid[rows], train, "accuracy" if metric == ACCURACY else "loss", rows)
