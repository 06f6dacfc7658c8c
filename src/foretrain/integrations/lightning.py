"""A Lightning callback that foresees where a training will end, and stops it where that is not worth waiting for."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import wandb
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_info  # type: ignore[attr-defined] # no stub exports it
from numpy.typing import ArrayLike

from foretrain.curves.few_shot import LEAST_FINISHED
from foretrain.errors import ConfigError, ForetrainWarning
from foretrain.integrations.histories import read_histories
from foretrain.integrations.run_forecast import Bounds, FloatArray, Mode, RunForecast, RunForecaster

Action = Literal["log", "warn", "stop"]
_Shown = tuple[int, float, float, float]  # epoch, forecast, lower and upper end


class ForecastFinal(Callback):
    """After each validation, foresees the final value of a metric; warns of hopeless runs, or stops them.

    To all loggers go ``forecast/NAME`` with its interval ``forecast/NAME_lower`` and ``forecast/NAME_upper``, and
    ``forecast/probability``, that the run will end better than the target. The progress bar shows the first and the
    last. Weights & Biases gets a chart of forecast against truth at the end.

    A run is hopeless after ``patience`` validations in a row with a probability below ``probability``, of which a
    metric that is no number, or infinite, counts as one. Then the action follows, with the reason in
    :attr:`stop_reason`, on the console and among the loggers' hyperparameters as ``forecast_stop_reason``.

    Values may be in any unit: see :meth:`~foretrain.integrations.run_forecast.MetricScale.of`. Without finished runs a
    late fall of the learning rate cannot be foreseen, and the interval is wide; with five or more of the same task and
    schedule, forecasts and intervals are calibrated by them, best with ten or more (:mod:`foretrain.curves.few_shot`).
    Under a distributed strategy the first process decides and tells the others. All that the forecasts depend on is
    part of Lightning's checkpoints.

    Args:
        monitor: Name of the logged validation metric.
        horizon: Epoch of the final value; None: the last that the trainer validates.
        history: Finished runs: a folder or file that :func:`~foretrain.integrations.histories.read_histories` reads, or
            ``float[m, horizon]`` in the metric's unit. Those that do not end at the horizon are left aside.
        target: What the run should end better than; None: the best finished run.
        mode: Whether the metric should rise (``max``) or fall (``min``).
        action: What follows when the run is hopeless: nothing, a warning or the end of the training.
        probability: What is too little.
        patience: Validations in a row after which a run is hopeless.
        warmup: Validations before any counts.
        level: Probability that the interval should hold.
        bounds: Lowest and highest value of the metric; needed where it is neither a share of 1, a percentage nor a
            positive quantity that falls.

    Attributes:
        forecast: The latest, in the metric's unit; None before the first.
        stop_reason: Why the run is hopeless; None while it is not.

    Raises:
        ValueError: An argument is impossible.
    """

    forecast: RunForecast | None
    stop_reason: str | None
    _curve: list[float]
    _shown: list[_Shown]
    _finished: FloatArray

    def __init__(
        self,
        monitor: str,
        horizon: int | None = None,
        history: str | Path | ArrayLike | None = None,
        target: float | None = None,
        *,
        mode: Mode = "max",
        action: Action = "log",
        probability: float = 0.05,
        patience: int = 3,
        warmup: int = 5,
        level: float = 0.9,
        bounds: Bounds | None = None,
    ) -> None:
        if action not in ("log", "warn", "stop"):
            raise ValueError(f"action is {action!r}, 'log', 'warn' or 'stop' is needed")
        if not 0 < probability < 1 or patience < 1 or warmup < 0:
            raise ValueError(
                f"probability={probability} must be between 0 and 1, patience={patience} at least 1, "
                f"warmup={warmup} at least 0"
            )
        if action != "log" and target is None and history is None:
            raise ValueError(f"action={action!r} needs a target, or a history whose best run is the target")
        self.monitor = monitor
        self.horizon = horizon
        self.history = history
        self.target = target
        self.action = action
        self.probability = probability
        self.patience = patience
        self.warmup = warmup
        self._forecaster = RunForecaster(monitor, horizon or 1, mode, bounds, level)
        self._reset()

    @property
    def state_key(self) -> str:
        """The key of the state in a checkpoint: several callbacks with different monitors may be used at once."""
        return self._generate_state_key(monitor=self.monitor)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Reads the finished runs and forgets an earlier training, unless this trainer goes on with it.

        Raises:
            ConfigError: There is no horizon.
            DataError: The history cannot be read.
        """
        if stage != "fit" or trainer.global_step > 0:
            return
        self._reset()
        horizon = self.horizon or _last_validated_epoch(trainer)
        forecaster = self._forecaster
        self._forecaster = RunForecaster(self.monitor, horizon, forecaster.mode, forecaster.bounds, forecaster.level)
        self._finished = trainer.strategy.broadcast(self._read_finished() if trainer.is_global_zero else self._finished)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Learns from the finished runs once, for all validations to come."""
        every = trainer.check_val_every_n_epoch or 1
        end = self._forecaster.horizon
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            end = min(end, trainer.max_epochs + 1)
        lengths = [epoch for epoch in range(every, end, every) if epoch > trainer.current_epoch]
        self._forecaster.calibrate(self._finished, lengths)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Foresees, shows and decides.

        Raises:
            ConfigError: The monitored metric is not logged.
            DataError: The metric needs ``bounds``.
        """
        epoch = trainer.current_epoch + 1
        if trainer.sanity_checking or trainer.state.fn != "fit" or epoch > self._forecaster.horizon:
            return
        value = trainer.strategy.broadcast(self._monitored(trainer))
        self._observe(epoch, value)
        # all compute, so that an error ends all; the first one's word counts
        self.forecast = trainer.strategy.broadcast(self._foresee())
        self._show(trainer, epoch)
        self._judge(trainer, epoch, value)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws forecast against truth on Weights & Biases."""
        if not trainer.is_global_zero or not self._shown:
            return
        epochs, *forecasts = (list(column) for column in zip(*self._shown, strict=True))
        truth = [self._curve[epoch - 1] for epoch in epochs]
        keys = [self.monitor, "forecast", "lower", "upper"]
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                title = f"{self.monitor}: forecasts of epoch {self._forecaster.horizon} against truth"
                chart = wandb.plot.line_series(epochs, [truth, *forecasts], keys=keys, title=title, xname="epoch")
                logger.experiment.log({f"forecast/{self.monitor}_against_truth": chart})

    def state_dict(self) -> dict[str, Any]:
        """Returns what was observed, foreseen and learnt from, as plain numbers and tensors."""
        forecast = self.forecast
        return {
            "curve": list(self._curve),
            "validations": self._validations,
            "hopeless": self._hopeless,
            "shown": [list(row) for row in self._shown],
            "finished": torch.from_numpy(self._finished.copy()),
            "forecast": forecast and [forecast.mean, forecast.lower, forecast.upper, forecast.probability],
            "stop_reason": self.stop_reason,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from what :meth:`state_dict` returned, with the finished runs of that time."""
        self._curve = list(state_dict["curve"])
        self._validations = state_dict["validations"]
        self._hopeless = state_dict["hopeless"]
        self._shown = [tuple(row) for row in state_dict["shown"]]
        self._finished = state_dict["finished"].numpy()
        self.forecast = state_dict["forecast"] and RunForecast(*state_dict["forecast"])
        self.stop_reason = state_dict["stop_reason"]

    def _reset(self) -> None:
        self._curve = []
        self._validations = 0
        self._hopeless = 0
        self._shown = []
        self._finished = np.empty((0, self._forecaster.horizon))
        self.forecast = None
        self.stop_reason = None

    def _read_finished(self) -> FloatArray:
        """``[m, horizon]``, the runs of the history that end at the horizon."""
        horizon = self._forecaster.horizon
        if self.history is None:
            return np.empty((0, horizon))
        given = self.history
        curves = (
            read_histories(given, self.monitor)
            if isinstance(given, (str, Path))
            else np.array(given, dtype=np.float64, ndmin=2)
        )
        known = np.isfinite(curves)
        ends = (known * np.arange(1, curves.shape[1] + 1)).max(axis=1, initial=0)
        finished: FloatArray = curves[ends == horizon][:, :horizon]
        if len(finished) < LEAST_FINISHED:
            found = ", ".join(
                f"{count} at {end}" for end, count in zip(*np.unique(ends, return_counts=True), strict=True)
            )
            text = f"history: {len(finished)} runs end at epoch {horizon}, {LEAST_FINISHED} are needed to learn from"
            warnings.warn(f"{text}; runs end: {found}", ForetrainWarning, stacklevel=2)
        return finished

    def _monitored(self, trainer: Trainer) -> float:
        if self.monitor not in trainer.callback_metrics:
            names = [name for name in trainer.callback_metrics if not name.startswith("forecast/")]
            problem = "no metric of this name is logged by the end of a validation"
            raise ConfigError("monitor", problem, self.monitor, sorted(names) or "none: log one with self.log")
        return float(trainer.callback_metrics[self.monitor])

    def _observe(self, epoch: int, value: float) -> None:
        """Keeps the value; the last validation of an epoch stands for it."""
        self._curve += [float("nan")] * (epoch - len(self._curve))
        self._curve[epoch - 1] = value
        self._validations += 1

    def _foresee(self) -> RunForecast | None:
        curve = np.array(self._curve)
        if not np.isfinite(curve).any():
            return None
        return self._forecaster.forecast(curve, self._finished, self._goal())

    def _goal(self) -> float | None:
        """What the run should beat."""
        finals = self._finished[:, -1]
        if self.target is not None or not len(finals):
            return self.target
        return float(finals.max() if self._forecaster.mode == "max" else finals.min())

    def _show(self, trainer: Trainer, epoch: int) -> None:
        if self.forecast is None:
            return
        found = self.forecast
        self._shown = [row for row in self._shown if row[0] != epoch]
        self._shown.append((epoch, found.mean, found.lower, found.upper))
        name = f"forecast/{self.monitor}"
        metrics = {name: found.mean, f"{name}_lower": found.lower, f"{name}_upper": found.upper}
        if found.probability is not None:
            metrics["forecast/probability"] = found.probability
        for logger in trainer.loggers:
            logger.log_metrics({**metrics, "epoch": trainer.current_epoch}, step=trainer.global_step)
        trainer.callback_metrics.update({key: torch.tensor(value) for key, value in metrics.items()})
        bar = {name: found.mean, "P(target)": found.probability}
        trainer.progress_bar_metrics.update({key: value for key, value in bar.items() if value is not None})

    def _judge(self, trainer: Trainer, epoch: int, value: float) -> None:
        """Counts hopeless validations and acts once they are too many."""
        self._hopeless = self._hopeless + 1 if self._looks_hopeless(value) else 0
        if self._hopeless < self.patience or epoch == self._forecaster.horizon:
            self.stop_reason = None
            return
        is_new = self.stop_reason is None
        self.stop_reason = self._reason(epoch, value)
        if is_new:
            self._announce(trainer, self.stop_reason)
        if self.action == "stop":
            trainer.should_stop = True

    def _looks_hopeless(self, value: float) -> bool:
        if self._validations <= self.warmup or self._goal() is None:
            return False
        if not np.isfinite(value) or self.forecast is None or self.forecast.probability is None:
            return True
        return self.forecast.probability < self.probability

    def _announce(self, trainer: Trainer, reason: str) -> None:
        for logger in trainer.loggers:
            logger.log_hyperparams({"forecast_stop_reason": reason})
        if self.action == "stop":
            rank_zero_info(f"The training stops. {reason}")
        elif self.action == "warn" and trainer.is_global_zero:
            warnings.warn(reason, ForetrainWarning, stacklevel=2)

    def _reason(self, epoch: int, value: float) -> str:
        place = f"epoch {epoch} of {self._forecaster.horizon}: {self.monitor}"
        if self.forecast is None or not np.isfinite(value):
            return f"{place} is {value}, {self._hopeless} hopeless validations in a row"
        found, goal = self.forecast, self._goal()
        interval = f"{found.lower:.4g} to {found.upper:.4g} with {self._forecaster.level:.0%}"
        return (
            f"{place} is foreseen to end at {found.mean:.4g} ({interval}); the probability to beat {goal:.4g} is "
            f"{found.probability:.2g}, {self._hopeless} validations in a row below {self.probability:g}"
        )


def _last_validated_epoch(trainer: Trainer) -> int:
    if trainer.max_epochs is None or trainer.max_epochs < 1:
        raise ConfigError("horizon", "the trainer has no max_epochs to take it from", None, "the final epoch")
    every = trainer.check_val_every_n_epoch or 1
    return max(trainer.max_epochs // every * every, 1)
