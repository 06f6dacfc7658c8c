"""What ``predict.py task=curves`` does: forecasts for people's own runs."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import Field
from rich.console import Console

from foretrain.curves.distribution import fewest_for_interval
from foretrain.curves.families import DISTINCT
from foretrain.curves.few_shot import LEAST_FINISHED
from foretrain.curves.forecasting import CurveForecast, extrapolate
from foretrain.curves.grid import GridFitter
from foretrain.curves.observation import last_epochs
from foretrain.errors import ConfigError, DataError
from foretrain.evaluation.curves.figures import CurvePanel, curve_forecasts
from foretrain.evaluation.curves.reading import Columns, Runs, read_runs
from foretrain.evaluation.curves.units import Mode, Unit, UnitName, choose_unit
from foretrain.evaluation.figures import checked_figure
from foretrain.evaluation.report import print_table
from foretrain.evaluation.tables import checked_target, is_stream, name_of, write_table
from foretrain.metrics.error import mae
from foretrain.metrics.rank import spearman
from foretrain.runtime.study import Prediction

FloatArray = NDArray[np.float64]
_SEEN = (0.1, 0.25, 0.5, 0.75)
_FOLDS = 5
_PANELS = 9
_LOWER_IS_BETTER = re.compile(r"value: [^,]*(loss|error|perplexity|mae|mse)", re.IGNORECASE)


class PredictCurves(Prediction):
    """Forecasts the final values of partial learning curves in a table.

    Runs that reach the horizon are finished; where there are five or more, they teach how curves go on.

    Args:
        input: The table, see :func:`~foretrain.evaluation.curves.reading.read_runs`; ``-`` is standard input.
        output: The table to write, ``.csv``, ``.parquet`` or ``-`` for standard output: one row a run with columns
            ``run``, ``epochs``, ``last``, ``mean``, ``lower``, ``upper``, ``rank`` and ``probability_best``; None
            prints it for people.
        horizon: The final epoch; None takes the last epoch of the longest run.
        plot: The figure to write, or None.
        mode: Whether higher or lower values are better.
        unit: What the values are; ``guess`` takes maximised values within 0 to 1 for fractions and others for percent.
        level: Probability of the intervals.
        backtest: Whether to tell the error on the finished runs by the share of their curves that is seen.
        run_column: Column of the runs; None guesses it, and so for the others.
        epoch_column: Column of the epochs.
        value_column: Column, or name, of the metric.

    Raises:
        ConfigError: The output or the plot has an unknown ending.
        DataError: No file can be made where they go.
    """

    def __init__(
        self,
        input: str,  # noqa: A002 - the config's key
        output: str | None,
        horizon: Annotated[int, Field(ge=1)] | None = None,
        plot: str | None = None,
        mode: Mode = "max",
        unit: UnitName = "guess",
        level: Annotated[float, Field(gt=0, lt=1)] = 0.9,
        backtest: bool = False,
        run_column: str | None = None,
        epoch_column: str | None = None,
        value_column: str | None = None,
    ) -> None:
        self.input = input
        self.output = None if output is None else checked_target(output)
        self.plot = None if plot is None else checked_figure(plot)
        self.horizon = horizon
        self.mode = mode
        self.unit = unit
        self.level = level
        self.backtest = backtest
        self.columns = Columns(run_column, epoch_column, value_column)

    def run(self) -> None:
        """Reads, forecasts and writes; see :class:`foretrain.runtime.study.Prediction`."""
        runs = read_runs(self.input, self.columns)
        unit = choose_unit(runs.curves, self.mode, self.unit)
        _check_values(self.input, runs, unit)
        horizon = self.horizon or runs.curves.shape[1]
        if runs.curves.shape[1] > horizon:
            raise ConfigError("horizon", "lies before the end of a run", horizon, f">= {runs.curves.shape[1]}")
        curves = unit.to_percent(runs.curves)
        finished = last_epochs(curves) == horizon
        forecast = _forecast(curves, finished, horizon, self.level)
        self._write(forecast_table(runs, forecast, unit))
        if self.plot is not None:
            panels = _panels(runs, curves, forecast, unit, horizon)
            curve_forecasts(panels, self.plot, "value", f"{Path(name_of(self.input)).name}: {unit.said}")
        # a table on standard output is for another program: what people read goes beside it
        with redirect_stdout(sys.stderr) if self.output is not None and is_stream(self.output) else nullcontext():
            self._say(runs, unit, finished, horizon)
            if self.backtest:
                title = "Error on the finished runs by the share that is seen"
                print_table(backtest_table(curves[finished], unit), title)

    def _write(self, table: pd.DataFrame) -> None:
        if self.output is None:
            print_table(table, f"Forecasts of {name_of(self.input)}")
            return
        write_table(table, self.output)

    def _say(self, runs: Runs, unit: Unit, finished: NDArray[np.bool_], horizon: int) -> None:
        counted = f"{len(finished)} {'run' if len(finished) == 1 else 'runs'}"
        how = _how_foreseen(len(finished), int(finished.sum()), self.level)
        written = "" if self.output is None or is_stream(self.output) else f" Written: {self.output}"
        Console().print(
            f"{name_of(self.input)}: {'; '.join(runs.said)}; {unit.said}.{_doubt(runs, self.mode)}\n"
            f"{counted}, {finished.sum()} finished at epoch {horizon}; {how}.{written}",
            soft_wrap=True,
            highlight=False,
        )


def _doubt(runs: Runs, mode: Mode) -> str:
    wrong = mode == "max" and any(map(_LOWER_IS_BETTER.search, runs.said))
    return " Of such a metric lower values are better as a rule: the mode min is for those." if wrong else ""


def _how_foreseen(runs: int, finished: int, level: float) -> str:
    if finished == runs:
        return "nothing is left to foresee: a later horizon is needed for that"
    if finished < LEAST_FINISHED:
        return "too few finished to learn from, so intervals are wide"
    if finished < (needed := fewest_for_interval(level)):
        return (
            f"taught by the finished ones, but an interval of {level:.0%} needs {needed} of them: "
            "with fewer it is the whole scale"
        )
    return "taught by the finished ones"


def forecast_table(runs: Runs, forecast: CurveForecast, unit: Unit) -> pd.DataFrame:
    """Returns one row a run in the user's unit; rank 1 is the best forecast."""
    last = runs.curves[np.arange(len(runs.curves)), last_epochs(runs.curves) - 1]
    mean, ends = _in_unit(forecast, unit)
    order = np.argsort(-forecast.mean, kind="stable") if forecast.mean is not None else np.arange(len(last))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    return pd.DataFrame(
        {
            "run": runs.names,
            "epochs": last_epochs(runs.curves),
            "last": last,
            "mean": mean,
            "lower": ends[0],
            "upper": ends[1],
            "rank": rank,
            "probability_best": forecast.probability_best(),
        }
    )


