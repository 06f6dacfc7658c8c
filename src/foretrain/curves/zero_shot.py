"""Zero-shot forecasts: nothing has finished yet.

From the level y(T) that a curve has reached (its upper envelope, :mod:`.envelope`) the error falls by a factor
exp(-growth) until the horizon h,

    101 - y(h) = (101 - y(T)) exp(-growth),

with the growth of :mod:`.growth`. How fast the error really falls depends on the learning-rate schedule, which partial
curves cannot tell: the growth has a log-normal distribution around what was seen, and the interval grows with it.

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
from foretrain.curves.envelope import Envelopes
from foretrain.curves.growth import growth_alone, growth_in_batch, log_error
from foretrain.curves.observation import Observation

_EXPONENT_DEVIATION = 0.9
_LEVEL_DEVIATION = 0.1
_VALID_SHARE = 0.2  # where the noise of a batch is not known


def forecast_without_finished(partial: Observation, horizon: int, level: float, pool: bool) -> Distribution:
    """Foresees n partial curves.

    Args:
        partial: The partial curves.
        horizon: The final epoch.
        level: Probability of the interval.
        pool: Whether the batch may inform each of its curves: on their growth (:func:`~.growth.growth_in_batch`) and on
            how noisy they are (:func:`validation_share`); without it the result for a curve does not depend on the
            others.
    """
    envelopes = Envelopes(partial.valid)
    reached, growth = envelopes.reached, (growth_in_batch if pool else growth_alone)(envelopes, horizon)
    tail = (1 - level) / 2
    values = _quantiles(reached, growth, np.concatenate([[0.5, tail, 1 - tail], PROBABILITIES]))
    score = _score(partial, (reached + np.nanmax(partial.valid, axis=1)) / 2, pool)
    return Distribution(score, values[:, 0], values[:, 1], values[:, 2], values[:, 3:])


def forecast_alone(curves: FloatArray, horizon: int) -> FloatArray:
    """Returns the mean forecast ``[n]`` of validation curves ``[n, t]``, each by itself."""
    envelopes = Envelopes(curves)
    return _quantiles(envelopes.reached, growth_alone(envelopes, horizon), np.array([0.5]))[:, 0]


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


def _score(partial: Observation, level: FloatArray, pool: bool) -> FloatArray:
    if partial.train is None:
        return level
    share = validation_share(partial.valid, partial.train) if pool else _VALID_SHARE
    score: FloatArray = share * level + (1 - share) * np.nanmax(partial.train, axis=1)
    return score


def _quantiles(reached: FloatArray, growth: FloatArray, probabilities: FloatArray) -> FloatArray:
    """``[n, q]``: the growth is log-normal, and so is the error of the level, in the same direction."""
    normal = stats.norm.ppf(probabilities)
    logs = log_error(reached)[:, None] - _LEVEL_DEVIATION * normal
    with np.errstate(over="ignore", invalid="ignore"):
        # without growth (0 times infinity at the ends) only the level is uncertain
        logs = logs - np.nan_to_num(growth[:, None] * np.exp(_EXPONENT_DEVIATION * normal), nan=0.0, posinf=np.inf)
    return np.clip(HIGHEST + 1 - np.exp(logs), LOWEST, HIGHEST)
