"""The model-based predictor with cheap labels and scores, with the time that each part costs.

Algorithms 5 and 6 of S. Mintal's master's thesis: a predictor is initialised with labels that may be extrapolated from
the first epochs, and queried with the encoding and the scores of a network only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

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
        score_seconds: What the scores cost; NaN where the benchmark does not say.
        fit_seconds: Processor seconds of extrapolation and fit.
    """

    predictor: Predictor
    task: BenchmarkTask
    scores: ScoreSource
    seed: int
    labels: FloatArray
    training_seconds: float
    score_seconds: float
    fit_seconds: float


class Answer(NamedTuple):
    """What a predictor says of networks that nobody trained.

    Attributes:
        forecast: The forecast.
        score_seconds: What the scores of the networks cost; NaN where the benchmark does not say.
        query_seconds: Processor seconds that the predictor took.
    """

    forecast: Forecast
    score_seconds: float
    query_seconds: float


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
    return AssistedPredictor(
        predictor=predictor,
        task=task,
        scores=scores,
        seed=seed,
        labels=labelled.accuracies,
        training_seconds=labelled.seconds,
        score_seconds=scores.seconds(task, rows),
        fit_seconds=time.process_time() - started,
    )


def query(assisted: AssistedPredictor, rows: Rows) -> Answer:
    """Foresees networks without training any (algorithm 6).

    Args:
        assisted: What :func:`initialize` returned.
        rows: The networks.
    """
    started = time.process_time()
    archs = assisted.task.benchmark.architectures[torch.from_numpy(rows)]
    scores = assisted.scores(assisted.task, rows, assisted.seed) or None
    forecast = assisted.predictor.predict(archs, scores)
    return Answer(forecast, assisted.scores.seconds(assisted.task, rows), time.process_time() - started)
