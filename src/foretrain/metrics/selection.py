"""How good the networks are that were picked out of a population."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from foretrain.metrics.checks import FloatArray, complete, complete_pair


def top_k_precision(truth: ArrayLike, selected: ArrayLike, k: int) -> float:
    """Returns the share of the k truly best networks that are in the selected set, 0 to 1. Higher is better.

    A set of 10 that holds two of the three best has a top-3 precision of 2/3 (NAP2, section 4.2). Networks that are
    tied at the k-th place are equally good: any of them fills the places that are left, so the result depends on no
    order. Of fewer than k networks, all are the best.

    Args:
        truth: ``[n]``, what the networks reached. Higher is better.
        selected: The set: positions in ``truth``, or a Boolean mask ``[n]``.
        k: How many of the best are looked for, at least 1.

    Raises:
        ValueError: ``k`` is below 1, ``truth`` is empty or holds NaN, or the set is empty.
    """
    truth = complete("truth", truth)
    if k < 1:
        raise ValueError(f"k is {k}, at least 1 is needed")
    chosen = _reached(truth, selected)
    k = min(k, truth.size)
    threshold = np.partition(truth, -k)[-k]
    places_for_tied = k - np.count_nonzero(truth > threshold)
    found = np.count_nonzero(chosen > threshold) + min(np.count_nonzero(chosen == threshold), places_for_tied)
    return float(found / k)


def accuracy_difference(truth: ArrayLike, selected: ArrayLike) -> float:
    """Returns how much better the best network of all is than the best of the selected set, in points.

    Lower is better, 0 is the best (NAP2, section 4.2).

    Args:
        truth: ``[n]``, what the networks reached, in percent. Higher is better.
        selected: The set: positions in ``truth``, or a Boolean mask ``[n]``.

    Raises:
        ValueError: ``truth`` is empty or holds NaN, or the set is empty.
    """
    truth = complete("truth", truth)
    chosen = _reached(truth, selected)
    return float(truth.max() - chosen.max())


def regret(truth: ArrayLike, score: ArrayLike) -> float:
    """Returns what is lost by taking the network with the best score: the best truth minus the truth of that one.

    Lower is better, 0 is the best. Networks tied for the best score are equally likely to be taken: their mean counts.

    Args:
        truth: ``[n]``, what the networks reached. Higher is better.
        score: ``[n]``, what was foreseen. Higher is better.

    Raises:
        ValueError: The arrays differ in shape, are empty or hold NaN.
    """
    truth, score = complete_pair(truth, score)
    if not truth.size:
        raise ValueError("truth is empty. There is no best network among none")
    return float(truth.max() - truth[score == score.max()].mean())


def best_first(score: ArrayLike) -> NDArray[np.intp]:
    """Returns the order of ``score[..., n]`` along its last axis from best to worst.

    Higher is better, equal scores keep their order, NaN is the worst of all.
    """
    return np.argsort(-np.asarray(score, dtype=np.float64), axis=-1, kind="stable")


def _reached(truth: FloatArray, selected: ArrayLike) -> FloatArray:
    """The truths of the set, each network once."""
    chosen = np.zeros(truth.shape, dtype=np.bool_)
    if np.size(selected):
        try:
            chosen[np.asarray(selected)] = True
        except IndexError as error:
            raise ValueError(f"the selected set does not fit {truth.size} networks: {error}") from error
    if not chosen.any():
        raise ValueError("the selected set is empty. Give at least one network")
    reached: FloatArray = truth[chosen]
    return reached