def backtest_table(finished: FloatArray, unit: Unit) -> pd.DataFrame:
    """Returns error and ranking on finished runs by the share of the epochs that is seen.

    With ten runs or more each fifth is foreseen with the help of the others, else all without help.

    Args:
        finished: ``[m, horizon]``, percent.
        unit: The user's unit, for the errors.
    """
    rows = []
    horizon = finished.shape[1]
    scale = abs(unit.best - unit.worst) / 100
    for epochs in sorted({max(1, round(share * horizon)) for share in _SEEN}):
        if len(finished) < 2:
            break
        mean = _held_out(finished, epochs)
        final, best = finished[:, -1], np.nanmax(finished[:, :epochs], axis=1)
        rows.append(
            {
                "epochs seen": epochs,
                "error": scale * mae(final, mean),
                "error of best so far": scale * mae(final, best),
                "Spearman": spearman(final, mean),
                "Spearman of best so far": spearman(final, best),
            }
        )
    return pd.DataFrame(
        rows, columns=["epochs seen", "error", "error of best so far", "Spearman", "Spearman of best so far"]
    )


def _held_out(finished: FloatArray, epochs: int) -> FloatArray:
    """Forecasts ``[m]`` of finished runs from their first epochs, none taught by itself."""
    horizon = finished.shape[1]
    if len(finished) < 2 * _FOLDS:
        return _mean(extrapolate(finished[:, :epochs], horizon))
    means = np.empty(len(finished))
    for fold in range(_FOLDS):
        rows = np.arange(len(finished)) % _FOLDS == fold
        means[rows] = _mean(extrapolate(finished[rows, :epochs], horizon, finished=finished[~rows]))
    return means


def _forecast(curves: FloatArray, finished: NDArray[np.bool_], horizon: int, level: float) -> CurveForecast:
    examples = curves[finished] if finished.sum() >= LEAST_FINISHED else None
    return extrapolate(curves, horizon, finished=examples, level=level)


def _mean(forecast: CurveForecast) -> FloatArray:
    return np.asarray(forecast.mean, dtype=np.float64)


def _in_unit(forecast: CurveForecast, unit: Unit) -> tuple[FloatArray, FloatArray]:
    """Means ``[n]`` and the ends ``[2, n]`` of the intervals, lower end first."""
    ends = np.stack([np.asarray(forecast.lower), np.asarray(forecast.upper)])
    return unit.from_percent(_mean(forecast)), np.sort(unit.from_percent(ends), axis=0)


def _panels(runs: Runs, curves: FloatArray, forecast: CurveForecast, unit: Unit, horizon: int) -> list[CurvePanel]:
    """The unfinished runs with the best forecasts; finished ones where there are no others."""
    lengths = last_epochs(curves)
    candidates = np.flatnonzero(lengths < horizon) if (lengths < horizon).any() else np.arange(len(curves))
    rows = candidates[np.argsort(-_mean(forecast)[candidates], kind="stable")][:_PANELS]
    epochs = np.arange(1.0, horizon + 1).tolist()
    fits = GridFitter(DISTINCT).fit(torch.from_numpy(curves[rows])).at(epochs)
    drawn = {name: unit.from_percent(values.clamp(0, 100).numpy()) for name, values in fits.items()}
    mean, ends = _in_unit(forecast, unit)
    return [
        CurvePanel(
            runs.names[row],
            runs.curves[row],
            {name: values[place] for name, values in drawn.items()},
            float(mean[row]),
            float(ends[0, row]),
            float(ends[1, row]),
        )
        for place, row in enumerate(rows)
    ]


def _check_values(source: str, runs: Runs, unit: Unit) -> None:
    if not unit.bounded:
        return
    low, high = sorted((unit.worst, unit.best))
    with np.errstate(invalid="ignore"):
        bad = (runs.curves < low) | (runs.curves > high)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        problem = (
            f"line {runs.lines[row, column]} (run {runs.names[row]}, epoch {column + 1}) has the value "
            f"{runs.curves[row, column]:g}, outside {low:g} to {high:g}"
        )
        raise DataError(name_of(source), problem, "Correct it, or take the unit free: a metric without bounds")
