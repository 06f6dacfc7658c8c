"""People's own metrics in the percent of the estimators, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Mode = Literal["max", "min"]
UnitName = Literal["guess", "percent", "fraction", "free"]


@dataclass(frozen=True)
class Unit:
    """An affine map that sends the worst value to 0 and the best to 100.

    Attributes:
        worst: The worst value.
        best: The best value.
        bounded: Whether no value can lie outside.
        said: What it is, in words.
    """

    worst: float
    best: float
    bounded: bool
    said: str

    def to_percent(self, values: FloatArray) -> FloatArray:
        """Maps the user's unit to percent; a percentage stays what it is to the last digit."""
        return (values - self.worst) * (100 / (self.best - self.worst))

    def from_percent(self, values: FloatArray) -> FloatArray:
        """Maps percent to the user's unit."""
        return self.worst + values / (100 / (self.best - self.worst))


def choose_unit(values: FloatArray, mode: Mode, unit: UnitName) -> Unit:
    """Returns the unit of a metric.

    Maximised values within 0 to 1 are fractions, other maximised ones percent, unless said otherwise. A free unit ends
    at 0 where a metric that is minimised is never negative (the power law of the error is one of the loss then), and as
    far beyond the best value as its whole range where there is no such end.

    Args:
        values: All observed values; NaN is left aside.
        mode: Whether higher or lower is better.
        unit: What the user says it is.
    """
    lowest, highest = float(np.nanmin(values)), float(np.nanmax(values))
    if unit == "guess":
        unit = "free" if mode == "min" else "fraction" if lowest >= 0 and highest <= 1 else "percent"
    if unit != "free":
        top = 100.0 if unit == "percent" else 1.0
        worst, best = (0.0, top) if mode == "max" else (top, 0.0)
        return Unit(worst, best, bounded=True, said=f"{mode}imised, between 0 and {top:g}")
    spread = max(highest - lowest, 1e-9 * max(1.0, abs(highest)))
    if mode == "max":
        return Unit(lowest, highest + spread, bounded=False, said="maximised, without bounds")
    best = 0.0 if lowest >= 0 else lowest - spread
    return Unit(max(highest, best + spread), best, bounded=False, said=f"minimised, at best {best:g}")
