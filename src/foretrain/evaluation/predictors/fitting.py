"""One predictor, judged on held-out networks and then kept for use."""

from __future__ import annotations

import functools
import time
from typing import Annotated, Any, cast

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from foretrain.benchmarks.task import BenchmarkTask
from foretrain.errors import ConfigError
from foretrain.evaluation.figures import forecast_scatter
from foretrain.evaluation.predictors.comparison import Draw, Job, cost_forecasts, run_job
from foretrain.evaluation.predictors.judging import flat_metrics, judge_trials
from foretrain.evaluation.report import markdown_table, print_table
from foretrain.predictors.base import PredictorFactory
from foretrain.predictors.persistence import save_predictor
from foretrain.predictors.regressor import Regressor
from foretrain.runtime.seeding import derive_seed
from foretrain.runtime.study import RunContext, Study

NAME = "predictor"


class FitPredictor(Study):
    """Fits a predictor on a benchmark's networks and leaves it as ``checkpoints/final.ckpt``, for ``predict.py``.

    It is judged on ``n_test`` networks that it was not fitted on, beside the networks' costs; what is kept was then
    fitted on these too.

    Args:
        benchmark: The benchmark and what is foreseen.
        predictor: What makes the predictor.
        n_train: Networks to learn from while it is judged.
        n_test: Other networks to judge it on.
        given_scores: Series of scores that the predictor is given.
        scores_dataset: Data set of the scores; None where the benchmark has only one.

    Raises:
        ConfigError: The predictor only ranks, and such are not kept as files.
    """

    def __init__(
        self,
        benchmark: BenchmarkTask,
        predictor: PredictorFactory,
        n_train: Annotated[int, Field(ge=2)] = 121,
        n_test: Annotated[int, Field(ge=2)] = 100,
        given_scores: list[str] | None = None,
        scores_dataset: str | None = None,
    ) -> None:
        kind = predictor.func if isinstance(predictor, functools.partial) else predictor
        if not (isinstance(kind, type) and issubclass(kind, Regressor)):
            raise ConfigError("predictor", "cannot be kept as a file", getattr(kind, "__name__", kind), "a regressor")
        self.benchmark = benchmark
        self.predictor = predictor
        self.n_train = n_train
        self.n_test = n_test
        self.given_scores = tuple(given_scores or ())
        self.scores_dataset = scores_dataset

    def run(self, context: RunContext) -> dict[str, float]:
        """Does the study; see :class:`foretrain.runtime.study.Study`."""
        started = time.perf_counter()
        task, folder = self.benchmark, context.folder
        draw = Draw(self.n_train, self.n_test, 1, self.given_scores, self.scores_dataset, None, context.seed)
        forecasts = pd.DataFrame(run_job(Job(self.predictor, task, draw, 0))).assign(predictor=NAME)
        judged = judge_trials(pd.concat([forecasts, cost_forecasts(task, draw)], ignore_index=True))
        table = judged.drop(columns=["trial", "fit_seconds", "query_seconds"])
        kept = self._fit_on_all(draw)
        save_predictor(folder.checkpoints / "final.ckpt", kept)
        folder.write_metrics(flat_metrics(table))
        folder.write_predictions(forecasts.drop(columns=["fit_seconds", "query_seconds"]))
        folder.write_provenance(context.seed, {f"{task.name}/benchmark.json": task.benchmark.sha256})
        self._write_report(context, kept, table, forecasts)
        print_table(table, "On held-out networks")
        return {"run": time.perf_counter() - started}

    def _fit_on_all(self, draw: Draw) -> Regressor[Any]:
        task = self.benchmark
        split = draw.split(task, 0)
        rows = np.concatenate([split.train, split.test])
        predictor = cast(
            "Regressor[Any]", self.predictor(space=task.space, seed=derive_seed(draw.seed, "predictor", 0))
        )
        archs = task.benchmark.architectures[torch.from_numpy(rows)]
        predictor.fit(archs, task.accuracy[rows], draw.score_columns(task, rows))
        return predictor

    def _write_report(
        self, context: RunContext, kept: Regressor[Any], table: pd.DataFrame, forecasts: pd.DataFrame
    ) -> None:
        task, folder = self.benchmark, context.folder
        about = (
            f"{type(kept).__name__} fitted on {self.n_train} networks of {task.name}, judged on {self.n_test} others; "
            f"costs of the networks stand beside it. `checkpoints/final.ckpt` was then fitted on all "
            f"{self.n_train + self.n_test}."
        )
        sections = ["# A predictor for use", about, markdown_table(table)]
        if forecasts["mean"].notna().all():
            figure = folder.figures / "forecasts.png"
            forecast_scatter(forecasts["truth"], {NAME: forecasts["mean"]}, figure, about)
            sections.append("![Forecast over truth](figures/forecasts.png)")
        command = f"python predict.py task=predictor checkpoint={folder.path} input=architectures.csv output=-"
        needed = "".join(f", and its {name}" for name in kept.score_names)
        sections.append(f"```bash\n{command}\n```\n\nforesees the architectures in the column `arch`{needed}.")
        folder.write_report("\n\n".join(sections) + "\n")
