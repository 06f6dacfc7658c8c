"""A few numbers that say what a partial curve has shown, robust against the noise of single epochs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_RECENT_SHARE = 0.25
_EARLY_SHARE = 0.5
_EXPECTILE = 0.9  # the envelope's, from which the level is taken
_ROUNDS = 8
_TINY = 1e-12
_LEAST_EPOCHS = 3
_ERROR_ABOVE = 101.0  # percent; a perfect value has a finite logarithm


@dataclass(frozen=True)
class CurveSummary:
    """What n partial curves have shown, each up to its own last observed epoch T.

    Attributes:
        length: ``[n]``, T.
        last: ``[n]``, the last value.
        best: ``[n]``, the highest value.
        top: ``[n]``, mean of the highest quarter of the values (three at least): the best so far without its luck.
        recent: ``[n]``, mean over the last quarter of the epochs (three at least).
        early: ``[n]``, mean over the first half of the epochs.
        exponent: ``[n]``, the beta of a power law of the error, ``101 - y ~ x^-beta``: the slope in logarithms of the
            upper envelope (squared errors above it weigh 0.9, below it 0.1) over all but the first third of the
            epochs, or over all where that leaves fewer than three; 0 for a single one.
    """

    length: FloatArray
    last: FloatArray
    best: FloatArray
    top: FloatArray
    recent: FloatArray
    early: FloatArray
    exponent: FloatArray

    @classmethod
    def of(cls, curves: FloatArray) -> CurveSummary:
        """Summarises curves.

        Args:
            curves: ``float64[n, t]``, NaN for what was not observed; at least one value each.
        """
        observed = ~np.isnan(curves)
        epochs = np.arange(1, curves.shape[1] + 1)
        length = (observed * epochs).max(axis=1)
        count = observed.sum(axis=1)
        late = observed & (epochs > (length // 3)[:, None])
        late = np.where(late.sum(axis=1, keepdims=True) >= _LEAST_EPOCHS, late, observed)
        recent_length = np.maximum(np.ceil(_RECENT_SHARE * length), _LEAST_EPOCHS)
        return cls(
            length=length.astype(np.float64),
            last=curves[np.arange(len(curves)), length - 1],
            best=np.nanmax(curves, axis=1),
            top=_mean_of_highest(curves, np.maximum(np.ceil(_RECENT_SHARE * count), _LEAST_EPOCHS)),
            recent=_mean_where(curves, observed & (epochs > (length - recent_length)[:, None])),
            early=_mean_where(curves, observed & (epochs <= np.ceil(_EARLY_SHARE * length)[:, None])),
            exponent=_power_law(np.where(late, curves, np.nan), epochs),
        )


def _power_law(curves: FloatArray, epochs: NDArray[np.int64]) -> FloatArray:
    """Slope of the upper envelope in logarithms, by expectile regression."""
    observed = ~np.isnan(curves)
    x, y = (np.where(observed, values, 0) for values in (np.log(epochs), -np.log(_ERROR_ABOVE - curves)))
    weights = observed.astype(np.float64)
    slope = np.zeros(len(curves))
    for _ in range(_ROUNDS):
        slope, residual = _line(x, y, weights)
        weights = observed * np.where(residual > 0, _EXPECTILE, 1 - _EXPECTILE)
    return slope


def _line(x: FloatArray, y: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Slopes ``[n]`` of weighted least squares, 0 where x does not vary, and residuals ``[n, t]``."""
    total = weights.sum(axis=1, keepdims=True)
    x, y = (values - (weights * values).sum(axis=1, keepdims=True) / total for values in (x, y))
    spread = (weights * x**2).sum(axis=1)
    slope = np.divide((weights * x * y).sum(axis=1), spread, out=np.zeros(len(x)), where=spread > _TINY)
    return slope, y - slope[:, None] * x


def _mean_where(curves: FloatArray, chosen: NDArray[np.bool_]) -> FloatArray:
    """The mean of the chosen values of each curve; of all its values where none was chosen."""
    chosen = np.where(chosen.any(axis=1, keepdims=True), chosen, ~np.isnan(curves))
    mean: FloatArray = np.where(chosen, curves, 0).sum(axis=1) / chosen.sum(axis=1)
    return mean


def _mean_of_highest(curves: FloatArray, counts: FloatArray) -> FloatArray:
    """The mean of so many highest values of each curve, or of all where it has fewer."""
    descending = -np.sort(-curves, axis=1)  # NaN comes last
    return _mean_where(descending, ~np.isnan(descending) & (np.arange(curves.shape[1]) < counts[:, None]))
