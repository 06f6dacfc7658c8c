"""Zero-shot forecasts: nothing has finished yet.

The error that is left is taken to fall as a power of the epochs,

    100 - y(h) = (100 - y(T)) (h / T)^-beta,

from the level y(T) that a curve has shown: the mean of its highest quarter. A late jump of a schedule cannot be seen in
a partial curve, so beta is not read off the curve's noise: it has a distribution that covers constant learning
rates, where the error falls slowly, and decaying ones, where it falls at the end, and the interval grows with h / T.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from foretrain.curves.distribution import HIGHEST, PROBABILITIES, Distribution, FloatArray
from foretrain.curves.observation import Observation
from foretrain.curves.summaries import CurveSummary

EXPONENT = 0.3
EXPONENT_DEVIATION = 0.2
LEVEL_DEVIATION = 0.1
"""Standard deviation of the logarithm of the error that is left, at the last observed epoch itself."""


def forecast_without_finished(partial: Observation, horizon: int, level: float) -> Distribution:
    """Foresees n partial curves by themselves; the result for one does not depend on the others.

    Args:
        partial: The partial curves.
        horizon: The final epoch.
        level: Probability of the interval.
    """
    summary = CurveSummary.of(partial.valid)
    tail = (1 - level) / 2
    probabilities = np.concatenate([[0.5, tail, 1 - tail], PROBABILITIES])
    values = _quantiles(summary, horizon, probabilities)
    return Distribution(_score(partial, summary), values[:, 0], values[:, 1], values[:, 2], values[:, 3:])


def _score(partial: Observation, summary: CurveSummary) -> FloatArray:
    if partial.train is None:
        return summary.top
    return (summary.top + CurveSummary.of(partial.train).recent) / 2


def _quantiles(summary: CurveSummary, horizon: int, probabilities: FloatArray) -> FloatArray:
    """``[n, q]``: the error at the horizon is log-normal."""
    growth = np.log(horizon / summary.length)[:, None]
    left = np.log(HIGHEST - summary.top + 1e-9)[:, None] - EXPONENT * growth
    deviation = np.hypot(LEVEL_DEVIATION, EXPONENT_DEVIATION * growth)
    error = np.exp(left - stats.norm.ppf(probabilities) * deviation)
    return np.clip(HIGHEST - error, 0, HIGHEST)
