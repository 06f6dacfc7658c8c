"""What every forecast of a learning curve has to beat.

All take curves ``float64[n, t]`` in percent, NaN for what was not observed, and return one number for each run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import OptimizeWarning, curve_fit
from sklearn.svm import NuSVR

from foretrain.curves.families import DISTINCT, FAMILIES, Family
from foretrain.curves.observation import last_epochs

FloatArray = NDArray[np.float64]


def last_value(curves: FloatArray) -> FloatArray:
    """Returns the last observed value ``[n]``."""
    return curves[np.arange(len(curves)), last_epochs(curves) - 1]


def mean_of_last_three(curves: FloatArray) -> FloatArray:
    """Returns the mean ``[n]`` of the values of the last three epochs."""
    recent = np.arange(1, curves.shape[1] + 1) > (last_epochs(curves) - 3)[:, None]
    mean: FloatArray = np.nanmean(np.where(recent, curves, np.nan), axis=1)
    return mean


def best_so_far(curves: FloatArray) -> FloatArray:
    """Returns the highest value ``[n]``."""
    best: FloatArray = np.nanmax(curves, axis=1)
    return best


def sum_of_losses(losses: FloatArray, epochs: int | None = None) -> FloatArray:
    """Returns SoTL, minus the sum ``[n]`` of the training losses, so that higher is better.

    Source: Ru et al., "Speedy Performance Estimation for Neural Architecture Search" (NeurIPS 2021).

    Args:
        losses: ``float64[n, t]``, training losses, or training errors where no losses are known.
        epochs: Only the last so many (SoTL-E); None takes all.
    """
    total: FloatArray = -np.nansum(losses if epochs is None else losses[:, -epochs:], axis=1)
    return total


def curve_svr(finished: FloatArray, final: FloatArray, partial: FloatArray) -> FloatArray:
    """Returns forecasts ``[n]`` of a support vector regression on the curve and its differences (LcSVR).

    Source: Baker et al., "Accelerating Neural Architecture Search using Performance Prediction" (ICLR 2018 workshop).

    Args:
        finished: ``[m, t]``, the beginnings of finished curves, without NaN.
        final: ``[m]``, their final values.
        partial: ``[n, t]``, without NaN.
    """
    examples, others = (np.hstack([c, np.diff(c), np.diff(c, n=2)]) for c in (finished, partial))
    mean, deviation = examples.mean(axis=0), examples.std(axis=0) + 1e-9
    centre, spread = final.mean(), final.std() + 1e-9
    model = NuSVR(C=10.0).fit((examples - mean) / deviation, (final - centre) / spread)
    forecast: FloatArray = model.predict((others - mean) / deviation) * spread + centre
    return forecast


def scipy_fits(curves: FloatArray, horizon: int, families: tuple[str, ...] = DISTINCT) -> tuple[FloatArray, int]:
    """Fits the families with ``scipy.optimize.curve_fit``, one curve and one family after the other.

    Args:
        curves: ``[n, t]``, without NaN.
        horizon: The epoch that is foreseen.
        families: Names of the families.

    Returns:
        The mean ``[n]`` over the families whose fit did not fail, within 0 to 100 (the last value where all failed),
        and the number of failed fits.
    """
    values = np.full((len(curves), len(families)), np.nan)
    for column, name in enumerate(families):
        for row, curve in enumerate(curves):
            values[row, column] = _scipy_fit(FAMILIES[name], curve, horizon)
    failed = np.isnan(values)
    values[failed.all(axis=1), 0] = curves[failed.all(axis=1), -1]
    mean: FloatArray = np.nanmean(np.clip(values, 0, 100), axis=1)
    return mean, int(failed.sum())


def _scipy_fit(family: Family, curve: FloatArray, horizon: int) -> float:
    """The value at the horizon, NaN where the fit failed."""
    function = _as_function(family)
    lower, upper = (ends.tolist() for ends in family.bounds.unbind(1))
    start = np.clip(np.ones(len(lower)), lower, upper)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)
        try:
            found, _ = curve_fit(function, np.arange(1.0, len(curve) + 1), curve, p0=start, bounds=(lower, upper))
        except (RuntimeError, ValueError):
            return float("nan")
    return float(function(np.array([float(horizon)]), *found)[0])


def _as_function(family: Family) -> Callable[..., FloatArray]:
    def function(x: FloatArray, *parameters: float) -> FloatArray:
        value: FloatArray = family.value(torch.from_numpy(x), torch.tensor(parameters, dtype=torch.float64)).numpy()
        return value

    return function
