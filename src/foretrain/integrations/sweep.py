"""When a run of a sweep is not worth finishing, for tools that stop runs early."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from foretrain.curves.few_shot import LEAST_FINISHED
from foretrain.integrations.run_forecast import FloatArray, RunForecaster


@dataclass(frozen=True)
class SweepJudge:
    """Gives up runs that will hardly beat the best finished one.

    Attributes:
        forecaster: Foresees the runs.
        probability: A run that beats the best with less than this probability is given up.
        warmup: Values that a run shows before it can be given up.
        startup: Runs that finish before any is given up.
    """

    forecaster: RunForecaster
    probability: float
    warmup: int
    startup: int

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise ValueError(f"probability is {self.probability}, between 0 and 1 is needed")
        if self.warmup < 1 or self.startup < LEAST_FINISHED:
            raise ValueError(
                f"warmup={self.warmup} must be at least 1 and startup={self.startup} at least {LEAST_FINISHED}"
            )

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
        shown = np.isfinite(curve).sum()
        if shown < self.warmup or len(finals) < self.startup or len(curve) >= self.forecaster.horizon:
            return False
        best = finals.max() if self.forecaster.mode == "max" else finals.min()
        found = self.forecaster.forecast(curve, finished, float(best))
        return found.probability is not None and found.probability < self.probability
