"""What every estimator says, in one form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

Z90 = 1.6448536269514722
"""A normal variable lies within so many standard deviations of its mean with probability 0.9."""


@dataclass(frozen=True)
class Forecast:
    """The forecast for n networks.

    Attributes:
        score: ``float64[n]``, ranks the networks; higher is better.
        mean: ``float64[n]``, expected final value in the benchmark's unit (accuracies: percent), or None where only
            a ranking is known.
        lower: ``float64[n]``, lower end of the interval around ``mean``, or None.
        upper: ``float64[n]``, upper end of the interval, or None.
        arch_id: The networks' identifiers, or None where the position is the identity.

    Raises:
        ValueError: The arrays differ in length, or only one end of the interval is given.
    """

    score: FloatArray
    mean: FloatArray | None = None
    lower: FloatArray | None = None
    upper: FloatArray | None = None
    arch_id: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for name in ("mean", "lower", "upper", "arch_id"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self.score):
                raise ValueError(f"Forecast.{name} has {len(value)} entries, score has {len(self.score)}")
        if (self.lower is None) != (self.upper is None):
            raise ValueError("Forecast needs both ends of an interval, or neither")

    def __len__(self) -> int:
        return len(self.score)
