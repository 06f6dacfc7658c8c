"""A comparison of predictors as one call that gives one table."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from foretrain.benchmarks.task import BenchmarkTask, Target
from foretrain.errors import ConfigError
from foretrain.evaluation.predictors.comparison import Draw, cost_forecasts, evaluate
from foretrain.evaluation.predictors.judging import judge_trials, summarise
from foretrain.predictors.base import PredictorFactory
from foretrain.runtime.parallel import ParallelMap


def compare(
    predictors: Mapping[str, PredictorFactory],
    benchmark: str | Path,
    dataset: str | None = None,
    split: str | None = None,
    n_train: int = 121,
    n_test: int = 100,
    trials: int = 10,
    seed: int = 0,
    workers: int | None = 1,
    folder: str | Path | None = None,
) -> pd.DataFrame:
    """Fits predictors on the same networks of a benchmark, again and again, and judges them on the same others.

    Args:
        predictors: By the name that the table shows: a predictor's class, or a partial of one with its options.
        benchmark: Name or folder of a benchmark.
        dataset: The data set whose final accuracy is foreseen; None takes the only one.
        split: ``valid``, ``test``, ...: which accuracy; None takes the only one.
        n_train: Networks to learn from.
        n_test: Networks to judge on.
        trials: Number of splits.
        seed: Seed of the splits and of the predictors: the same call gives the same numbers.
        workers: Processes; None takes one per core.
        folder: Where finished fits are kept, so that the same call goes on where it was; None keeps nothing.

    Returns:
        One row a predictor, the best Spearman correlation first, parameter count and FLOPs beside where the benchmark
        has them: ``mae`` and ``rmse`` in points of accuracy (NaN where a predictor only ranks), ``pearson``,
        ``spearman``, ``kendall``, each with its standard deviation over trials (``_std``); and ``minus_reference``
        with ``lower`` and ``upper``: Spearman minus that of the best on the same splits, with its 95% bootstrap
        interval.

    Raises:
        ConfigError: There is no predictor.
        DataError: There is no such benchmark, no or more than one such accuracy in it, or too few networks.
        ItemsFailedError: A predictor failed on a split.
    """
    if not predictors:
        raise ConfigError("predictors", "none is given")
    task = BenchmarkTask(str(benchmark), Target(dataset, split))
    draw = Draw(n_train, n_test, trials, seed=seed)
    with tempfile.TemporaryDirectory(prefix="foretrain-") as temporary:
        forecasts = evaluate(predictors, task, draw, ParallelMap(workers), folder or temporary)
    costs = cost_forecasts(task, draw)
    return summarise(judge_trials(pd.concat([forecasts, costs], ignore_index=True)), seed)
