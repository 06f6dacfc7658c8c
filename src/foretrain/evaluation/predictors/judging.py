"""How good the predictors are over the trials, and how sure the differences between them are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from foretrain.metrics.error import mae, rmse
from foretrain.metrics.rank import bootstrap_interval, kendall, pearson, spearman

OF_MEANS: dict[str, Callable[..., float]] = {"mae": mae, "rmse": rmse, "pearson": pearson}
OF_SCORES: dict[str, Callable[..., float]] = {"spearman": spearman, "kendall": kendall}
METRICS = (*OF_MEANS, *OF_SCORES)
LOWER_IS_BETTER = {"mae", "rmse"}
SECONDS = ("fit_seconds", "query_seconds")


def judge_trials(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Returns one row a predictor and trial with the metrics: MAE and RMSE in points, and the correlations.

    Errors and Pearson's correlation are of the foreseen accuracy and NaN where a predictor only ranks; the rank
    correlations are of the score.

    Args:
        forecasts: The table of :func:`foretrain.evaluation.predictors.comparison.evaluate`.
    """
    rows = []
    for (name, trial), part in forecasts.groupby(["predictor", "trial"], sort=False):
        truth, mean, score = (part[column].to_numpy() for column in ("truth", "mean", "score"))
        row: dict[str, object] = {"predictor": name, "trial": trial}
        ranks_only = bool(np.isnan(mean).any())
        row |= {metric: np.nan if ranks_only else of(truth, mean) for metric, of in OF_MEANS.items()}
        row |= {metric: of(truth, score) for metric, of in OF_SCORES.items()}
        rows.append(row | {column: part[column].iloc[0] for column in SECONDS if column in part})
    return pd.DataFrame(rows)


def summarise(trials: pd.DataFrame, seed: int, reference: str | None = None) -> pd.DataFrame:
    """Returns one row a predictor, the best Spearman correlation first.

    Args:
        trials: The table of :func:`judge_trials`.
        seed: Seed of the bootstrap.
        reference: The predictor that all are compared to; None takes the best.

    Returns:
        For each metric its mean and, with the ending ``_std``, its standard deviation over the trials; and
        ``minus_reference`` with ``lower`` and ``upper``: Spearman minus that of the reference on the same split, mean
        and 95% bootstrap interval over the trials.
    """
    by_trial = trials.pivot_table(index="trial", columns="predictor", values="spearman", dropna=False)
    names = by_trial.mean().sort_values(ascending=False, kind="stable").index
    best = reference or str(names[0])
    rows = []
    for name in names:
        part = trials[trials["predictor"] == name]
        row: dict[str, object] = {"predictor": name}
        for metric in METRICS:
            row |= {metric: part[metric].mean(), f"{metric}_std": part[metric].std()}
        difference = (by_trial[name] - by_trial[best]).dropna().to_numpy()
        lower, upper = bootstrap_interval(np.mean, difference, seed=seed)
        rows.append(row | {"minus_reference": difference.mean(), "lower": lower, "upper": upper})
    return pd.DataFrame(rows)


def flat_metrics(summary: pd.DataFrame) -> dict[str, float]:
    """Returns a table of one row a predictor as numbers with names like ``emprox/spearman``."""
    rows = summary.set_index("predictor")
    return {f"{name}/{column}": float(rows.loc[name, column]) for name in rows.index for column in rows.columns}


def seconds_table(trials: pd.DataFrame) -> pd.DataFrame:
    """Returns one row a predictor: mean and largest processor seconds to fit and to query."""
    timed = trials.dropna(subset=list(SECONDS)).groupby("predictor", sort=False)[list(SECONDS)]
    mean, largest = timed.mean(), timed.max().add_suffix("_largest")
    return pd.concat([mean, largest], axis=1).reset_index()
