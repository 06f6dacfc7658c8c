"""Zero-shot forecasts: nothing has finished yet.

From the level y(T) that a curve has reached (its upper envelope, :mod:`.envelope`) the error falls by a factor
exp(-growth) until the horizon h,

    101 - y(h) = (101 - y(T)) exp(-growth),

and the growth is the mean of two guesses: that the error goes on as a power of the epochs, beta log(h / T), as fast as
an envelope of it fell over all but the first third of what was observed; and what the envelopes of the source's
families say at the horizon. How fast the error really falls depends on the learning-rate schedule, which a partial
curve cannot tell: the growth has a log-normal distribution around what was seen, and the interval grows with it.

What ranks runs is another question than where they end. From validation curves alone the score is the mean of the
level and of the best value so far. The best training accuracy so far ranks better where it is known: the score is then
a weighted mean of both, by how much noise each kind of curve shows from epoch to epoch (:func:`validation_share`).

All of it was chosen on learning curves that this project trained itself: docs/curves.md tells how, and which looks at
published curves prompted which questions.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from foretrain.curves.distribution import HIGHEST, LOWEST, PROBABILITIES, Distribution, FloatArray
from foretrain.curves.envelope import envelope_ahead, upper_envelope
from foretrain.curves.observation import Observation
from foretrain.curves.summaries import CurveSummary

_EXPONENT_DEVIATION = 0.9
_LEVEL_DEVIATION = 0.1
_VALID_SHARE = 0.2  # where the noise of a batch is not known
_SEEN_SHARE = 2 / 3
_LEAST_SEEN = 3
_LEAST_TESTED = 5  # runs; with fewer the test cannot reject at its level
_SIGNIFICANT = 0.05


def forecast_without_finished(partial: Observation, horizon: int, level: float, pool: bool) -> Distribution:
    """Foresees n partial curves.

    Args:
        partial: The partial curves.
        horizon: The final epoch.
        level: Probability of the interval.
        pool: Whether the batch may inform each of its curves: on their exponents (:func:`pooled_exponents`) and on how
            noisy they are (:func:`validation_share`); without it the result for a curve does not depend on the others.
    """
    summary, reached = CurveSummary.of(partial.valid), upper_envelope(partial.valid)
    exponents = pooled_exponents(partial.valid, summary, reached) if pool else summary.exponent
    growth = _growth(partial.valid, exponents, summary, reached, horizon)
    tail = (1 - level) / 2
    values = _quantiles(reached, growth, np.concatenate([[0.5, tail, 1 - tail], PROBABILITIES]))
    score = _score(partial, (reached + summary.best) / 2, pool)
    return Distribution(score, values[:, 0], values[:, 1], values[:, 2], values[:, 3:])


def forecast_alone(curves: FloatArray, horizon: int) -> FloatArray:
    """Returns the mean forecast ``[n]`` of validation curves ``[n, t]``, each by itself."""
    summary, reached = CurveSummary.of(curves), upper_envelope(curves)
    growth = _growth(curves, summary.exponent, summary, reached, horizon)
    return _quantiles(reached, growth, np.array([0.5]))[:, 0]


def pooled_exponents(curves: FloatArray, summary: CurveSummary, reached: FloatArray) -> FloatArray:
    """Returns exponents drawn half way to the median of a batch of like curves, or each its own where they differ.

    The test: how far the logarithm of the error of every curve falls over the last third of its epochs is foreseen from
    the first two thirds, with its own exponent and with the median of all. The batch is heterogeneous if the own
    exponents err less, by a one-sided Wilcoxon signed-rank test at the level of 5%. Fewer than five curves of four
    epochs or more cannot be tested and keep their own.

    Args:
        curves: ``[n, t]``, percent.
        summary: Their summary.
        reached: ``[n]``, their levels.
    """
    seen = np.ceil(_SEEN_SHARE * summary.length)
    begun = np.where(np.arange(1, curves.shape[1] + 1) <= seen[:, None], curves, np.nan)
    tested = np.flatnonzero(((~np.isnan(begun)).sum(axis=1) >= _LEAST_SEEN) & (seen < summary.length))
    if len(tested) < _LEAST_TESTED:
        return summary.exponent
    earlier, level = CurveSummary.of(begun[tested]), upper_envelope(begun[tested])
    fallen = _log_error(level) - _log_error(reached[tested])
    span = np.log(summary.length[tested] / earlier.length)
    own, common = (
        np.abs(np.maximum(exponent, 0) * span - fallen) for exponent in (earlier.exponent, np.median(earlier.exponent))
    )
    if _is_less(own, common):
        return summary.exponent
    shared: FloatArray = (summary.exponent + np.median(summary.exponent)) / 2
    return shared


def validation_share(valid: FloatArray, train: FloatArray) -> float:
    """Returns the weight of the validation curves beside the training curves of a batch, by inverse variance.

    With the mean squares v and t of how far a value lies from the middle of its two neighbours, ``t / (v + t)``; 0.2
    where there are no three epochs in a row, or no noise at all.

    Args:
        valid: ``[n, t]``, percent.
        train: ``[n, t]``, percent.
    """
    noise = [_noise(curves) for curves in (valid, train)]
    total = sum(noise)
    return noise[1] / total if total > 0 else _VALID_SHARE


def _noise(curves: FloatArray) -> float:
    """Mean square of the distance to the middle of the neighbours; NaN where there are no three epochs in a row."""
    distance = curves[:, 1:-1] - (curves[:, :-2] + curves[:, 2:]) / 2
    known = distance[~np.isnan(distance)]
    return float((known**2).mean()) if len(known) else float("nan")


def _is_less(first: FloatArray, second: FloatArray) -> bool:
    if (first == second).all():
        return False
    return bool(stats.wilcoxon(first, second, alternative="less").pvalue < _SIGNIFICANT)


def _growth(
    curves: FloatArray, exponents: FloatArray, summary: CurveSummary, reached: FloatArray, horizon: int
) -> FloatArray:
    """By how much the logarithm of the error falls until the horizon, ``[n]``, not below 0."""
    power_law = np.maximum(exponents, 0) * np.log(horizon / summary.length)
    families = _log_error(reached) - _log_error(envelope_ahead(curves, horizon))
    growth: FloatArray = (power_law + np.maximum(families, 0)) / 2
    return growth


def _log_error(value: FloatArray) -> FloatArray:
    logs: FloatArray = np.log(HIGHEST + 1 - value)
    return logs


def _score(partial: Observation, level: FloatArray, pool: bool) -> FloatArray:
    if partial.train is None:
        return level
    share = validation_share(partial.valid, partial.train) if pool else _VALID_SHARE
    score: FloatArray = share * level + (1 - share) * np.nanmax(partial.train, axis=1)
    return score


def _quantiles(reached: FloatArray, growth: FloatArray, probabilities: FloatArray) -> FloatArray:
    """``[n, q]``: the growth is log-normal, and so is the error of the level, in the same direction."""
    normal = stats.norm.ppf(probabilities)
    logs = _log_error(reached)[:, None] - _LEVEL_DEVIATION * normal
    with np.errstate(over="ignore", invalid="ignore"):
        # without growth (0 times infinity at the ends) only the level is uncertain
        logs = logs - np.nan_to_num(growth[:, None] * np.exp(_EXPONENT_DEVIATION * normal), nan=0.0, posinf=np.inf)
    return np.clip(HIGHEST + 1 - np.exp(logs), LOWEST, HIGHEST)
