"""An Optuna pruner that stops trials which will hardly beat the best one."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from foretrain.integrations.run_forecast import MOST_FINISHED, Bounds, FloatArray, Mode, RunForecaster
from foretrain.integrations.sweep import SweepJudge
from foretrain.runtime.extras import import_extra

if TYPE_CHECKING:
    import optuna
else:
    optuna = import_extra("optuna", "baselines")


class ForecastPruner(optuna.pruners.BasePruner):
    """Prunes a trial when the probability that its value will beat the best so far falls below a threshold.

    The value that a trial returns is foreseen from what it has reported. The latest 30 finished trials of the study
    teach the forecast, so that a decision takes a bounded time in a study of any size; until five have finished, a
    trial is foreseen by itself, with an allowance for what the others rose late
    (:meth:`~foretrain.integrations.run_forecast.RunForecaster.chance`). A trial is looked at after ``warmup`` reports
    and each time that it has got a third older. The values that trials return must be in the unit of what they report.
    A trial that reports a value that is no number, or infinite, is pruned.

    Reports may be at steps 0, 1, ... or 1, 2, ..., or every n steps. The pruner keeps no state but what it has worked
    out for the latest finished trials: any number of processes can work on one storage.

    Args:
        final_step: The last step that an unpruned trial reports.
        probability: A trial is pruned below this probability.
        warmup: Reports of a trial before it can be pruned.
        startup: Trials that finish before any is pruned.
        bounds: Lowest and highest value of what is optimised. None: what is maximised is a share of 1 or, as soon as a
            value exceeds 1, a percentage; what is minimised runs from 0 to where trials begin.

    Raises:
        ValueError: An argument is impossible.
    """

    def __init__(
        self,
        final_step: int,
        probability: float = 0.1,
        warmup: int = 3,
        startup: int = 1,
        bounds: Bounds | None = None,
    ) -> None:
        if final_step < 1:
            raise ValueError(f"final_step is {final_step}, at least 1 is needed")
        self.final_step = final_step
        self.probability = probability
        self.warmup = warmup
        self.startup = startup
        self.bounds = bounds
        self._judge("max", final_step)  # raises where an argument is impossible

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Returns whether the trial should stop after its last report.

        Raises:
            DataError: The values need ``bounds``.
        """
        if not trial.intermediate_values:
            return False
        grid = _StepGrid.of(trial.intermediate_values, self.final_step)
        states = (optuna.trial.TrialState.COMPLETE,)
        done = study.get_trials(deepcopy=False, states=states)
        finished = [grid.finished_curve(other.intermediate_values, other.values[0]) for other in done[-MOST_FINISHED:]]
        mode: Mode = "max" if study.direction is optuna.study.StudyDirection.MAXIMIZE else "min"
        return self._judge(mode, grid.horizon).is_hopeless(
            grid.curve(trial.intermediate_values),
            np.stack(finished) if finished else np.empty((0, grid.horizon)),
            [other.values[0] for other in done],
        )

    def _judge(self, mode: Mode, horizon: int) -> SweepJudge:
        forecaster = RunForecaster("what the trials report", horizon, mode, self.bounds)
        return SweepJudge(forecaster, self.probability, self.warmup, self.startup)


@dataclass(frozen=True)
class _StepGrid:
    """The epochs that steps stand for.

    Attributes:
        unit: Steps between two reports: the greatest common divisor of all steps.
        first: The epoch of step 0.
        horizon: The epoch of the final step.
    """

    unit: int
    first: int
    horizon: int

    @classmethod
    def of(cls, steps: Collection[int], final_step: int) -> _StepGrid:
        unit = math.gcd(*steps) or 1
        first = int(0 in steps)
        return cls(unit, first, final_step // unit + first)

    def curve(self, reports: Mapping[int, float]) -> FloatArray:
        """Returns what was reported ``[t]`` up to the last report."""
        return self._filled(reports)[: max(map(self._epoch, reports))]

    def finished_curve(self, reports: Mapping[int, float], value: float) -> FloatArray:
        """Returns what a finished trial reported ``[horizon]``, with what it returned at the end."""
        curve = self._filled(reports)
        curve[-1] = value
        return curve

    def _epoch(self, step: int) -> int:
        return min(max(step // self.unit + self.first, 1), self.horizon)

    def _filled(self, reports: Mapping[int, float]) -> FloatArray:
        curve = np.full(self.horizon, np.nan)
        for step in sorted(reports):
            curve[self._epoch(step) - 1] = reports[step]
        return curve
