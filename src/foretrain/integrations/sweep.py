"""When a run of a sweep is not worth finishing, for tools that stop runs early."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from foretrain.integrations.run_forecast import FloatArray, RunForecaster

_STEP = 4 / 3


@dataclass(frozen=True)
class SweepJudge:
    """Gives up runs that will hardly beat the best finished one.

    Runs are looked at when they are ``warmup`` epochs old, and each time that they are a third older: forecasts of
    neighbouring epochs hardly differ, and a run that is looked at often is given up by chance at last.

    Attributes:
        forecaster: Foresees the runs.
        probability: A run that beats the best with less than this probability is given up.
        warmup: The epoch of the first look.
        startup: Runs that finish before any is given up.
    """

    forecaster: RunForecaster
    probability: float
    warmup: int
    startup: int

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise ValueError(f"probability is {self.probability}, between 0 and 1 is needed")
        if self.warmup < 1 or self.startup < 1:
            raise ValueError(f"warmup={self.warmup} and startup={self.startup} must be at least 1")

    def is_hopeless(self, curve: FloatArray, finished: FloatArray, finals: ArrayLike) -> bool:
        """Returns whether a run should be given up after its last value.

        A value that is no number, or infinite, is hopeless.

        Args:
            curve: ``[t]``, what the run has shown up to its last value; NaN is what was not observed.
            finished: ``[m, horizon]``, finished runs that teach the forecast.
            finals: ``[n]``, the final values of all finished runs, which set what is to be beaten.
        """
        if not np.isfinite(curve[-1]):
            return True
        finals = np.asarray(finals)[np.isfinite(finals)]
        if len(finals) < self.startup or not self._is_looked_at(curve):
            return False
        best = finals.max() if self.forecaster.mode == "max" else finals.min()
        return self.forecaster.chance(curve, finished, float(best)) < self.probability

    def _is_looked_at(self, curve: FloatArray) -> bool:
        """Whether an epoch of a look is the last one, or was passed over since the value before."""
        before = np.flatnonzero(np.isfinite(curve[:-1]))
        since = before[-1] + 1 if len(before) else 0
        return any(since < look <= len(curve) < self.forecaster.horizon for look in self._looks())

    def _looks(self) -> Iterator[int]:
        epoch = float(self.warmup)
        while epoch < self.forecaster.horizon:
            yield round(epoch)
            epoch *= _STEP
