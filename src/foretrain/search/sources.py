"""Where labels and scores of networks come from when a predictor is made: measured, extrapolated, synthetic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import stats

from foretrain.benchmarks.contents import TRAINING_SECONDS
from foretrain.benchmarks.table import Rows
from foretrain.benchmarks.task import BenchmarkTask
from foretrain.curves.forecasting import extrapolate
from foretrain.errors import ConfigError, DataError
from foretrain.runtime.seeding import derive_seed

FloatArray = NDArray[np.float64]


class Labels(NamedTuple):
    """Labels of n networks and what they cost.

    Attributes:
        accuracies: ``float64[n]``, percent.
        seconds: Training time that was spent on them; NaN where the benchmark does not say.
    """

    accuracies: FloatArray
    seconds: float


class LabelSource(ABC):
    """Gives networks of a benchmark their labels."""

    @abstractmethod
    def __call__(self, task: BenchmarkTask, rows: Rows) -> Labels:
        """Returns the labels of some rows.

        Raises:
            DataError: The benchmark lacks what is needed.
        """

    def available(self, task: BenchmarkTask) -> Rows:
        """Returns the rows that can be labelled."""
        return task.known


@dataclass(frozen=True)
class TrueLabels(LabelSource):
    """Trains every network to its end."""

    def __call__(self, task: BenchmarkTask, rows: Rows) -> Labels:
        """Returns the accuracies of the task."""
        return Labels(task.accuracy[rows], float(training_seconds(task, rows).sum()))


@dataclass(frozen=True)
class ExtrapolatedLabels(LabelSource):
    """Trains every network for its first epochs and extrapolates the learning curve.

    The labels are the means of the forecasts. Their order is the mean of two: that of forecasts which finished
    trainings teach, and that of forecasts by the partial curves alone. On some tasks the one is better, on others the
    other.

    Attributes:
        observed: Epochs that every network is trained for.
        finished: So many of the networks, the first ones, are trained to their end and teach where curves lead; 0
            leaves it to what the partial curves show.
    """

    observed: Annotated[int, Field(ge=1)] = 20
    finished: Annotated[int, Field(ge=0)] = 0

    def __call__(self, task: BenchmarkTask, rows: Rows) -> Labels:
        """Returns extrapolated accuracies, and the true ones of the finished networks."""
        valid, train = (self._curves(task, rows, split) for split in (task.target.split or "valid", "train"))
        if valid is None:
            raise DataError(task.name, "has no learning curves of what is foreseen", "Take true labels")
        horizon = valid.shape[1]
        if self.observed >= horizon:
            allowed = f"less than the {horizon} epochs of a training"
            raise ConfigError("observed", "leaves nothing to extrapolate", self.observed, allowed)
        few, rest = slice(self.finished), slice(self.finished, None)
        accuracies = task.accuracy[rows].copy()
        begun = valid[rest, : self.observed]
        begun_train = None if train is None else train[rest, : self.observed]
        found = shown = extrapolate(begun, horizon, begun_train)
        if self.finished:
            taught = None if train is None else train[few]
            found = extrapolate(begun, horizon, begun_train, valid[few], finished_train=taught)
        ranks = stats.rankdata(shown.score) + stats.rankdata(found.score)
        accuracies[np.arange(len(rows))[rest][np.lexsort((found.score, ranks))]] = np.sort(np.asarray(found.mean))
        seconds = training_seconds(task, rows)
        seconds[rest] *= self.observed / horizon
        return Labels(accuracies, float(seconds.sum()))

    def available(self, task: BenchmarkTask) -> Rows:
        """Returns the rows whose learning curves are known."""
        curves = self._curves(task, task.known, task.target.split or "valid")
        if curves is None:
            return task.known[:0]
        return task.known[~np.isnan(curves[:, [0, -1]]).any(axis=1)]

    def _curves(self, task: BenchmarkTask, rows: Rows, split: str) -> FloatArray | None:
        target = task.target
        try:
            return task.benchmark.curves(rows, target.dataset, split, target.seed, target.epochs).astype(np.float64)
        except DataError:
            return None


@dataclass(frozen=True)
class DisturbedLabels(LabelSource):
    """True accuracies in a disturbed order, to show what a predictor makes of labels of any quality.

    The accuracies stay the same; which network has which is decided by ranks that correlate with the true ones.

    Attributes:
        correlation: Spearman's correlation with the truth, over the whole table.
        seed: Seed of the disturbance.
    """

    correlation: Annotated[float, Field(ge=0, le=1)]
    seed: int = 0

    def __call__(self, task: BenchmarkTask, rows: Rows) -> Labels:
        """Returns the accuracies of the rows in the disturbed order; they cost what the true ones do."""
        true = TrueLabels()(task, rows)
        order = SyntheticScores(self.correlation)(task, rows, self.seed)["synthetic"].argsort()
        accuracies = np.empty_like(true.accuracies)
        accuracies[order] = np.sort(true.accuracies)
        return Labels(accuracies, true.seconds)


class ScoreSource(ABC):
    """Gives networks of a benchmark scores that cost next to nothing."""

    @abstractmethod
    def __call__(self, task: BenchmarkTask, rows: Rows, seed: int) -> dict[str, FloatArray]:
        """Returns the scores ``float64[n]`` of some rows by name, higher is better; NaN for none."""

    def seconds(self, task: BenchmarkTask, rows: Rows) -> float:
        """Returns what it took to compute the scores of some rows; NaN where the benchmark does not say."""
        return 0.0


@dataclass(frozen=True)
class NoScores(ScoreSource):
    """Gives none."""

    def __call__(self, task: BenchmarkTask, rows: Rows, seed: int) -> dict[str, FloatArray]:
        """Returns no column."""
        return {}


@dataclass(frozen=True)
class PublishedScores(ScoreSource):
    """Reads scores of the benchmark.

    Attributes:
        names: The series.
        dataset: Their data set; None where the benchmark has only one.
    """

    names: list[str]
    dataset: str | None = None

    def __call__(self, task: BenchmarkTask, rows: Rows, seed: int) -> dict[str, FloatArray]:
        """Returns the columns of the table."""
        return {name: task.benchmark.scores(name, rows, self.dataset) for name in self.names}

    def seconds(self, task: BenchmarkTask, rows: Rows) -> float:
        """Returns the sum over networks and scores, each computed on its own; those without a time count nothing."""
        try:
            costs = [task.benchmark.cost(rows, f"{name}_seconds", self.dataset) for name in self.names]
        except DataError:
            return float("nan")
        return float(np.nansum(costs))


@dataclass(frozen=True)
class SyntheticScores(ScoreSource):
    r"""Draws a score whose rank correlation with the truth is chosen.

    Of the normal scores z of the true ranks over the whole table and noise e it is
    :math:`r z + \sqrt{1 - r^2}\, e` with :math:`r = 2 \sin(\pi \rho / 6)`, for which Spearman's correlation is
    :math:`\rho` (Pearson 1907).

    Attributes:
        correlation: Spearman's correlation with the truth.
    """

    correlation: Annotated[float, Field(ge=-1, le=1)]

    def __call__(self, task: BenchmarkTask, rows: Rows, seed: int) -> dict[str, FloatArray]:
        """Returns one column; that of a network depends on the seed only, not on the other rows."""
        truth = task.accuracy[task.known]
        normal = np.full(len(task.accuracy), np.nan)
        normal[task.known] = stats.norm.ppf((stats.rankdata(truth) - 0.5) / len(truth))
        noise = np.random.default_rng(derive_seed(seed, "synthetic")).normal(size=len(normal))
        share = 2 * np.sin(np.pi * self.correlation / 6)
        return {"synthetic": (share * normal + np.sqrt(max(0.0, 1 - share**2)) * noise)[rows]}


def training_seconds(task: BenchmarkTask, rows: Rows) -> FloatArray:
    """Returns what whole trainings take, ``float64[n]``; NaN where the benchmark does not say."""
    try:
        return task.benchmark.cost(rows, TRAINING_SECONDS, task.target.dataset, epochs=task.target.epochs).copy()
    except DataError:
        return np.full(len(rows), np.nan)
