"""The forecast of one run in its user's own unit, which every tool of this room shows or decides by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foretrain.curves.few_shot import LEAST_FINISHED
from foretrain.curves.forecasting import extrapolate
from foretrain.errors import DataError

FloatArray = NDArray[np.float64]
Mode = Literal["max", "min"]
Bounds = tuple[float, float]

MOST_FINISHED = 50
"""So many finished runs teach a forecast, the latest of those that can: they bound the time that it takes."""


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
    def of(cls, name: str, curves: FloatArray, mode: Mode, bounds: Bounds | None = None) -> MetricScale:
        """Chooses the scale of a metric.

        With ``bounds`` it runs from one to the other. Without, a metric to maximise is a share of 1, or a percentage as
        soon as any value exceeds 1; a metric to minimise (a loss, an error) runs from 0 to where runs begin: the median
        of the first values of all curves.

        Args:
            name: The metric, for the error.
            curves: ``[n, t]``, what is known of this run and of others, with one finite value at least.
            mode: Whether the metric should rise or fall.
            bounds: Its lowest and its highest value.

        Raises:
            DataError: Without ``bounds`` a value lies outside 0 to 100 (``max``) or is negative (``min``).
        """
        if bounds is not None:
            return cls(*bounds) if mode == "max" else cls(*reversed(bounds))
        known = curves[np.isfinite(curves)]
        lowest, highest = known.min(), known.max()
        if lowest < 0 or (mode == "max" and highest > 100):
            extreme = lowest if lowest < 0 else highest
            expected = "neither a share of 1 nor a percentage" if mode == "max" else "negative"
            raise DataError(name, f"is {extreme:g}, {expected}", "Give its bounds=(lowest, highest)")
        if mode == "max":
            return cls(0.0, 1.0 if highest <= 1 else 100.0)
        return cls(float(np.median(_first_values(curves))) or 1.0, 0.0)

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
        probability: That the final value is better than the target; None without a target.
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
        beginning = np.full((1, self.horizon), np.nan)
        beginning[0, : len(curve)] = curve
        scale = MetricScale.of(self.name, np.concatenate([beginning, finished]), self.mode, self.bounds)
        examples = teachers(finished, len(curve))
        found = extrapolate(
            scale.to_percent(curve),
            self.horizon,
            finished=None if examples is None else scale.to_percent(examples),
            level=self.level,
        )
        probability = None
        if target is not None:
            probability = float(found.probability_above(scale.to_percent(np.array([target])))[0])
        values = scale.from_percent(np.array([found.mean, found.lower, found.upper])[:, 0])
        return RunForecast(float(values[0]), float(values[1:].min()), float(values[1:].max()), probability)


def teachers(finished: FloatArray, length: int) -> FloatArray | None:
    """Returns the latest finished runs that show how runs of a length go on, None where they are too few."""
    known = np.isfinite(finished)
    able = finished[known[:, -1] & known[:, :length].any(axis=1)]
    return able[-MOST_FINISHED:] if len(able) >= LEAST_FINISHED else None


def _first_values(curves: FloatArray) -> FloatArray:
    """The first finite value of each curve that has one."""
    known = np.isfinite(curves)
    rows = np.flatnonzero(known.any(axis=1))
    first: FloatArray = curves[rows, known[rows].argmax(axis=1)]
    return first
