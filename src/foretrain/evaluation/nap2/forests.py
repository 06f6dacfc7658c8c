"""Forests on blocks of inputs: the same learner on what is seen from outside, from inside, and both.

A hundred networks are too few for a deep network to find out which of ten thousand numbers matter; extremely randomised
trees on summaries need no tuning and shrug off columns without meaning. That they are the same for all blocks is what
makes the comparison of the blocks fair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field
from sklearn.ensemble import ExtraTreesRegressor

from foretrain.evaluation.nap2.folds import Fold, IndexArray
from foretrain.evaluation.nap2.judging import FloatArray
from foretrain.runtime.parallel import Record
from foretrain.runtime.seeding import derive_seed
from foretrain.runtime.study import RunContext


@dataclass(frozen=True)
class ForestSettings:
    """Extremely randomised trees (Geurts et al. 2006), a forest for each number of snapshots.

    Attributes:
        trees: Number of trees.
        min_leaf: Networks in a leaf, at least.
        max_features: Share of the columns that a split chooses from.
    """

    trees: Annotated[int, Field(ge=1)] = 100
    min_leaf: Annotated[int, Field(ge=1)] = 2
    max_features: Annotated[float, Field(gt=0, le=1)] = 0.3

    def make(self, seed: int) -> ExtraTreesRegressor:
        """Returns an unfitted forest."""
        return ExtraTreesRegressor(
            self.trees, min_samples_leaf=self.min_leaf, max_features=self.max_features, random_state=seed % 2**32
        )


@dataclass(frozen=True)
class _Job:
    table: FloatArray
    truth: FloatArray
    train: IndexArray
    test: IndexArray
    settings: ForestSettings
    seed: int


def forecast_by_forests(
    context: RunContext,
    tables: Mapping[str, FloatArray],
    truth: FloatArray,
    folds: Sequence[Fold],
    settings: ForestSettings,
) -> dict[str, FloatArray]:
    """Returns the forecasts of the forest on each table, out of fold, ``[n, t]`` in percent.

    A forest learns from all networks outside its test fold (it needs none to decide when to stop).

    Args:
        context: The run; the forests grow through its parallel map.
        tables: Inputs ``[n, t, d]`` by name.
        truth: ``[n]``, final accuracies in percent.
        folds: The folds, the one without a test set left aside.
        settings: Settings of the forests.
    """
    tested = [fold for fold in folds if len(fold.test)]
    jobs = {
        f"{name}-{fold.name}": _Job(
            table, truth, np.union1d(fold.train, fold.validation), fold.test, settings, derive_seed(context.seed, name)
        )
        for name, table in tables.items()
        for fold in tested
    }
    records = context.parallel(_grow, jobs, context.folder.path / "fits" / "forests", "growing forests")
    forecasts = {}
    for name, table in tables.items():
        forecasts[name] = np.full(table.shape[:2], np.nan)
        for fold in tested:
            forecasts[name][fold.test] = np.array(records[f"{name}-{fold.name}"]["forecast"])
    return forecasts


def fit_and_forecast(
    train: FloatArray, truth: FloatArray, test: FloatArray, settings: ForestSettings, seed: int
) -> FloatArray:
    """Grows a forest for each number of snapshots on ``[m, t, d]`` and foresees ``[n, t, d]``: ``[n, t]``."""
    columns: list[FloatArray] = []
    for position in range(test.shape[1]):
        unchanged = position and np.array_equal(train[:, position], train[:, 0])
        if unchanged:  # what is known before training teaches the same at every snapshot
            columns.append(columns[0])
            continue
        forest = settings.make(derive_seed(seed, "forest", position))
        columns.append(forest.fit(train[:, position], truth).predict(test[:, position]))
    return np.stack(columns, axis=1)


def _grow(job: _Job) -> Record:
    train, test = job.table[job.train], job.table[job.test]
    return {"forecast": fit_and_forecast(train, job.truth[job.train], test, job.settings, job.seed).tolist()}
