"""A few numbers that say what a partial curve has shown, robust against the noise of single epochs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_RECENT_SHARE = 0.25
_EARLY_SHARE = 0.5
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
        exponent: ``[n]``, the beta of a power law of the error, ``101 - y ~ x^-beta``: its slope in logarithms over
            the second half of the epochs, or over all where that has fewer than three; 0 for a single one.
        exponent_error: ``[n]``, standard error of that; infinite for fewer than three epochs.
    """

    length: FloatArray
    last: FloatArray
    best: FloatArray
    top: FloatArray
    recent: FloatArray
    early: FloatArray
    exponent: FloatArray
    exponent_error: FloatArray

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
        late = observed & (epochs > (length // 2)[:, None])
        late = np.where(late.sum(axis=1, keepdims=True) >= _LEAST_EPOCHS, late, observed)
        exponent, exponent_error = _power_law(np.where(late, curves, np.nan), epochs)
        recent_length = np.maximum(np.ceil(_RECENT_SHARE * length), _LEAST_EPOCHS)
        return cls(
            length=length.astype(np.float64),
            last=curves[np.arange(len(curves)), length - 1],
            best=np.nanmax(curves, axis=1),
            top=_mean_of_highest(curves, np.maximum(np.ceil(_RECENT_SHARE * count), _LEAST_EPOCHS)),
            recent=_mean_where(curves, observed & (epochs > (length - recent_length)[:, None])),
            early=_mean_where(curves, observed & (epochs <= np.ceil(_EARLY_SHARE * length)[:, None])),
            exponent=exponent,
            exponent_error=exponent_error,
        )


def _power_law(curves: FloatArray, epochs: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Slope and its standard error by least squares in logarithms."""
    observed = ~np.isnan(curves)
    count = observed.sum(axis=1)
    x, y = (np.where(observed, values, 0) for values in (np.log(epochs), -np.log(_ERROR_ABOVE - curves)))
    x, y = (np.where(observed, v - (v.sum(axis=1) / count)[:, None], 0) for v in (x, y))
    spread = (x**2).sum(axis=1)
    slope = np.divide((x * y).sum(axis=1), spread, out=np.zeros(len(curves)), where=spread > 0)
    squares = ((y - slope[:, None] * x) ** 2).sum(axis=1)
    error = np.full(len(curves), np.inf)
    known = count > 2
    error[known] = np.sqrt(squares[known] / ((count[known] - 2) * spread[known]))
    return slope, error


def _mean_where(curves: FloatArray, chosen: NDArray[np.bool_]) -> FloatArray:
    """The mean of the chosen values of each curve; of all its values where none was chosen."""
    chosen = np.where(chosen.any(axis=1, keepdims=True), chosen, ~np.isnan(curves))
    mean: FloatArray = np.where(chosen, curves, 0).sum(axis=1) / chosen.sum(axis=1)
    return mean


def _mean_of_highest(curves: FloatArray, counts: FloatArray) -> FloatArray:
    """The mean of so many highest values of each curve, or of all where it has fewer."""
    descending = -np.sort(-curves, axis=1)  # NaN comes last
    return _mean_where(descending, ~np.isnan(descending) & (np.arange(curves.shape[1]) < counts[:, None]))
