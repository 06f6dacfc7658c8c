"""How good forecasts of whole populations of curves are, beside their baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretrain.curves.baselines import (
    best_so_far,
    last_value,
    mean_of_last_three,
    scipy_fits,
    sum_of_losses,
)
from foretrain.curves.forecasting import CurveForecast, extrapolate
from foretrain.evaluation.curves.population import CurvePopulation
from foretrain.evaluation.curves.source_fit import SourceFit
from foretrain.metrics.error import mae
from foretrain.metrics.rank import bootstrap_interval, spearman

FloatArray = NDArray[np.float64]
ZERO_SHOT, ZERO_SHOT_VALID = "zero-shot", "zero-shot, without training curves"
ZERO_SHOT_ALONE = "zero-shot, without training curves, each curve alone"
BEST, TRAIN = "best so far", "training curve, last value"


@dataclass(frozen=True, eq=False)
class Answer:
    """What one method says of n runs.

    Attributes:
        score: ``[n]``, ranks them.
        mean: ``[n]``, percent, or None where only a ranking is known.
    """

    score: FloatArray
    mean: FloatArray | None

    def of(self, rows: NDArray[np.int64]) -> Answer:
        """Returns what it says of some of the runs."""
        return Answer(self.score[rows], None if self.mean is None else self.mean[rows])


def zero_shot_answers(population: CurvePopulation, epochs: int, level: float, with_scipy: bool) -> dict[str, Answer]:
    """Returns what every method says after so many epochs, when nothing has finished, by name."""
    valid = population.valid[:, :epochs]
    answers = {"last value": _level(last_value(valid)), "mean of last three": _level(mean_of_last_three(valid))}
    answers[BEST] = _level(best_so_far(valid))
    answers |= _of_training_curves(population, epochs)
    answers["source ensemble (Adam)"] = _level(SourceFit().forecast(valid, population.horizon))
    if with_scipy:
        answers["SciPy, nine families"] = _level(scipy_fits(valid, population.horizon)[0])
    answers[ZERO_SHOT_VALID] = _of_forecast(extrapolate(valid, population.horizon, level=level))
    answers[ZERO_SHOT_ALONE] = _of_forecast(extrapolate(valid, population.horizon, level=level, pool=False))
    if population.train is not None:
        answers[ZERO_SHOT] = _of_forecast(zero_shot(population, epochs, level))
    return answers


def zero_shot(population: CurvePopulation, epochs: int, level: float) -> CurveForecast:
    """Returns the forecast from all that is known after so many epochs."""
    train = None if population.train is None else population.train[:, :epochs]
    return extrapolate(
        population.valid[:, :epochs], population.horizon, train, level=level, train_metric=population.train_metric
    )


def zero_shot_table(population: CurvePopulation, answers: Mapping[str, Answer], seed: int) -> pd.DataFrame:
    """Returns one row a method: Spearman and MAE with 95% bootstrap intervals, and paired differences of Spearman.

    The differences are to best so far and, where it is known, to the training curve alone.
    """
    final = population.final
    rows = []
    for name, answer in answers.items():
        row: dict[str, object] = {"method": name}
        row |= _with_bounds("spearman", spearman(final, answer.score), spearman, seed, final, answer.score)
        for label, other in (("over_best", BEST), ("over_train", TRAIN)):
            if other in answers:
                value = float(_difference(final, answer.score, answers[other].score))
                row |= _with_bounds(label, value, _difference, seed, final, answer.score, answers[other].score)
        if answer.mean is not None:
            row |= _with_bounds("mae", mae(final, answer.mean), _mae, seed, final, answer.mean)
        rows.append(row)
    return pd.DataFrame(rows)


def _of_training_curves(population: CurvePopulation, epochs: int) -> dict[str, Answer]:
    """Rankings by training curves alone: higher accuracy or lower loss is better."""
    if population.train is None:
        return {}
    train = population.train[:, :epochs]
    sign = 1 if population.train_metric == "accuracy" else -1
    losses = 100 - train if population.train_metric == "accuracy" else train
    return {
        TRAIN: Answer(sign * last_value(train), None),
        "sum of training losses": Answer(sum_of_losses(losses), None),
        "training loss of the last epoch (SoTL-E)": Answer(sum_of_losses(losses, 1), None),
    }


def _level(values: FloatArray) -> Answer:
    return Answer(values, values)


def _of_forecast(forecast: CurveForecast) -> Answer:
    return Answer(forecast.score, forecast.mean)


def _with_bounds(label: str, value: float, statistic: object, seed: int, *arrays: FloatArray) -> dict[str, float]:
    lower, upper = bootstrap_interval(statistic, *arrays, seed=seed)  # type: ignore[arg-type]
    return {label: value, f"{label}_lower": lower, f"{label}_upper": upper}


def _difference(final: FloatArray, ours: FloatArray, theirs: FloatArray, axis: int = -1) -> FloatArray:
    return spearman(final, ours, axis=axis) - spearman(final, theirs, axis=axis)


def _mae(final: FloatArray, mean: FloatArray, axis: int = -1) -> FloatArray:
    error: FloatArray = np.abs(final - mean).mean(axis=axis)
    return error
