"""The level that noisy curves have reached and will reach, by their upper envelope.

Epochs of a noisy training fall below what the network can do far more often, and further, than above it. Expectile
regression (Newey and Powell 1987) fits a curve that few values exceed: squared errors above it weigh 0.9, those below
it 0.1. Families of two and three parameters lend a level the strength of all epochs.

Two questions, two ensembles: families that rise like logarithms and powers say where a curve is now; the source
thesis's final ensemble (:data:`~foretrain.curves.published.FINAL_ENSEMBLE`), whose members flatten late or never, says
where it goes.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from foretrain.curves.families import FAMILIES
from foretrain.curves.grid import GridFitter
from foretrain.curves.published import FINAL_ENSEMBLE

FloatArray = NDArray[np.float64]
FAMILY_NAMES = ("ilog2", "pow3", "log_log_linear")
_EXPECTILE = 0.9
_ROUNDS = 6


class Envelopes:
    """The upper envelopes of n curves; each family is fitted once, when it is first asked for.

    Args:
        curves: ``float64[n, t]``, percent, NaN for what was not observed; at least one value each.
    """

    def __init__(self, curves: FloatArray) -> None:
        self.curves = curves
        self._values = torch.from_numpy(np.ascontiguousarray(curves))
        self._parameters: dict[str, torch.Tensor] = {}

    @cached_property
    def reached(self) -> FloatArray:
        """The level ``float64[n]`` at each curve's last observed epoch, mean of the families that say where it is."""
        last = (~np.isnan(self.curves) * np.arange(1, self.curves.shape[1] + 1)).max(axis=1)
        return self._mean(FAMILY_NAMES, last)

    def ahead(self, horizon: int | NDArray[np.int64]) -> FloatArray:
        """Returns the level ``float64[n]`` at an epoch, one for all or ``[n]``, mean of the source's families."""
        return self._mean(FINAL_ENSEMBLE, np.broadcast_to(horizon, len(self.curves)))

    def _mean(self, names: tuple[str, ...], epochs: NDArray[np.int64]) -> FloatArray:
        """The mean of families, each within 0 to 100, at one epoch ``[n]`` of each curve."""
        places = torch.tensor(epochs).to(self._values)[:, None]
        levels = []
        for name in names:
            if name not in self._parameters:
                self._parameters[name] = _envelope(name, self._values)
            at_place = FAMILIES[name].value(places[..., None], self._parameters[name][:, None])
            levels.append(at_place.reshape(len(self.curves)).clamp(0, 100).numpy())
        mean: FloatArray = np.mean(levels, axis=0)
        return mean


def _envelope(name: str, values: torch.Tensor) -> torch.Tensor:
    """The parameters ``[n, p]`` of a family's envelopes."""
    family, fitter, weights = FAMILIES[name], GridFitter([name]), torch.ones_like(values)
    epochs = torch.arange(1, values.shape[1] + 1, dtype=values.dtype)
    parameters = fitter.fit(values, weights).parameters[name]
    for _ in range(_ROUNDS - 1):
        above = values > family.value(epochs, parameters)
        reweighted = torch.where(above, _EXPECTILE, 1 - _EXPECTILE)
        if torch.equal(reweighted, weights):  # the fit would be the same again
            break
        weights, parameters = reweighted, fitter.fit(values, reweighted).parameters[name]
    return parameters
