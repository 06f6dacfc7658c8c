"""The forecast of one run in its user's own unit, which every tool of this room shows or decides by."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foretrain.curves.few_shot import LEAST_FINISHED
from foretrain.curves.forecasting import CurveForecaster
from foretrain.errors import DataError

FloatArray = NDArray[np.float64]
Mode = Literal["max", "min"]
Bounds = tuple[float, float]

MOST_FINISHED = 30
"""So many finished runs teach a forecast, the latest of those that can: they bound the time that it takes."""

_KEPT = 4  # sets of finished runs whose lesson is kept: a process seldom follows more metrics or studies at once
_LOCK = threading.Lock()  # Optuna may run trials in threads


@dataclass(frozen=True)
class MetricScale:
    """The line between a metric and the percent that learning curves are foreseen in.

    A line keeps quantiles: means, intervals and probabilities are those of the user's unit.

    Attributes:
        worst: The value that stands for 0%.
        best: The value that stands for 100%.
    """

    worst: float
    best: float

    @classmethod
    def of(
        cls,
        name: str,
        curve: FloatArray,
        finished: FloatArray,
        mode: Mode,
        bounds: Bounds | None = None,
    ) -> MetricScale:
        """Chooses the scale of a metric.

        With ``bounds`` it runs from one to the other. Without, a metric to maximise is a share of 1, or a percentage as
        soon as any value exceeds 1; a metric to minimise (a loss, an error) runs from 0 to where runs begin: the median
        of the first values of the finished runs, or where this run begins while they are fewer than five.

        Args:
            name: The metric, for the error.
            curve: ``[t]``, what is known of this run.
            finished: ``[m, horizon]``, other runs. Here or in the curve is one finite value at least.
            mode: Whether the metric should rise or fall.
            bounds: Its lowest and its highest value.

        Raises:
            DataError: Without ``bounds`` a value lies outside 0 to 100 (``max``) or is negative (``min``).
        """
        if bounds is not None:
            return cls(*bounds) if mode == "max" else cls(*reversed(bounds))
        known = np.concatenate([curve, finished.ravel()])
        known = known[np.isfinite(known)]
        lowest, highest = known.min(), known.max()
        if lowest < 0 or (mode == "max" and highest > 100):
            extreme = lowest if lowest < 0 else highest
            expected = "neither a share of 1 nor a percentage" if mode == "max" else "negative"
            raise DataError(name, f"is {extreme:g}, {expected}", "Give its bounds=(lowest, highest)")
        if mode == "max":
            return cls(0.0, 1.0 if highest <= 1 else 100.0)
        beginnings = _first_values(finished if len(finished) >= LEAST_FINISHED else curve[None])
        return cls(float(np.median(beginnings if len(beginnings) else known)) or 1.0, 0.0)

    def to_percent(self, values: FloatArray) -> FloatArray:
        """Returns values in percent; what lies beyond the scale is at its end, NaN stays."""
        percent: FloatArray = np.clip(100 * (values - self.worst) / (self.best - self.worst), 0, 100)
        return percent

    def from_percent(self, percent: FloatArray) -> FloatArray:
        """Returns percent in the metric's unit."""
        return self.worst + (self.best - self.worst) * percent / 100


@dataclass(frozen=True)
class RunForecast:
    """What is foreseen of one run, in the metric's own unit.

    Attributes:
        mean: The final value.
        lower: Lower end of its interval.
        upper: Upper end of its interval.
        probability: That the final value is better than the target, by Student's t distribution where runs have
            finished, so that few of them tell small ones too; None without a target.
    """

    mean: float
    lower: float
    upper: float
    probability: float | None


