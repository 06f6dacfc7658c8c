"""What all metrics ask of their arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def complete(name: str, values: ArrayLike) -> FloatArray:
    """Returns ``values`` as float64.

    Args:
        name: What the message calls them.
        values: Numbers of any shape.

    Raises:
        ValueError: Some are NaN; the message says how many.
    """
    array = np.asarray(values, dtype=np.float64)
    if missing := int(np.isnan(array).sum()):
        raise ValueError(
            f"{name}: {missing} of {array.size} values are NaN. Leave these networks out or give them a value"
        )
    return array


def complete_pair(truth: ArrayLike, score: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Returns both arrays as float64.

    Raises:
        ValueError: They differ in shape, or some values are NaN.
    """
    first, second = complete("truth", truth), complete("score", score)
    if first.shape != second.shape:
        raise ValueError(f"truth has shape {first.shape}, score {second.shape}. Give one score for each network")
    return first, second
