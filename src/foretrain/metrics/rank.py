"""How well a score ranks networks: rank correlations, and bootstrap intervals for them and any other statistic."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from foretrain.metrics.checks import FloatArray, complete_pair

_VALUES_AT_ONCE = 1 << 22  # bounds the memory of many resamples of many networks

_TINY = np.finfo(np.float64).tiny


class Interval(NamedTuple):
    """A confidence interval."""

    lower: float
    upper: float


@overload
def spearman(truth: ArrayLike, score: ArrayLike) -> float: ...


@overload
def spearman(truth: ArrayLike, score: ArrayLike, axis: int) -> FloatArray: ...


def spearman(truth: ArrayLike, score: ArrayLike, axis: int | None = None) -> float | FloatArray:
    """Returns Spearman's rank correlation: Pearson's correlation of the ranks, ties at their mean rank.

    NaN means that there is no ranking to compare: fewer than two networks, or a constant ``truth`` or ``score``.

    Args:
        truth: ``[n]``, what the networks reached. Higher is better.
        score: ``[n]``, what was foreseen. Higher is better.
        axis: The axis of the networks where the arrays hold many samples at once; the result then has the other axes.

    Raises:
        ValueError: The arrays differ in shape, hold NaN, or have more than one axis and ``axis`` is not given.
    """
    truth, score = complete_pair(truth, score)
    if axis is not None:
        return _pearson(*(stats.rankdata(np.moveaxis(values, axis, -1), axis=-1) for values in (truth, score)))
    if truth.ndim != 1:
        raise ValueError(f"arrays of shape {truth.shape} need axis=, the axis of the networks")
    return float(_pearson(stats.rankdata(truth), stats.rankdata(score)))


def kendall(truth: ArrayLike, score: ArrayLike) -> float:
    """Returns Kendall's tau-b, which corrects for ties on either side.

    NaN means that there is no ranking to compare: fewer than two networks, or a constant ``truth`` or ``score``.

    Args:
        truth: ``[n]``, what the networks reached. Higher is better.
        score: ``[n]``, what was foreseen. Higher is better.

    Raises:
        ValueError: The arrays differ in shape or hold NaN.
    """
    truth, score = complete_pair(truth, score)
    if truth.size < 2:
        return float("nan")
    return float(stats.kendalltau(truth, score, variant="b").statistic)


def pearson(truth: ArrayLike, score: ArrayLike) -> float:
    """Returns Pearson's linear correlation.

    NaN means that there is nothing to compare: fewer than two networks, a constant ``truth`` or ``score``, or an
    infinite value.

    Args:
        truth: ``[n]``, what the networks reached. Higher is better.
        score: ``[n]``, what was foreseen. Higher is better.

    Raises:
        ValueError: The arrays differ in shape or hold NaN.
    """
    truth, score = complete_pair(truth, score)
    if not (np.isfinite(truth).all() and np.isfinite(score).all()):
        return float("nan")
    first, second = _within_one(truth), _within_one(score)
    constant = first.size and (np.ptp(first) == 0 or np.ptp(second) == 0)
    return float("nan") if constant else float(_pearson(first, second))


def bootstrap_interval(
    statistic: Callable[..., Any],
    *arrays: ArrayLike,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Returns the percentile bootstrap interval of a statistic of paired arrays.

    All arrays are resampled with the same draws, so the difference of two methods on the same networks gets a paired
    interval: ``bootstrap_interval(lambda t, a, b: spearman(t, a) - spearman(t, b), truth, a, b)``. Resamples for which
    the statistic is NaN (one network drawn n times) are left out; the interval is NaN where none is left, and for
    fewer than two networks.

    Args:
        statistic: Takes as many arrays ``[n]`` as are given, returns a number. One that has a parameter ``axis``, like
            :func:`spearman`, is called once for many resamples, which is far faster.
        *arrays: ``[n]`` each.
        level: Share of the bootstrap distribution inside the interval, between 0 and 1.
        resamples: Number of resamples.
        seed: Seed of the draws; the same draws for the same n, whatever the statistic.

    Raises:
        ValueError: The arrays differ in length.
    """
    samples = [np.asarray(array) for array in arrays]
    if len({sample.shape for sample in samples}) != 1:
        raise ValueError(f"paired arrays need one shape, these have {[sample.shape for sample in samples]}")
    if samples[0].size < 2:
        return Interval(float("nan"), float("nan"))
    with warnings.catch_warnings():
        # SciPy's own interval is NaN as soon as one resample is; only its resamples are used
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(
            samples,
            statistic,
            paired=True,
            n_resamples=resamples,
            batch=max(1, _VALUES_AT_ONCE // samples[0].size),
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    return _percentiles(result.bootstrap_distribution, level)


def _pearson(first: FloatArray, second: FloatArray) -> FloatArray:
    """Correlation along the last axis; NaN for constants and for fewer than two values."""
    if first.shape[-1] < 2:
        return np.full(first.shape[:-1], np.nan)
    first = first - first.mean(axis=-1, keepdims=True)
    second = second - second.mean(axis=-1, keepdims=True)
    scale = np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1))
    with np.errstate(invalid="ignore"):
        correlation: FloatArray = (first * second).sum(axis=-1) / scale
    return np.clip(correlation, -1, 1)


def _within_one(values: FloatArray) -> FloatArray:
    """The values over their largest, so that no difference and no square of them overflows."""
    halves = values / 2
    scaled: FloatArray = halves / max(np.abs(halves).max(initial=0), _TINY)
    return scaled


def _percentiles(values: FloatArray, level: float) -> Interval:
    known = values[~np.isnan(values)]
    if not known.size:
        return Interval(float("nan"), float("nan"))
    tail = (1 - level) / 2
    lower, upper = np.quantile(known, [tail, 1 - tail])
    return Interval(float(lower), float(upper))
