"""The model-based predictor with cheap labels and scores, with the time that each part costs.

Algorithms 5 and 6 of S. Mintal's master's thesis: a predictor is initialised with labels that may be extrapolated from
the first epochs, and queried with the encoding and the scores of a network only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from foretrain.benchmarks.table import Rows
from foretrain.benchmarks.task import BenchmarkTask
from foretrain.forecast import Forecast
from foretrain.predictors.base import FloatArray, Predictor, PredictorFactory
from foretrain.search.sources import LabelSource, ScoreSource


@dataclass(frozen=True)
class AssistedPredictor:
    """A predictor that was initialised.

    Attributes:
        predictor: The fitted predictor.
        task: The benchmark its networks come from.
        scores: Where scores come from.
        seed: Seed of the scores.
        labels: ``float64[n]``, the accuracies in percent that it was taught.
        training_seconds: What the labels cost; NaN where the benchmark does not say.
        fit_seconds: Processor seconds of extrapolation and fit.
    """

    predictor: Predictor
    task: BenchmarkTask
    scores: ScoreSource
    seed: int
    labels: FloatArray
    training_seconds: float
    fit_seconds: float


def initialize(
    make: PredictorFactory, task: BenchmarkTask, rows: Rows, labels: LabelSource, scores: ScoreSource, seed: int
) -> AssistedPredictor:
    """Labels networks, scores them and fits a predictor (algorithm 5).

    Args:
        make: Makes the predictor.
        task: The benchmark.
        rows: The networks to learn from.
        labels: Where their labels come from.
        scores: Where scores come from.
        seed: Seed of the predictor and of the scores.

    Raises:
        DataError: The benchmark lacks what the sources need.
    """
    started = time.process_time()
    labelled = labels(task, rows)
    archs = task.benchmark.architectures[torch.from_numpy(rows)]
    predictor = make(space=task.space, seed=seed)
    predictor.fit(archs, labelled.accuracies, scores(task, rows, seed) or None)
    fit_seconds = time.process_time() - started
    return AssistedPredictor(predictor, task, scores, seed, labelled.accuracies, labelled.seconds, fit_seconds)


def query(assisted: AssistedPredictor, rows: Rows) -> tuple[Forecast, float]:
    """Foresees networks without training any (algorithm 6).

    Args:
        assisted: What :func:`initialize` returned.
        rows: The networks.

    Returns:
        The forecast and the processor seconds it took; computing published scores is not among them.
    """
    started = time.process_time()
    archs = assisted.task.benchmark.architectures[torch.from_numpy(rows)]
    scores = assisted.scores(assisted.task, rows, assisted.seed) or None
    return assisted.predictor.predict(archs, scores), time.process_time() - started