@dataclass(frozen=True)
class RunForecaster:
    """Foresees the final values of single runs of one task.

    Attributes:
        name: The metric, for errors.
        horizon: The final epoch, counted from 1.
        mode: Whether the metric should rise or fall.
        bounds: Lowest and highest value of the metric; None: see :meth:`MetricScale.of`.
        level: Probability that an interval should hold.
    """

    name: str
    horizon: int
    mode: Mode = "max"
    bounds: Bounds | None = None
    level: float = 0.9

    def __post_init__(self) -> None:
        if self.mode not in ("max", "min"):
            raise ValueError(f"mode is {self.mode!r}, 'max' or 'min' is needed")
        if self.bounds is not None and not self.bounds[0] < self.bounds[1]:
            raise ValueError(f"bounds are {self.bounds}, the lowest and the highest value are needed, in this order")
        if self.horizon < 1 or not 0 < self.level < 1:
            raise ValueError(f"horizon={self.horizon} must be at least 1, level={self.level} between 0 and 1")

    def forecast(self, curve: FloatArray, finished: FloatArray, target: float | None = None) -> RunForecast:
        """Foresees the end of a run.

        Args:
            curve: ``[t]``, t <= horizon, one finite value at least; NaN is what was not observed.
            finished: ``[m, horizon]``, other runs, NaN where not observed. Those with a final value, and with another
                one by epoch t, teach the forecast if they are five at least.
            target: What the final value should be better than.

        Raises:
            DataError: The metric needs bounds; see :meth:`MetricScale.of`.
        """
        scale = MetricScale.of(self.name, curve, finished, self.mode, self.bounds)
        with _LOCK:
            found = self._forecaster(scale, finished, len(curve)).forecast(scale.to_percent(curve), level=self.level)
        probability = None
        if target is not None:
            probability = float(found.probability_above(scale.to_percent(np.array([target])), smooth=True)[0])
        values = scale.from_percent(np.array([found.mean, found.lower, found.upper])[:, 0])
        return RunForecast(float(values[0]), float(values[1:].min()), float(values[1:].max()), probability)

    def chance(self, curve: FloatArray, finished: FloatArray, target: float) -> float:
        """Returns the probability that a run ends better than a target, for who has to decide by few finished runs.

        With five or more of them it is that of Student's t distribution, see
        :meth:`~foretrain.curves.forecasting.CurveForecast.probability_above`: counted errors of so few runs tell no
        small probability. With fewer, the forecast of the run alone is used and the run is allowed what those that have
        finished rose above their own forecasts of the same epoch, which may be the jump of a learning-rate schedule.

        Args:
            curve: ``[t]``, as for :meth:`forecast`.
            finished: ``[m, horizon]``, as for :meth:`forecast`.
            target: What the final value should be better than.

        Raises:
            DataError: The metric needs bounds; see :meth:`MetricScale.of`.
        """
        scale = MetricScale.of(self.name, curve, finished, self.mode, self.bounds)
        length, few = len(curve), teachers(finished, len(curve)) is None
        others = able(finished, length) if few else finished[:0]
        begun = np.concatenate([curve[None], others[:, :length]])
        with _LOCK:
            found = self._forecaster(scale, finished, length).forecast(scale.to_percent(begun), pool=False)
        risen = scale.to_percent(others[:, -1]) - np.asarray(found.mean)[1:]
        rise = risen.max(initial=0)
        threshold = scale.to_percent(np.array([target])) - rise
        return float(found.probability_above(threshold, smooth=True)[0])

    def calibrate(self, finished: FloatArray, lengths: Iterable[int]) -> None:
        """Learns from finished runs ahead, so that no forecast of a run in their range has to wait for it.

        Args:
            finished: ``[m, horizon]``, as :meth:`forecast` will be given them.
            lengths: The epochs after which there will be forecasts; the first ones are kept where memory is short.
        """
        if teachers(finished, self.horizon) is None:
            return
        scale = MetricScale.of(self.name, np.empty(0), finished, self.mode, self.bounds)
        with _LOCK:
            for length in sorted(set(lengths) - {self.horizon}, reverse=True):
                self._forecaster(scale, finished, length).calibrate([length])

    def _forecaster(self, scale: MetricScale, finished: FloatArray, length: int) -> CurveForecaster:
        examples = teachers(finished, length)
        return _taught(self.horizon, b"" if examples is None else scale.to_percent(examples).tobytes())


@lru_cache(maxsize=_KEPT)
def _taught(horizon: int, examples: bytes) -> CurveForecaster:
    """What ``float64[m, horizon]`` finished runs in percent teach; none for no bytes."""
    return CurveForecaster(horizon, np.frombuffer(examples).reshape(-1, horizon) if examples else None)


def teachers(finished: FloatArray, length: int) -> FloatArray | None:
    """Returns the latest finished runs that show how runs of a length go on, None where they are too few."""
    found = able(finished, length)
    return found[-MOST_FINISHED:] if len(found) >= LEAST_FINISHED else None


def able(finished: FloatArray, length: int) -> FloatArray:
    """Returns the finished runs with a final value and another one by an epoch."""
    known = np.isfinite(finished)
    return finished[known[:, -1] & known[:, :length].any(axis=1)]


def _first_values(curves: FloatArray) -> FloatArray:
    """The first finite value of each curve that has one."""
    known = np.isfinite(curves)
    rows = np.flatnonzero(known.any(axis=1))
    first: FloatArray = curves[rows, known[rows].argmax(axis=1)]
    return first
