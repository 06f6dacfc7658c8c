"""How good few-shot forecasts are over random splits into finished and other runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretrain.curves.baselines import curve_svr
from foretrain.curves.forecasting import CurveForecast, extrapolate
from foretrain.evaluation.curves.judging import Answer
from foretrain.evaluation.curves.population import CurvePopulation

FloatArray = NDArray[np.float64]
FEW_SHOT, FEW_SHOT_VALID, SVR = "few-shot", "few-shot, without training curves", "support vectors on the curve"
_RESAMPLES = 500
_TAILS = (2.5, 97.5)


@dataclass(frozen=True, eq=False)
class SplitForecasts:
    """What one method says of the unfinished runs of every split.

    Attributes:
        score: ``[splits, n]``, NaN for the finished runs of a split, and so below.
        mean: ``[splits, n]``, percent; NaN throughout where a method only ranks, and so below.
        lower: ``[splits, n]``.
        upper: ``[splits, n]``.
    """

    score: FloatArray
    mean: FloatArray
    lower: FloatArray
    upper: FloatArray

    @classmethod
    def empty(cls, splits: int, n: int) -> SplitForecasts:
        """Returns one in which nothing is said yet."""
        return cls(*(np.full((splits, n), np.nan) for _ in range(4)))

    def say(self, split: int, rows: NDArray[np.int64], said: Answer | CurveForecast) -> None:
        """Puts in what is said of some runs in one split."""
        for name in ("score", "mean", "lower", "upper"):
            values = getattr(said, name, None)
            if values is not None:
                getattr(self, name)[split, rows] = values


def forecasts_by_split(
    population: CurvePopulation,
    epochs: int,
    finished: int,
    splits: int,
    level: float,
    seed: int,
    untaught: Mapping[str, Answer],
) -> dict[str, SplitForecasts]:
    """Returns what every method says of the unfinished runs of every split, by name.

    Args:
        population: The curves.
        epochs: So many epochs of the unfinished runs are observed.
        finished: Number of finished runs in a split.
        splits: Number of splits.
        level: Probability of the intervals.
        seed: Seed of the splits.
        untaught: What methods that learn nothing from finished runs say of all n runs, as baselines.
    """
    n = len(population.valid)
    taught = [FEW_SHOT_VALID, SVR] if population.train is None else [FEW_SHOT, FEW_SHOT_VALID, SVR]
    found = {name: SplitForecasts.empty(splits, n) for name in (*taught, *untaught)}
    for split in range(splits):
        order = np.random.default_rng([seed, split]).permutation(n)
        done, rest = order[:finished], order[finished:]
        for name, forecast in _few_shot_forecasts(population, epochs, done, rest, level).items():
            found[name].say(split, rest, forecast)
        svr = curve_svr(population.valid[done, :epochs], population.final[done], population.valid[rest, :epochs])
        found[SVR].say(split, rest, Answer(svr, svr))
        for name, answer in untaught.items():
            found[name].say(split, rest, answer.of(rest))
    return found


def split_table(final: FloatArray, forecasts: Mapping[str, SplitForecasts]) -> pd.DataFrame:
    """Returns one row a method and split.

    Its columns: ``mae``, ``spearman``, ``coverage`` and ``width`` (median) on the unfinished runs, and ``weakest``, the
    lowest final value of a finished run.

    Args:
        final: ``[n]``, the final values.
        forecasts: From :func:`forecasts_by_split`.
    """
    tables = []
    for name, said in forecasts.items():
        once = np.ones((1, len(final)))
        columns = {measure: values[:, 0] for measure, values in _measures(final, said, once).items()}
        columns["width"] = _medians(said.upper - said.lower)
        columns["weakest"] = np.where(np.isnan(said.score), final, np.inf).min(axis=1)
        tables.append(pd.DataFrame({"method": name, "split": range(len(said.score)), **columns}))
    return pd.concat(tables, ignore_index=True)


def few_shot_table(final: FloatArray, forecasts: Mapping[str, SplitForecasts], seed: int) -> pd.DataFrame:
    """Returns one row a method: means over the splits with 95% bootstrap intervals over the networks.

    In a resample the same networks are drawn for all splits, and those that a split has finished are left out of it.
    The splits themselves stay: their chance is smaller by the root of their number.

    Args:
        final: ``[n]``, the final values.
        forecasts: From :func:`forecasts_by_split`.
        seed: Seed of the draws.
    """
    by_split = split_table(final, forecasts)
    n = len(final)
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), _RESAMPLES).astype(np.float64)
    rows = []
    for name, said in forecasts.items():
        table = by_split[by_split["method"] == name]
        row: dict[str, object] = {"method": name, "splits": len(table)}
        for measure, values in _measures(final, said, draws).items():
            lower, upper = _interval(values.mean(axis=0))
            row |= {measure: table[measure].mean(), f"{measure}_lower": lower, f"{measure}_upper": upper}
        row |= {"mae_std": table["mae"].std(), "mae_median": table["mae"].median(), "width": table["width"].mean()}
        rows.append(row)
    return pd.DataFrame(rows)


def _few_shot_forecasts(
    population: CurvePopulation, epochs: int, done: NDArray[np.int64], rest: NDArray[np.int64], level: float
) -> dict[str, CurveForecast]:
    valid, horizon = population.valid, population.horizon
    found = {FEW_SHOT_VALID: extrapolate(valid[rest, :epochs], horizon, finished=valid[done], level=level)}
    if population.train is not None:
        train = population.train
        found[FEW_SHOT] = extrapolate(
            valid[rest, :epochs],
            horizon,
            train[rest, :epochs],
            valid[done],
            level,
            finished_train=train[done],
            train_metric=population.train_metric,
        )
    return found


def _measures(final: FloatArray, said: SplitForecasts, weights: FloatArray) -> dict[str, FloatArray]:
    """Each measure ``[splits, draws]``, where network i counts ``weights[draw, i]`` times; NaN where it has none."""
    inside = np.where(np.isnan(said.upper), np.nan, (said.lower <= final) & (final <= said.upper))
    ranked = np.full((len(said.score), len(weights)), np.nan)
    for split, score in enumerate(said.score):
        rest = ~np.isnan(score)
        ranked[split] = weighted_spearman(final[rest], score[rest], weights[:, rest])
    return {
        "mae": _weighted_means(np.abs(said.mean - final), weights),
        "spearman": ranked,
        "coverage": _weighted_means(inside, weights),
    }


def _medians(values: FloatArray) -> FloatArray:
    """Median of each row without its NaN; NaN where nothing is left."""
    rows = (row[~np.isnan(row)] for row in values)
    return np.array([np.median(row) if len(row) else np.nan for row in rows])


def _interval(drawn: FloatArray) -> tuple[float, float]:
    """Ends of the interval of a bootstrap distribution; draws that ranked nothing are left aside."""
    drawn = drawn[~np.isnan(drawn)]
    return tuple(np.percentile(drawn, _TAILS)) if len(drawn) else (np.nan, np.nan)


def _weighted_means(values: FloatArray, weights: FloatArray) -> FloatArray:
    """``[splits, draws]``: means of values ``[splits, n]``, NaN left aside."""
    known = ~np.isnan(values)
    total = np.nan_to_num(values) @ weights.T
    count = known @ weights.T
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def weighted_spearman(first: FloatArray, second: FloatArray, weights: FloatArray) -> FloatArray:
    """Returns Spearman's correlation ``[draws]`` of samples in which item i of m comes ``weights[draw, i]`` times.

    NaN means that a sample ranks nothing.

    Args:
        first: ``[m]``.
        second: ``[m]``.
        weights: ``[draws, m]``, at least 0.
    """
    total = weights.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        ranks = [_weighted_ranks(values, weights) for values in (first, second)]
        x, y = (r - (weights * r).sum(axis=1, keepdims=True) / total for r in ranks)
        products = [(weights * a * b).sum(axis=1) for a, b in ((x, y), (x, x), (y, y))]
        correlation: FloatArray = products[0] / np.sqrt(products[1] * products[2])
    return correlation


def _weighted_ranks(values: FloatArray, weights: FloatArray) -> FloatArray:
    """``[draws, m]``: mean ranks, half a rank higher for all."""
    distinct, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    counts = np.add.reduceat(weights[:, order], np.searchsorted(place[order], range(len(distinct))), axis=1)
    ranks: FloatArray = (counts.cumsum(axis=1) - counts / 2)[:, place]
    return ranks
