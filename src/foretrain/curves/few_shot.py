"""Few-shot forecasts: what finished runs teach about the partial ones.

Finished curves of the same task show what no partial curve can: the jump that a learning-rate schedule brings at its
end, and how far training accuracy is to be trusted. They are cut to the length of a partial curve, summarised like it,
and a Gaussian process learns their final values from the summaries. Intervals are conformal (Vovk, Gammerman and Shafer
2005; Barber et al. 2021 for the held-out form): with m finished runs like the partial ones the interval of level p
covers about p, whatever the errors' distribution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foretrain.curves.distribution import HIGHEST, Distribution, FloatArray, conformal_distribution
from foretrain.curves.gaussian_process import AveragedGaussianProcess
from foretrain.curves.observation import Observation
from foretrain.curves.summaries import CurveSummary
from foretrain.curves.zero_shot import forecast_alone

LEAST_FINISHED = 5
_REACH = 0.5  # standard deviations outside the finished runs over which their lesson fades; chosen on our own curves
_TINY = 1e-9
_LEAST_ERROR = 1.0  # points; keeps the logarithm of a perfect run finite


@dataclass(frozen=True)
class Calibration:
    """What m finished runs teach about partial ones of one length: the mean of the processes of all views.

    They work in the negative logarithm of the error that is left, which spreads the good runs, of which there are many,
    and holds together the bad ones, of which each is bad in its own way; and learn how it differs from that of the
    level so far. A run outside the range of the finished ones is one of which they teach little: with the distance to
    that range its forecast goes over to the zero-shot one.

    Attributes:
        processes: One for each view of :func:`_views`.
        examples: ``[m, d]``, the smallest view of the finished curves, whose range is meant.
        horizon: The final epoch.
        held_out_ratios: ``[m]``, errors of each finished run foreseen without it over their deviations, ascending.
    """

    processes: list[AveragedGaussianProcess]
    examples: FloatArray
    horizon: int
    held_out_ratios: FloatArray

    @classmethod
    def fit(cls, finished: Observation, length: int, horizon: int) -> Calibration:
        """Learns from finished runs.

        Args:
            finished: m runs, whose value at the horizon is known.
            length: The last epoch of the partial runs.
            horizon: The final epoch.
        """
        final, begun = finished.valid[:, horizon - 1], finished.until(length)
        views = _views(begun)
        reached = _to_log_error(views[0][:, 0])
        processes = [AveragedGaussianProcess.fit(view, _to_log_error(final) - reached) for view in views]
        mean, deviation = _combined(reached, [(p.held_out, p.held_out_deviation) for p in processes])
        trust = _trust(views[0], *_ranges_without_each(views[0]), views[0])
        mean = _faded(mean, trust, begun.valid, horizon)
        return cls(processes, views[0], horizon, np.sort(np.abs(final - mean) / deviation))

    def forecast(self, partial: Observation, level: float) -> Distribution:
        """Foresees n partial runs of the length, with training curves where the finished ones had them."""
        views = _views(partial)
        forecasts = [process.predict(view) for process, view in zip(self.processes, views, strict=True)]
        mean, deviation = _combined(_to_log_error(views[0][:, 0]), forecasts)
        trust = _trust(views[0], self.examples.min(axis=0), self.examples.max(axis=0), self.examples)
        mean = _faded(mean, trust, partial.valid, self.horizon)
        return conformal_distribution(mean, deviation, self.held_out_ratios, level)


def _faded(mean: FloatArray, trust: FloatArray, curves: FloatArray, horizon: int) -> FloatArray:
    """The means, less trusted ones mixed with the zero-shot forecast of their curves."""
    rows = np.flatnonzero(trust < 1)
    mean = mean.copy()
    if len(rows):
        mean[rows] += (1 - trust[rows]) * (forecast_alone(curves[rows], horizon) - mean[rows])
    return mean


def _views(observation: Observation) -> list[FloatArray]:
    """Features ``[n, d]`` of the curves, from the two that say most to all: how many help depends on the task.

    The first of the first is the level so far.
    """
    valid = CurveSummary.of(observation.valid)
    if observation.train is None:
        columns = [[valid.top, valid.early], [valid.top], [valid.recent, valid.top, valid.early]]
    else:
        train = CurveSummary.of(observation.train)
        few = [valid.top, train.recent]
        more = [*few, valid.early, train.early]
        columns = [few, more, [*more, valid.recent, train.top]]
    return [np.stack(view, axis=1) for view in columns]


def _trust(features: FloatArray, lowest: FloatArray, highest: FloatArray, examples: FloatArray) -> FloatArray:
    """One for runs inside a range, less with the distance ``[n]`` to it in standard deviations of the examples."""
    outside = np.maximum(np.maximum(lowest - features, features - highest), 0)
    distance = (outside / np.maximum(examples.std(axis=0), _TINY)).max(axis=1)
    trust: FloatArray = np.exp(-0.5 * (distance / _REACH) ** 2)
    return trust


def _ranges_without_each(examples: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest of all other examples, each ``[m, d]``."""
    ordered = np.sort(examples, axis=0)
    lowest = np.where(examples <= ordered[0], ordered[1], ordered[0])
    highest = np.where(examples >= ordered[-1], ordered[-2], ordered[-1])
    return lowest, highest


def _combined(reached: FloatArray, forecasts: list[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """The mean in points of forecasts of the gain, and their mean deviation by the slope there."""
    gain, deviations = np.mean(forecasts, axis=0)
    logs = reached + gain
    return _from_log_error(logs), deviations * np.exp(-logs)


def _to_log_error(value: FloatArray) -> FloatArray:
    logs: FloatArray = -np.log(HIGHEST + _LEAST_ERROR - value)
    return logs


def _from_log_error(logs: FloatArray) -> FloatArray:
    value: FloatArray = HIGHEST + _LEAST_ERROR - np.exp(-logs)
    return value
