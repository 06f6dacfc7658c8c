"""The study that compares predictors on equal splits."""

from __future__ import annotations

import time
from typing import Annotated

import pandas as pd
from pydantic import Field

from foretrain.benchmarks.task import BenchmarkTask
from foretrain.errors import ConfigError
from foretrain.evaluation.predictors.comparison import Draw, cost_forecasts, evaluate
from foretrain.evaluation.predictors.judging import flat_metrics, judge_trials, seconds_table, summarise
from foretrain.evaluation.predictors.report import print_summary, write_report
from foretrain.predictors.base import PredictorFactory
from foretrain.runtime.study import RunContext, Study

Count = Annotated[int, Field(ge=1)]


class ComparePredictors(Study):
    """Fits all predictors on the same networks, again and again, and judges them on the same others.

    Args:
        benchmark: The benchmark; its target is what is foreseen and what judges.
        predictors: The predictors by name.
        n_train: Networks to learn from.
        n_test: Networks to judge on.
        trials: Number of splits.
        given_scores: Series of scores that the predictors are given.
        scores_dataset: Data set of the scores; None where the benchmark has only one.
        with_score: Draw only networks for which this score is known.
        only: Names of the predictors to run; None runs all.
        reference: The predictor that all are compared to; None takes the best.
    """

    def __init__(
        self,
        benchmark: BenchmarkTask,
        predictors: dict[str, PredictorFactory],
        n_train: Annotated[int, Field(ge=2)] = 121,
        n_test: Annotated[int, Field(ge=2)] = 100,
        trials: Count = 20,
        given_scores: list[str] | None = None,
        scores_dataset: str | None = None,
        with_score: str | None = None,
        only: list[str] | None = None,
        reference: str | None = None,
    ) -> None:
        for key, names in (("only", only or []), ("reference", [reference] if reference else [])):
            if unknown := set(names) - predictors.keys():
                raise ConfigError(key, "no such predictor", sorted(unknown), predictors)
        self.benchmark = benchmark
        self.predictors = {name: predictors[name] for name in only or predictors}
        self.n_train = n_train
        self.n_test = n_test
        self.trials = trials
        self.given_scores = tuple(given_scores or ())
        self.scores_dataset = scores_dataset
        self.with_score = with_score
        self.reference = reference

    def run(self, context: RunContext) -> dict[str, float]:
        """Does the study; see :class:`foretrain.runtime.study.Study`."""
        started = time.perf_counter()
        draw = Draw(
            self.n_train,
            self.n_test,
            self.trials,
            self.given_scores,
            self.scores_dataset,
            self.with_score,
            context.seed,
        )
        folder = context.folder
        forecasts = evaluate(self.predictors, self.benchmark, draw, context.parallel, folder.path / "trials")
        ran = time.perf_counter() - started
        everything = pd.concat([forecasts, cost_forecasts(self.benchmark, draw)], ignore_index=True)
        trials = judge_trials(everything)
        summary, seconds = summarise(trials, context.seed, self.reference), seconds_table(trials)
        folder.write_metrics(flat_metrics(summary))
        folder.write_predictions(everything.drop(columns=["fit_seconds", "query_seconds"]))
        folder.write_table("comparison", summary)
        folder.write_provenance(
            context.seed, {f"{self.benchmark.name}/benchmark.json": self.benchmark.benchmark.sha256}
        )
        write_report(folder, self.benchmark, draw, trials, summary)
        print_summary(summary, seconds)
        return {"run": ran} | flat_metrics(seconds)
