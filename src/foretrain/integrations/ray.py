"""A Ray Tune stopper that ends trials which will hardly beat the best one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from foretrain.errors import ConfigError
from foretrain.integrations.histories import stacked
from foretrain.integrations.run_forecast import MOST_FINISHED, Bounds, FloatArray, Mode, RunForecaster
from foretrain.integrations.sweep import SweepJudge
from foretrain.runtime.extras import import_extra

if TYPE_CHECKING:
    from ray.tune import Stopper
else:
    Stopper = import_extra("ray.tune", "ray").Stopper


class ForecastStopper(Stopper):
    """Stops a trial when the probability that it ends better than the best finished one falls below a threshold.

    A trial is finished when it reports at the horizon, where it is stopped too. The latest 30 finished trials teach the
    forecasts; until five have finished, a trial is foreseen by itself, with an allowance for what the others rose late
    (:meth:`~foretrain.integrations.run_forecast.RunForecaster.chance`). A trial is looked at after ``warmup`` reports
    and each time that it has got a third older. One that reports a value that is no number, or infinite, is stopped.
    The stopper's memory is saved and restored with the experiment by Ray.

    Args:
        metric: Name of the reported metric.
        horizon: ``training_iteration`` of the final report.
        mode: Whether the metric should rise (``max``) or fall (``min``).
        probability: A trial is stopped below this probability.
        warmup: Reports of a trial before it can be stopped.
        startup: Trials that finish before any is stopped.
        bounds: Lowest and highest value of the metric. None: a metric to maximise is a share of 1 or, as soon as a
            value exceeds 1, a percentage; one to minimise runs from 0 to where trials begin.

    Raises:
        ValueError: An argument is impossible.
    """

    def __init__(
        self,
        metric: str,
        horizon: int,
        mode: Mode = "max",
        probability: float = 0.1,
        warmup: int = 3,
        startup: int = 1,
        bounds: Bounds | None = None,
    ) -> None:
        self.metric = metric
        self.horizon = horizon
        self._judge = SweepJudge(RunForecaster(metric, horizon, mode, bounds), probability, warmup, startup)
        self._running: dict[str, FloatArray] = {}
        self._finished: list[FloatArray] = []
        self._finals: list[float] = []

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Returns whether the trial should stop after this report.

        Raises:
            ConfigError: A report has no such metric.
            DataError: The metric needs ``bounds``.
        """
        if self.metric not in result:
            raise ConfigError("metric", "a report has no such metric", self.metric, map(str, result))
        epoch = min(int(result["training_iteration"]), self.horizon)
        curve = self._running.setdefault(trial_id, np.full(self.horizon, np.nan))
        curve[epoch - 1] = result[self.metric]
        if epoch == self.horizon:
            self._finish(trial_id)
            return True
        return self._judge.is_hopeless(curve[:epoch], stacked(self._finished, self.horizon), self._finals)

    def stop_all(self) -> bool:
        """Returns False: no single trial ends an experiment."""
        return False

    def _finish(self, trial_id: str) -> None:
        curve = self._running.pop(trial_id)
        self._finals.append(float(curve[-1]))
        self._finished = [*self._finished, curve][-MOST_FINISHED:]
