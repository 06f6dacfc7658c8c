"""How well final values are foreseen from partial curves, method by method."""

from __future__ import annotations

import time
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from foretrain.benchmarks.task import BenchmarkTask
from foretrain.curves.families import DISTINCT
from foretrain.curves.grid import GridFitter
from foretrain.curves.published import PUBLISHED
from foretrain.evaluation.curves.figures import CurvePanel, curve_forecasts
from foretrain.evaluation.curves.judging import Answer, zero_shot, zero_shot_answers, zero_shot_table
from foretrain.evaluation.curves.population import CurvePopulation, curve_population
from foretrain.evaluation.curves.report import write_ensembles_report
from foretrain.evaluation.curves.source_fit import SourceFit, fit_errors
from foretrain.evaluation.curves.splits import SplitForecasts, few_shot_table, forecasts_by_split, split_table
from foretrain.evaluation.figures import lines_with_bands
from foretrain.runtime.progress import progress_bar
from foretrain.runtime.study import RunContext, Study

Share = Annotated[float, Field(gt=0, lt=1)]
_PANELS = 6
_STAGES = 20


class CurveEnsembles(Study):
    """Foresees every network from a share of its curve: with nothing finished, and with a few finished runs.

    Args:
        benchmark: Where the curves come from; the target says which.
        shares: Shares of the epochs that are observed.
        networks: So many networks; None takes all with a whole curve.
        finished: Runs that are finished in the few-shot setting.
        splits: Random splits into finished and other runs.
        level: Probability of the intervals.
        with_scipy: Whether SciPy's loop is run too, which takes a second for a dozen curves.
        convergence_seconds: Time of each of the ten published models on the average curve (figure of convergence).
        steps_per_second: See :class:`~foretrain.evaluation.curves.source_fit.SourceFit`.
    """

    def __init__(
        self,
        benchmark: BenchmarkTask,
        shares: Annotated[list[Share], Field(min_length=1)],
        networks: Annotated[int, Field(ge=3)] | None = None,
        finished: Annotated[int, Field(ge=5)] = 30,
        splits: Annotated[int, Field(ge=1)] = 200,
        level: Share = 0.9,
        with_scipy: bool = True,
        convergence_seconds: Annotated[float, Field(gt=0)] = 40.0,
        steps_per_second: Annotated[int, Field(ge=1)] = 100,
    ) -> None:
        self.benchmark = benchmark
        self.shares = shares
        self.networks = networks
        self.finished = finished
        self.splits = splits
        self.level = level
        self.with_scipy = with_scipy
        self.convergence_seconds = convergence_seconds
        self.steps_per_second = steps_per_second

    def run(self, context: RunContext) -> dict[str, float]:
        """Does the study; see :class:`foretrain.runtime.study.Study`."""
        started = time.perf_counter()
        population = curve_population(self.benchmark, self.networks, context.seed)
        observed = sorted({max(2, round(share * population.horizon)) for share in self.shares})
        zero, few, by_split, predictions = [], [], [], []
        with progress_bar("foreseeing curves", total=len(observed)) as advance:
            for epochs in observed:
                answers = zero_shot_answers(population, epochs, self.level, self.with_scipy)
                zero.append(zero_shot_table(population, answers, context.seed).assign(epochs=epochs))
                forecasts = self._few_shot(population, epochs, context.seed, answers)
                few.append(few_shot_table(population.final, forecasts, context.seed).assign(epochs=epochs))
                by_split.append(split_table(population.final, forecasts).assign(epochs=epochs))
                predictions.append(prediction_table(population, epochs, self.level))
                advance()
        zero_table, few_table = pd.concat(zero, ignore_index=True), pd.concat(few, ignore_index=True)
        split_rows = pd.concat(by_split, ignore_index=True)
        context.folder.write_metrics(ensemble_metrics(zero_table, few_table))
        context.folder.write_predictions(pd.concat(predictions, ignore_index=True))
        context.folder.write_provenance(context.seed, {self.benchmark.name: self.benchmark.benchmark.sha256})
        title = self.benchmark.benchmark.description.title
        convergence = self._convergence(population, observed[0])
        labels = ("seconds of the source", "mean absolute error\non the observed epochs (points)")
        figures = context.folder.figures
        lines_with_bands(convergence, figures / "convergence.png", "Convergence on the average curve", labels, title)
        curve_forecasts(_panels(population, observed[0], self.level), figures / "curves.png", "accuracy (%)", title)
        write_ensembles_report(
            context, title, population, (zero_table, few_table, split_rows), (self.finished, self.level)
        )
        return {"study": time.perf_counter() - started}

    def _few_shot(
        self, population: CurvePopulation, epochs: int, seed: int, untaught: dict[str, Answer]
    ) -> dict[str, SplitForecasts]:
        finished = min(self.finished, len(population.valid) - 3)
        return forecasts_by_split(population, epochs, finished, self.splits, self.level, seed, untaught)

    def _convergence(self, population: CurvePopulation, epochs: int) -> pd.DataFrame:
        """Mean absolute error of the ten published models on the average partial curve, over time."""
        average = population.valid[:, :epochs].mean(axis=0, keepdims=True)
        fit = SourceFit(learning_rate=0.1, models=tuple(PUBLISHED), steps_per_second=self.steps_per_second)
        last = max(_STAGES, round(self.convergence_seconds * self.steps_per_second))
        stages = sorted({max(1, round(last * part / _STAGES)) for part in range(1, _STAGES + 1)})
        rows = []
        for steps, module in fit.stages(average, stages):
            for name, error in zip(module.models, fit_errors(module, average), strict=True):
                rows.append({"method": name, "x": steps / self.steps_per_second, "value": min(error, 100.0)})
        return pd.DataFrame(rows).assign(lower=np.nan, upper=np.nan)


