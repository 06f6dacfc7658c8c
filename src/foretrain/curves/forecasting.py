"""From partial learning curves to forecasts of the final value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from foretrain.curves.distribution import Distribution, FloatArray, cumulative, draw
from foretrain.curves.few_shot import LEAST_FINISHED, forecast_from_finished
from foretrain.curves.observation import Observation, TrainMetric
from foretrain.curves.zero_shot import forecast_without_finished
from foretrain.errors import DataError
from foretrain.forecast import Forecast


@dataclass(frozen=True, kw_only=True)
class CurveForecast(Forecast):
    """A forecast of final values with the whole predictive distribution of each run.

    Attributes:
        level: The probability that the interval is meant to hold.
        quantiles: ``float64[n, q]``: the final value stays below each with the probability of the same place in
            :data:`foretrain.curves.distribution.PROBABILITIES`; between two of them it is equally likely everywhere.
    """

    level: float
    quantiles: FloatArray

    def probability_above(self, threshold: ArrayLike) -> FloatArray:
        """Returns the probability ``float64[n]`` that a final value exceeds a threshold.

        Args:
            threshold: One for all runs or ``[n]``, in the unit of the curves.
        """
        thresholds = np.broadcast_to(np.asarray(threshold, dtype=np.float64), (len(self),))
        return 1 - cumulative(self.quantiles, thresholds)

    def probability_best(self, draws: int = 2000, seed: int = 0) -> FloatArray:
        """Returns the probability ``float64[n]`` that a run ends highest of all, errors taken as independent.

        Args:
            draws: Number of draws from all distributions.
            seed: Seed of the draws.
        """
        finals = draw(self.quantiles, np.random.default_rng(seed).random((draws, len(self))))
        is_best = finals == finals.max(axis=1, keepdims=True)
        probability: FloatArray = (is_best / is_best.sum(axis=1, keepdims=True)).mean(axis=0)
        return probability


def extrapolate(
    curves: ArrayLike,
    horizon: int,
    train_curves: ArrayLike | None = None,
    finished: ArrayLike | None = None,
    level: float = 0.9,
    *,
    finished_train: ArrayLike | None = None,
    train_metric: TrainMetric = "accuracy",
    pool: bool = True,
) -> CurveForecast:
    """Foresees the final values of partial learning curves.

    Without ``finished`` runs are foreseen by what they have shown (:mod:`.zero_shot`); a late jump of the learning rate
    cannot be known then, and the intervals are wide. With a few finished runs of the same task they teach how curves go
    on (:mod:`.few_shot`) and calibrate the intervals. Runs that were observed at the horizon get what was observed.

    Args:
        curves: ``float[n, t]``, t <= horizon, accuracies in percent; column e - 1 is epoch e. NaN is what was not
            observed: gaps and curves of different lengths are welcome.
        horizon: The final epoch, counted from 1.
        train_curves: ``float[n, t]``, the training accuracies (percent) or losses of the same runs. They rank runs
            better than the curves themselves on some tasks.
        finished: ``float[m, horizon]``, curves of other runs that were observed at the horizon, five at least.
        level: Probability that an interval should hold, between 0 and 1.
        finished_train: ``float[m, horizon]``, training curves of the finished runs. Without them the training curves
            of the partial runs are of no use beside ``finished``, and are left aside.
        train_metric: What training curves are.
        pool: Without ``finished``: whether curves of one kind, by a test, inform each other.

    Returns:
        Means, intervals and quantiles in percent. The score ranks the runs and is not a forecast of the level.

    Raises:
        DataError: A curve is empty, longer than the horizon or outside 0 to 100, or too few are finished.
        ValueError: ``level`` or ``horizon`` is impossible.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, between 0 and 1 is needed")
    if horizon < 1:
        raise ValueError(f"horizon is {horizon}, at least 1 is needed")
    if finished is None:
        partial = Observation.of("curves", curves, train_curves, train_metric, horizon)
        found = forecast_without_finished(partial, horizon, level, pool)
    else:
        partial = Observation.of(
            "curves", curves, None if finished_train is None else train_curves, train_metric, horizon
        )
        examples = Observation.of(
            "finished", finished, None if train_curves is None else finished_train, train_metric, horizon
        )
        found = forecast_from_finished(partial, _checked_finished(examples, horizon), horizon, level)
    return _forecast(_with_the_known(found, partial, horizon), level)


def _checked_finished(finished: Observation, horizon: int) -> Observation:
    short = np.flatnonzero(finished.lengths < horizon)
    if len(short):
        problem = f"row {short[0]} ends at epoch {finished.lengths[short[0]]}, before the horizon {horizon}"
        raise DataError("finished", problem, "Give runs that were observed at the horizon")
    if len(finished) < LEAST_FINISHED:
        problem = f"has {len(finished)} runs, at least {LEAST_FINISHED} are needed"
        raise DataError("finished", problem, "Give more, or none for a forecast without them")
    return finished


def _with_the_known(found: Distribution, partial: Observation, horizon: int) -> Distribution:
    """Puts in the final values that were observed already."""
    rows = np.flatnonzero(partial.lengths == horizon)
    known = partial.valid[rows, partial.lengths[rows] - 1]
    for values in (found.mean, found.lower, found.upper, found.quantiles):
        values[rows] = known.reshape(-1, *[1] * (values.ndim - 1))
    return found


def _forecast(found: Distribution, level: float) -> CurveForecast:
    return CurveForecast(
        score=found.score,
        mean=found.mean,
        lower=found.lower,
        upper=found.upper,
        level=level,
        quantiles=found.quantiles,
    )
