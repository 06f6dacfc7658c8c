"""From partial learning curves to forecasts of the final value."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from foretrain.curves.distribution import Distribution, FloatArray, cumulative, draw, joined
from foretrain.curves.few_shot import LEAST_FINISHED, Calibration
from foretrain.curves.observation import Observation, TrainMetric
from foretrain.curves.zero_shot import forecast_without_finished
from foretrain.errors import DataError, ForetrainWarning
from foretrain.forecast import Forecast

_MOST_NUMBERS = 2**25


@dataclass(frozen=True, kw_only=True)
class CurveForecast(Forecast):
    """A forecast of final values with the whole predictive distribution of each run.

    Attributes:
        level: The probability that the interval is meant to hold.
        quantiles: ``float64[n, q]``: the final value stays below each with the probability of the same place in
            :data:`foretrain.curves.distribution.PROBABILITIES`; between two of them it is equally likely everywhere.
        spread: ``float64[n]``, root mean square of the errors of the m finished runs, each foreseen without it, scaled
            to the uncertainty of each run, and 0 where the final value was observed; None where nothing has finished.
        freedom: ``float64[n]``, m - 1; None where nothing has finished.
    """

    level: float
    quantiles: FloatArray
    spread: FloatArray | None = None
    freedom: FloatArray | None = None

    def probability_above(self, threshold: ArrayLike, *, smooth: bool = False) -> FloatArray:
        """Returns the probability ``float64[n]`` that a final value exceeds a threshold.

        Args:
            threshold: One for all runs or ``[n]``, in the unit of the curves.
            smooth: Where runs have finished, whether to take Student's t distribution with ``freedom`` around the mean,
                stretched by ``spread``, instead of counting held-out errors. Those promise what they say whatever the
                errors' distribution, but m of them cannot tell a probability below 1 / (2 (m + 1)) from any other.
        """
        thresholds = np.broadcast_to(np.asarray(threshold, dtype=np.float64), (len(self),))
        probability = 1 - cumulative(self.quantiles, thresholds)
        if smooth and self.mean is not None and self.spread is not None and self.freedom is not None:
            rows = np.flatnonzero(self.spread > 0)
            distance = (thresholds - self.mean)[rows] / self.spread[rows]
            probability[rows] = stats.t.sf(distance, self.freedom[rows])
        return probability

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


class CurveForecaster:
    """Foresees partial learning curves of one task: give what has finished once, forecast as often as you like.

    Without finished runs curves are foreseen by what they have shown (:mod:`.zero_shot`); a late jump of the learning
    rate cannot be known then, and the intervals are wide. A few finished runs of the same task teach how curves go on
    (:mod:`.few_shot`) and calibrate the intervals. What they teach depends on how long a partial curve is: it is worked
    out when a curve of a new length comes, or ahead by :meth:`calibrate`, and kept.

    Args:
        horizon: The final epoch, counted from 1.
        finished: ``float[m, horizon]``, accuracies in percent of runs that were observed at the horizon, five at least;
            NaN is what was not observed. None: nothing has finished.
        finished_train: ``float[m, horizon]``, the training accuracies (percent) or losses of the same runs.
        train_metric: What training curves are.

    Raises:
        DataError: A curve is empty, longer than the horizon or outside 0 to 100, or too few are finished.
        ValueError: ``horizon`` is impossible.
    """

    def __init__(
        self,
        horizon: int,
        finished: ArrayLike | None = None,
        finished_train: ArrayLike | None = None,
        *,
        train_metric: TrainMetric = "accuracy",
    ) -> None:
        if horizon < 1:
            raise ValueError(f"horizon is {horizon}, at least 1 is needed")
        self.horizon = horizon
        self.train_metric = train_metric
        self._finished: Observation | None = None
        if finished is not None:
            _warn_of_fractions("finished", finished)
            examples = Observation.of("finished", finished, finished_train, train_metric, horizon)
            self._finished = _checked_finished(examples, horizon)
        self._calibrations: OrderedDict[tuple[int, bool], Calibration] = OrderedDict()

    def calibrate(self, lengths: Iterable[int] | None = None, *, with_train: bool | None = None) -> CurveForecaster:
        """Learns from the finished runs ahead, so that no later forecast has to wait for it.

        A calibration holds about 27 m^2 numbers; beyond 256 MB the ones that were used longest ago are given up, and
        made again when they are needed.

        Args:
            lengths: Lengths of partial curves; None: all from 1 to the horizon - 1.
            with_train: Whether training curves will come with them; None: where the finished runs have them.

        Returns:
            Itself.
        """
        if self._finished is not None:
            uses_train = self._finished.train is not None and with_train is not False
            for length in range(1, self.horizon) if lengths is None else lengths:
                self._calibration(length, uses_train)
        return self

    def forecast(
        self, curves: ArrayLike, train_curves: ArrayLike | None = None, level: float = 0.9, *, pool: bool = True
    ) -> CurveForecast:
        """Foresees the final values of partial learning curves.

        Runs that were observed at the horizon get what was observed.

        Args:
            curves: ``float[n, t]``, t <= horizon, accuracies in percent; column e - 1 is epoch e. NaN is what was not
                observed: gaps and curves of different lengths are welcome.
            train_curves: ``float[n, t]``, the training accuracies (percent) or losses of the same runs. They rank runs
                better than the curves themselves on some tasks. Beside finished runs without training curves they are
                of no use and are left aside.
            level: Probability that an interval should hold, between 0 and 1.
            pool: Without finished runs: whether curves of one kind, by a test, inform each other.

        Returns:
            Means, intervals and quantiles in percent. The score ranks the runs and is not a forecast of the level.

        Raises:
            DataError: A curve is empty, longer than the horizon or outside 0 to 100.
            ValueError: ``level`` is impossible.
        """
        if not 0 < level < 1:
            raise ValueError(f"level is {level}, between 0 and 1 is needed")
        if self._finished is not None and self._finished.train is None:
            train_curves = None
        partial = Observation.of("curves", curves, train_curves, self.train_metric, self.horizon)
        if self._finished is None:
            found = forecast_without_finished(partial, self.horizon, level, pool)
        else:
            found = self._taught(partial, level)
        return _forecast(_with_the_known(found, partial, self.horizon), level)

    def _taught(self, partial: Observation, level: float) -> Distribution:
        lengths = partial.lengths
        groups = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
        parts = []
        for rows in groups:
            length = int(lengths[rows[0]])
            calibration = self._calibration(length, partial.train is not None)
            parts.append(calibration.forecast(partial.until(length)[rows], level))
        return joined(parts, np.argsort(np.concatenate(groups)))

    def _calibration(self, length: int, uses_train: bool) -> Calibration:
        if self._finished is None:
            raise RuntimeError("nothing has finished to calibrate by")
        key = (length, uses_train)
        if key not in self._calibrations:
            examples = self._finished if uses_train else Observation(self._finished.valid)
            self._calibrations[key] = Calibration.fit(examples, length, self.horizon)
            while len(self._calibrations) > max(1, _MOST_NUMBERS // (27 * len(examples) ** 2)):
                self._calibrations.popitem(last=False)
        self._calibrations.move_to_end(key)
        return self._calibrations[key]


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
    """Foresees the final values of partial learning curves, once; see :class:`CurveForecaster` to do so repeatedly.

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

    Warns:
        ForetrainWarning: All values lie in 0 to 1, as fractions do.
    """
    _warn_of_fractions("curves", curves)
    forecaster = CurveForecaster(horizon, finished, finished_train, train_metric=train_metric)
    return forecaster.forecast(curves, train_curves, level, pool=pool)


def _warn_of_fractions(name: str, curves: ArrayLike) -> None:
    highest = np.nanmax(np.asarray(curves, dtype=np.float64), initial=-np.inf)
    if 0 < highest <= 1:
        text = f"{name}: no value is above {highest:g}, which looks like fractions; give accuracies in percent"
        warnings.warn(text, ForetrainWarning, stacklevel=3)


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
    if found.spread is not None:
        found.spread[rows] = 0
    return found


def _forecast(found: Distribution, level: float) -> CurveForecast:
    return CurveForecast(
        score=found.score,
        mean=found.mean,
        lower=found.lower,
        upper=found.upper,
        level=level,
        quantiles=found.quantiles,
        spread=found.spread,
        freedom=found.freedom,
    )
