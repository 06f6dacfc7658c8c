"""Every predictor on the same splits of a benchmark, job by job."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from foretrain.benchmarks.table import Rows, Split
from foretrain.benchmarks.task import BenchmarkTask
from foretrain.errors import DataError
from foretrain.predictors.base import FloatArray, PredictorFactory
from foretrain.runtime.parallel import ParallelMap, Record
from foretrain.runtime.seeding import derive_seed


@dataclass(frozen=True)
class Draw:
    """Which networks are learned from and judged on.

    Attributes:
        n_train: Networks to learn from.
        n_test: Networks to judge on.
        trials: Number of splits.
        scores: Series of scores that the predictors are given.
        scores_dataset: Data set of the scores; None where the benchmark has only one.
        with_score: Draw only from the networks for which this score is known; None draws from all.
        seed: Seed of the splits.
    """

    n_train: int
    n_test: int
    trials: int
    scores: tuple[str, ...] = ()
    scores_dataset: str | None = None
    with_score: str | None = None
    seed: int = 0

    def among(self, task: BenchmarkTask) -> Rows:
        """Returns the rows to draw from: those whose accuracy, and ``with_score`` where it is set, is known.

        Raises:
            DataError: The benchmark has no such score.
        """
        if self.with_score is None:
            return task.known
        score = task.benchmark.scores(self.with_score, None, self.scores_dataset)
        return task.known[~np.isnan(score[task.known])]

    def split(self, task: BenchmarkTask, trial: int) -> Split:
        """Returns the rows of a trial; larger training sets hold the smaller ones, the test set stays.

        Raises:
            DataError: There are fewer networks than asked for.
        """
        seed = derive_seed(self.seed, "trial", trial)
        return task.benchmark.split(self.n_train, self.n_test, seed, among=self.among(task))

    def score_columns(self, task: BenchmarkTask, rows: Rows) -> dict[str, FloatArray] | None:
        """Returns the scores of some rows, None where none are asked for."""
        if not self.scores:
            return None
        return {name: task.benchmark.scores(name, rows, self.scores_dataset) for name in self.scores}


@dataclass(frozen=True)
class Job:
    """One predictor on one split.

    Attributes:
        make: Makes the predictor.
        task: The benchmark and what is foreseen.
        draw: How networks are drawn.
        trial: Number of the split.
    """

    make: PredictorFactory
    task: BenchmarkTask
    draw: Draw
    trial: int


def evaluate(
    predictors: Mapping[str, PredictorFactory],
    benchmark: BenchmarkTask,
    draw: Draw,
    parallel: ParallelMap,
    folder: str | Path,
) -> pd.DataFrame:
    """Runs all predictors on the same splits, in parallel; what is finished stays in ``folder`` and is not run again.

    Args:
        predictors: What makes each predictor, by its name in tables.
        benchmark: The benchmark and what is foreseen.
        draw: The splits.
        parallel: Runs the jobs.
        folder: Where each job leaves its record.

    Returns:
        One row a predictor, trial and test network: ``predictor``, ``trial``, ``row``, ``truth`` and ``mean`` in
        percent (NaN where a predictor only ranks), ``score``, ``fit_seconds`` and ``query_seconds`` of the processor.

    Raises:
        DataError: There are too few networks.
        ItemsFailedError: A predictor failed on a split.
    """
    draw.split(benchmark, 0)
    unopened = BenchmarkTask(benchmark.name, benchmark.target, benchmark.judge)
    jobs = {
        f"{name}-{trial:03d}": Job(make, unopened, draw, trial)
        for trial in range(draw.trials)
        for name, make in predictors.items()
    }
    records = parallel(run_job, jobs, folder, "fitting predictors")
    names = [name for _ in range(draw.trials) for name in predictors]
    parts = [_table(name, record) for name, record in zip(names, records.values(), strict=True)]
    return pd.concat(parts, ignore_index=True)


def run_job(job: Job) -> Record:
    """Fits and queries one predictor on one split.

    The split decides the predictor's seed too. The first call of everything is slower; encodings of both sets are made
    inside the times.
    """
    task = opened(job.task)
    train, test = job.draw.split(task, job.trial)
    archs = task.benchmark.architectures
    scores = job.draw.score_columns(task, train), job.draw.score_columns(task, test)
    predictor = job.make(space=task.space, seed=derive_seed(job.draw.seed, "predictor", job.trial))
    started = time.process_time()
    predictor.fit(archs[torch.from_numpy(train)], task.accuracy[train], scores[0])
    fitted = time.process_time()
    forecast = predictor.predict(archs[torch.from_numpy(test)], scores[1])
    done = time.process_time()
    mean = np.full(len(test), np.nan) if forecast.mean is None else forecast.mean
    return {
        "trial": job.trial,
        "row": test.tolist(),
        "truth": task.accuracy[test].tolist(),
        "score": np.asarray(forecast.score).tolist(),
        "mean": np.asarray(mean).tolist(),
        "fit_seconds": fitted - started,
        "query_seconds": done - fitted,
    }


def cost_forecasts(task: BenchmarkTask, draw: Draw, names: Sequence[str] = ("parameters", "flops")) -> pd.DataFrame:
    """Returns, for the same splits, what ranking by the networks' costs gives, where the benchmark has them."""
    parts = []
    for name in names:
        cost = _cost(task, name)
        if cost is None:
            continue
        for trial in range(draw.trials):
            test = draw.split(task, trial).test
            known = test[~np.isnan(cost[test])]
            columns = {"predictor": name, "trial": trial, "row": known, "truth": task.accuracy[known]}
            parts.append(pd.DataFrame(columns | {"score": cost[known], "mean": np.nan}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


@lru_cache(maxsize=1)
def opened(task: BenchmarkTask) -> BenchmarkTask:
    """Returns the task of this process, whose benchmark stays open from one job to the next."""
    return task


def _cost(task: BenchmarkTask, name: str) -> FloatArray | None:
    """A cost of the networks for the data set that is foreseen, or judged, or the only one."""
    datasets = (task.target.dataset, task.judge.dataset if task.judge else None, None)
    for dataset in dict.fromkeys(datasets):
        try:
            return task.benchmark.cost(None, name, dataset)
        except DataError:
            continue
    return None


def _table(name: str, record: Record) -> pd.DataFrame:
    table = pd.DataFrame(record)
    table.insert(0, "predictor", name)
    return table
