"""Few-shot forecasts: what finished runs teach about the partial ones.

Finished curves of the same task show what no partial curve can: the jump that a learning-rate schedule brings at its
end, and how far training accuracy is to be trusted. They are cut to the length of a partial curve, summarised like it,
and a Gaussian process learns their final values from the summaries. Intervals are conformal (Vovk, Gammerman and Shafer
2005; Barber et al. 2021 for the held-out form): with m finished runs like the partial ones the interval of level p
covers about p, whatever the errors' distribution.
"""

from __future__ import annotations

import numpy as np

from foretrain.curves.distribution import Distribution, FloatArray, conformal_distribution
from foretrain.curves.gaussian_process import AveragedGaussianProcess
from foretrain.curves.observation import Observation
from foretrain.curves.summaries import CurveSummary

LEAST_FINISHED = 5


def forecast_from_finished(partial: Observation, finished: Observation, horizon: int, level: float) -> Distribution:
    """Foresees partial curves with the help of finished ones.

    Args:
        partial: n partial curves.
        finished: m finished curves, whose value at the horizon is known, with training curves where the partial ones
            have them.
        horizon: The final epoch.
        level: Probability of the interval.
    """
    final = finished.valid[:, horizon - 1]
    lengths = partial.lengths
    mean, deviation = np.empty((2, len(lengths)))
    ratios = {}
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        process = AveragedGaussianProcess.fit(_features(finished.until(length)), final)
        mean[rows], deviation[rows] = process.predict(_features(partial[rows]))
        ratios[length] = np.sort(np.abs(final - process.held_out) / process.held_out_deviation)
    return conformal_distribution(mean, deviation, np.stack([ratios[length] for length in lengths]), level)


def _features(observation: Observation) -> FloatArray:
    """``[n, d]``: level, best and beginning of each kind of curve that there is."""
    columns = []
    for curves in observation.kinds:
        summary = CurveSummary.of(curves)
        columns += [summary.recent, summary.top, summary.early]
    return np.stack(columns, axis=1)
