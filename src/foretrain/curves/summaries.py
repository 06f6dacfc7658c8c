"""A few numbers that say what a partial curve has shown, robust against the noise of single epochs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_RECENT_SHARE = 0.25
_EARLY_SHARE = 0.5
_LEAST_EPOCHS = 3


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
    """

    length: FloatArray
    last: FloatArray
    best: FloatArray
    top: FloatArray
    recent: FloatArray
    early: FloatArray

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
        recent_length = np.maximum(np.ceil(_RECENT_SHARE * length), _LEAST_EPOCHS)
        return cls(
            length=length.astype(np.float64),
            last=curves[np.arange(len(curves)), length - 1],
            best=np.nanmax(curves, axis=1),
            top=_mean_of_highest(curves, np.maximum(np.ceil(_RECENT_SHARE * count), _LEAST_EPOCHS)),
            recent=_mean_where(curves, observed & (epochs > (length - recent_length)[:, None])),
            early=_mean_where(curves, observed & (epochs <= np.ceil(_EARLY_SHARE * length)[:, None])),
        )


def _mean_where(curves: FloatArray, chosen: NDArray[np.bool_]) -> FloatArray:
    """The mean of the chosen values of each curve; of all its values where none was chosen."""
    chosen = np.where(chosen.any(axis=1, keepdims=True), chosen, ~np.isnan(curves))
    mean: FloatArray = np.where(chosen, curves, 0).sum(axis=1) / chosen.sum(axis=1)
    return mean


def _mean_of_highest(curves: FloatArray, counts: FloatArray) -> FloatArray:
    """The mean of so many highest values of each curve, or of all where it has fewer."""
    descending = -np.sort(-curves, axis=1)  # NaN comes last
    return _mean_where(descending, ~np.isnan(descending) & (np.arange(curves.shape[1]) < counts[:, None]))
