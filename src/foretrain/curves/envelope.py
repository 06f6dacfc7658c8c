"""The level that noisy curves have reached, by their upper envelope.

Epochs of a noisy training fall below what the network can do far more often, and further, than above it. Expectile
regression (Newey and Powell 1987) fits a curve that few values exceed: squared errors above it weigh 0.9, those below
it 0.1. Families of two and three parameters that rise like logarithms and powers lend it the strength of all epochs.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from foretrain.curves.families import FAMILIES
from foretrain.curves.grid import GridFitter

FloatArray = NDArray[np.float64]
FAMILY_NAMES = ("ilog2", "pow3", "log_log_linear")
_EXPECTILE = 0.9
_ROUNDS = 6


def upper_envelope(curves: FloatArray) -> FloatArray:
    """Returns the value ``float64[n]`` of each curve's envelope at its last observed epoch, mean of the families.

    Args:
        curves: ``float64[n, t]``, percent, NaN for what was not observed; at least one value each.
    """
    values = torch.from_numpy(np.ascontiguousarray(curves))
    epochs = torch.arange(1, curves.shape[1] + 1, dtype=values.dtype)
    last = (~np.isnan(curves) * np.arange(1, curves.shape[1] + 1)).argmax(axis=1)
    levels = [_envelope(name, values, epochs)[np.arange(len(curves)), last] for name in FAMILY_NAMES]
    mean: FloatArray = np.clip(np.mean(levels, axis=0), 0, 100)
    return mean


def _envelope(name: str, values: torch.Tensor, epochs: torch.Tensor) -> FloatArray:
    fitter, weights = GridFitter([name]), torch.ones_like(values)
    fitted = values
    for _ in range(_ROUNDS):
        fitted = FAMILIES[name].value(epochs, fitter.fit(values, weights).parameters[name])
        weights = torch.where(values > fitted, _EXPECTILE, 1 - _EXPECTILE)
    envelope: FloatArray = fitted.numpy()
    return envelope
