"""How far forecasts are from the truth, in the truth's own unit."""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from foretrain.metrics.checks import complete_pair


def mae(truth: ArrayLike, mean: ArrayLike) -> float:
    """Returns the mean absolute error, in the unit of ``truth``. Lower is better; NaN for no networks.

    Args:
        truth: ``[n]``, what the networks reached.
        mean: ``[n]``, what was foreseen, in the same unit.

    Raises:
        ValueError: The arrays differ in shape or hold NaN.
    """
    truth, mean = complete_pair(truth, mean)
    return float(abs(truth - mean).mean()) if truth.size else float("nan")


def rmse(truth: ArrayLike, mean: ArrayLike) -> float:
    """Returns the root of the mean squared error, in the unit of ``truth``. Lower is better; NaN for no networks.

    Args:
        truth: ``[n]``, what the networks reached.
        mean: ``[n]``, what was foreseen, in the same unit.

    Raises:
        ValueError: The arrays differ in shape or hold NaN.
    """
    return math.sqrt(mse(truth, mean))


def mse(truth: ArrayLike, mean: ArrayLike) -> float:
    """Returns the mean squared error, in the squared unit of ``truth``. Lower is better; NaN for no networks.

    Args:
        truth: ``[n]``, what the networks reached.
        mean: ``[n]``, what was foreseen, in the same unit.

    Raises:
        ValueError: The arrays differ in shape or hold NaN.
    """
    truth, mean = complete_pair(truth, mean)
    return float(((truth - mean) ** 2).mean()) if truth.size else float("nan")
