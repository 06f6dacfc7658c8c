"""Zero-shot forecasts: nothing has finished yet.

The error that is left is taken to fall as a power of the epochs, from the level that a curve has reached (its upper
envelope, :mod:`.envelope`),

    101 - y(h) = (101 - y(T)) (h / T)^-beta,

as fast as an envelope of it fell over all but the first third of what was observed. How much faster or slower it
really falls depends on the learning-rate schedule, which a partial curve cannot tell: beta has a log-normal
distribution around what was seen, and the interval grows with h / T.

What ranks runs is another question than where they end. The level ranks them, and on most tasks the training accuracy
does so better: the score is (level + 3 training accuracy) / 4, the latter the mean of its last value, which does not
lag, and of that over the last quarter of the epochs, which is less noisy.

The values of level, exponent and share were chosen on learning curves that this project trained itself: NAS-Bench-201
cells on scikit-learn's digits with and without noise, with constant and with decaying learning rate, and on images of
8x8 pixels. What to choose among was prompted by misses on published curves, and the mean of last and recent training
accuracy was taken after those were seen, without a score on our own: docs/curves.md tells which looks changed what.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from foretrain.curves.distribution import HIGHEST, LOWEST, PROBABILITIES, Distribution, FloatArray
from foretrain.curves.envelope import upper_envelope
from foretrain.curves.observation import Observation
from foretrain.curves.summaries import CurveSummary

_EXPONENT_DEVIATION = 0.9
_LEVEL_DEVIATION = 0.1
_TRAIN_SHARE = 0.75
_HETEROGENEOUS = 0.01


def forecast_without_finished(partial: Observation, horizon: int, level: float, pool: bool) -> Distribution:
    """Foresees n partial curves.

    Args:
        partial: The partial curves.
        horizon: The final epoch.
        level: Probability of the interval.
        pool: Whether curves of one kind share their exponent (see :func:`pooled_exponents`); without it the result
            for a curve does not depend on the others.
    """
    summary = CurveSummary.of(partial.valid)
    exponent = pooled_exponents(summary.exponent, summary.exponent_error) if pool else summary.exponent
    tail = (1 - level) / 2
    reached = upper_envelope(partial.valid)
    growth = np.maximum(exponent, 0) * np.log(horizon / summary.length)
    values = _quantiles(reached, growth, np.concatenate([[0.5, tail, 1 - tail], PROBABILITIES]))
    return Distribution(_score(partial, reached), values[:, 0], values[:, 1], values[:, 2], values[:, 3:])


def power_law_forecast(curves: FloatArray, horizon: int) -> FloatArray:
    """Returns the mean forecast ``[n]`` of validation curves ``[n, t]``, each by itself."""
    summary = CurveSummary.of(curves)
    growth = np.maximum(summary.exponent, 0) * np.log(horizon / summary.length)
    return _quantiles(upper_envelope(curves), growth, np.array([0.5]))[:, 0]


def pooled_exponents(exponents: FloatArray, errors: FloatArray) -> FloatArray:
    """Returns the common exponent of a batch of like curves, or each its own where they differ.

    They differ when Cochran's Q, the sum of ``((beta_i - mean) / error_i)^2`` with the mean weighted by
    ``1 / error_i^2``, is larger than by chance at the level of 1% (chi-squared with n - 1 degrees of freedom).
    Exponents of curves too short for a standard error are replaced in a homogeneous batch and do not count in the test.

    Args:
        exponents: ``[n]``.
        errors: ``[n]``, their standard errors.
    """
    known = np.isfinite(errors)
    if known.sum() < 2:
        return exponents
    weights = 1 / np.maximum(errors[known], 1e-6) ** 2
    mean = np.average(exponents[known], weights=weights)
    statistic = (weights * (exponents[known] - mean) ** 2).sum()
    homogeneous = stats.chi2.sf(statistic, known.sum() - 1) >= _HETEROGENEOUS
    return np.full_like(exponents, mean) if homogeneous else exponents


def _score(partial: Observation, reached: FloatArray) -> FloatArray:
    if partial.train is None:
        return reached
    train = CurveSummary.of(partial.train)
    return (1 - _TRAIN_SHARE) * reached + _TRAIN_SHARE * (train.last + train.recent) / 2


def _quantiles(reached: FloatArray, growth: FloatArray, probabilities: FloatArray) -> FloatArray:
    """``[n, q]``: the exponent is log-normal, and so is the error of the level, in the same direction."""
    normal = stats.norm.ppf(probabilities)
    logs = np.log(HIGHEST + 1 - reached)[:, None] - _LEVEL_DEVIATION * normal
    with np.errstate(over="ignore", invalid="ignore"):
        # without growth (0 times infinity at the ends) only the level is uncertain
        logs = logs - np.nan_to_num(growth[:, None] * np.exp(_EXPONENT_DEVIATION * normal), nan=0.0, posinf=np.inf)
    return np.clip(HIGHEST + 1 - np.exp(logs), LOWEST, HIGHEST)
