"""How well scores rank networks, and how good the networks are that they rank best."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from foretrain.metrics.rank import bootstrap_interval, kendall, spearman
from foretrain.metrics.selection import best_first

FloatArray = NDArray[np.float64]
TOP_SHARE = 0.01
RANKED = (
    "Kendall's and Spearman's correlation with the accuracy (95% bootstrap interval over networks), and the "
    "accuracy of the network ranked best, of the ten and of the hundredth of networks ranked best (means), in "
    "percent. A network without a score is ranked last."
)


def judge_scores(
    scores: Mapping[str, FloatArray], truth: FloatArray, seed: int, seconds: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Returns one row for each score.

    A network without a score is ranked last, together with all others without: nothing speaks for it.

    Args:
        scores: ``[n]`` each, by name; higher is better, NaN where there is none.
        truth: ``[n]``, accuracies in percent.
        seed: Seed of the bootstrap over networks.
        seconds: Seconds a network that each score costs, where known.

    Returns:
        Columns ``score``, ``kendall``, ``spearman``, ``lower`` and ``upper`` (its 95% interval), ``top1`` (accuracy of
        the network ranked best), ``top10`` and ``top1%`` (mean accuracy of the ten and of the hundredth of networks
        ranked best), ``missing`` (networks without a score), ``seconds``.
    """
    return pd.DataFrame(
        [_judge(name, values, truth, seed, (seconds or {}).get(name, np.nan)) for name, values in scores.items()]
    )


def ranked_last(scores: FloatArray) -> FloatArray:
    """Returns scores in which those that are missing, or minus infinity, are equal and below all others."""
    known = np.isfinite(scores)
    worst = scores[known].min() if known.any() else 0.0
    return np.where(known, scores, worst - max(1.0, abs(worst)))


def top_accuracy(score: FloatArray, truth: FloatArray, k: int) -> float:
    """Returns the mean accuracy of the k networks ranked best.

    Networks tied at the k-th place are equally likely to be taken: their mean fills the places that are left.
    """
    order = best_first(score)[:k]
    threshold = score[order[-1]]
    sure = score > threshold
    tied = truth[score == threshold].mean()
    return float((truth[sure].sum() + (k - sure.sum()) * tied) / k)


def _judge(name: str, values: FloatArray, truth: FloatArray, seed: int, seconds: float) -> dict[str, object]:
    score = ranked_last(values)
    lower, upper = bootstrap_interval(spearman, truth, score, seed=seed)
    hundredth = max(1, round(TOP_SHARE * len(truth)))
    return {
        "score": name,
        "kendall": kendall(truth, score),
        "spearman": spearman(truth, score),
        "lower": lower,
        "upper": upper,
        "top1": top_accuracy(score, truth, 1),
        "top10": top_accuracy(score, truth, min(10, len(truth))),
        "top1%": top_accuracy(score, truth, hundredth),
        "missing": int((~np.isfinite(values)).sum()),
        "seconds": seconds,
    }
