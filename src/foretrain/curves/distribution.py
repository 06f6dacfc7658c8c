"""Predictive distributions of many runs at once, by their quantiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

LOWEST, HIGHEST = 0.0, 100.0
_TAIL = np.array([0.0, 0.005, 0.01, 0.025])
PROBABILITIES: FloatArray = np.concatenate([_TAIL, np.arange(0.05, 0.951, 0.05), 1 - _TAIL[::-1]])
"""The probabilities whose quantiles are kept."""


@dataclass(frozen=True)
class Distribution:
    """What is foreseen of n runs.

    Attributes:
        score: ``[n]``, ranks the runs; higher is better.
        mean: ``[n]``, the forecast of the final value.
        lower: ``[n]``, lower end of the interval.
        upper: ``[n]``, upper end of the interval.
        quantiles: ``[n, q]``, at :data:`PROBABILITIES`.
        spread: ``[n]``, root mean square of the held-out errors, scaled to the uncertainty of each run; None where
            nothing was held out.
        freedom: ``[n]``, their number less one; None likewise.
    """

    score: FloatArray
    mean: FloatArray
    lower: FloatArray
    upper: FloatArray
    quantiles: FloatArray
    spread: FloatArray | None = None
    freedom: FloatArray | None = None


def joined(parts: Sequence[Distribution], order: NDArray[np.int64]) -> Distribution:
    """Returns the runs of several distributions in one, in the given order of their concatenation."""
    names = [field.name for field in fields(Distribution)]
    return Distribution(*(np.concatenate([getattr(part, name) for part in parts])[order] for name in names))


def conformal_distribution(mean: FloatArray, deviation: FloatArray, ratios: FloatArray, level: float) -> Distribution:
    """Returns distributions whose spread is that of held-out errors.

    The interval of level p is ``mean +- deviation * Q(p)``, where Q(p) is the ceil((m + 1) p)-th smallest of m ratios
    of held-out error and deviation; where that is more than there are, the interval is the whole range.

    Args:
        mean: ``[n]``; it also ranks the runs, before it is brought into the range.
        deviation: ``[n]``, how uncertain each run is compared to others.
        ratios: ``[m]``, increasing.
        level: Probability of the interval.
    """
    half = deviation * _conformal_quantile(ratios, np.array([level]))
    halves = deviation[:, None] * _conformal_quantile(ratios, np.abs(2 * PROBABILITIES - 1))
    quantiles = mean[:, None] + np.where(halves == 0, 0, np.sign(PROBABILITIES - 0.5) * halves)
    middle, lower, upper, quantiles = (
        np.clip(values, LOWEST, HIGHEST) for values in (mean, mean - half, mean + half, quantiles)
    )
    return Distribution(
        score=mean,
        mean=middle,
        lower=lower,
        upper=upper,
        quantiles=quantiles,
        spread=deviation * math.sqrt((ratios**2).mean()),
        freedom=np.full(len(mean), len(ratios) - 1.0),
    )


def fewest_for_interval(level: float) -> int:
    """Returns how many held-out errors m an interval needs to be less than the whole range: ceil((m + 1) p) <= m.

    Args:
        level: Its probability p, between 0 and 1.
    """
    return math.ceil(round(level / (1 - level), 9))


def _conformal_quantile(ratios: FloatArray, levels: FloatArray) -> FloatArray:
    """``[len(levels)]``, infinite beyond the largest ratio."""
    rank = np.ceil(np.round((len(ratios) + 1) * levels, 9)).astype(int)
    padded = np.concatenate([[0.0], ratios, [math.inf]])
    quantile: FloatArray = padded[np.minimum(rank, len(ratios) + 1)]
    return quantile


def cumulative(quantiles: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Returns the probabilities ``[n]`` to stay at or below thresholds ``[n]``."""
    position = (quantiles <= thresholds[:, None]).sum(axis=1)
    rows = np.arange(len(quantiles))
    last = len(PROBABILITIES) - 1
    above, below = np.minimum(position, last), np.maximum(position - 1, 0)
    lower, width = quantiles[rows, below], quantiles[rows, above] - quantiles[rows, below]
    share = np.divide(thresholds - lower, width, out=np.zeros(len(rows)), where=width > 0)
    inside = PROBABILITIES[below] + np.clip(share, 0, 1) * (PROBABILITIES[above] - PROBABILITIES[below])
    return np.where(position == 0, 0.0, np.where(position > last, 1.0, inside))


def draw(quantiles: FloatArray, uniform: FloatArray) -> FloatArray:
    """Returns values ``[draws, n]`` of the distributions for uniform random numbers ``[draws, n]``."""
    above = np.clip(np.searchsorted(PROBABILITIES, uniform, side="right"), 1, len(PROBABILITIES) - 1)
    share = (uniform - PROBABILITIES[above - 1]) / (PROBABILITIES[above] - PROBABILITIES[above - 1])
    rows = np.arange(len(quantiles))
    values: FloatArray = (1 - share) * quantiles[rows, above - 1] + share * quantiles[rows, above]
    return values