def ensemble_metrics(zero: pd.DataFrame, few: pd.DataFrame) -> dict[str, float]:
    """Returns ``zero_shot/METHOD/spearman@T``, ``few_shot/METHOD/mae@T``, ... (means over splits) as flat names."""
    metrics = {}
    for row in zero.to_dict("records"):
        for name in ("spearman", "mae", "over_best", "over_train"):
            if name in row and not pd.isna(row[name]):
                metrics[f"zero_shot/{_key(row['method'])}/{name}@{row['epochs']}"] = float(row[name])
    for row in few.to_dict("records"):
        for name in ("mae", "spearman", "coverage", "width"):
            if not pd.isna(row[name]):
                metrics[f"few_shot/{_key(row['method'])}/{name}@{row['epochs']}"] = float(row[name])
    return metrics


def prediction_table(population: CurvePopulation, epochs: int, level: float) -> pd.DataFrame:
    """Returns one row a network: the zero-shot forecast after so many epochs."""
    forecast = zero_shot(population, epochs, level)
    return pd.DataFrame(
        {
            "row": population.rows,
            "epochs": epochs,
            "score": forecast.score,
            "mean": forecast.mean,
            "lower": forecast.lower,
            "upper": forecast.upper,
            "truth": population.final,
        }
    )


def _key(method: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in method).replace("__", "_").strip("_")


def _panels(population: CurvePopulation, epochs: int, level: float) -> list[CurvePanel]:
    """Networks spread evenly over the ranking of their final values."""
    order = np.argsort(population.final)
    rows = order[np.linspace(0, len(order) - 1, min(_PANELS, len(order))).round().astype(int)]
    observed = population.valid[rows, :epochs]
    fits = GridFitter(DISTINCT).fit(torch.from_numpy(observed)).at(np.arange(1.0, population.horizon + 1).tolist())
    forecast = zero_shot(population, epochs, level)
    bounded = {name: values.clamp(0, 100).numpy() for name, values in fits.items()}
    if forecast.mean is None or forecast.lower is None or forecast.upper is None:
        raise RuntimeError("forecasts of curves have means and intervals")
    return [
        CurvePanel(
            f"network {population.rows[row]}",
            observed[place],
            {name: values[place] for name, values in bounded.items()},
            float(forecast.mean[row]),
            float(forecast.lower[row]),
            float(forecast.upper[row]),
            population.valid[row],
        )
        for place, row in enumerate(rows)
    ]
