"""The hybrid proxy: a weighted sum of the best data-independent and the best data-dependent score.

Source: "Zero-Cost Proxies in Neural Architecture Search: A Comprehensive Study and Design of a novel hybrid proxy"
(master's thesis), section 5.3, equations 5.3 and 5.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from foretrain.metrics.rank import kendall, spearman

FloatArray = NDArray[np.float64]
WEIGHTS = np.arange(0, 100.5, 0.5)
"""The weights alpha and beta that the source tries: 0 to 100 in steps of 0.5, 40,401 pairs."""
_EQUAL = 1e-9
"""Correlations that differ by less are equal: weights in the same proportion give the same ranking but for rounding."""


@dataclass(frozen=True)
class Hybrid:
    """A hybrid proxy.

    Attributes:
        independent: Name of the data-independent score.
        dependent: Name of the data-dependent score.
        alpha: Weight of the independent score.
        beta: Weight of the dependent score.
    """

    independent: str
    dependent: str
    alpha: float
    beta: float

    def __call__(self, scores: Mapping[str, FloatArray]) -> FloatArray:
        """Returns the hybrid score ``[n]`` of a population, from its scores by name."""
        din, ddn = (normalised(scores[name]) for name in (self.independent, self.dependent))
        return combine(din, ddn, self.alpha, self.beta)


PUBLISHED = Hybrid("logsynflow", "nwot", 0.5, 1.5)
"""The hybrid that the source arrives at, with the same weights on all of its three data sets."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """The correlations of a sweep over the weights.

    Attributes:
        weights: ``[w]``, what alpha and beta run over.
        spearman: ``[w, w]``, Spearman's correlation with the accuracy at (alpha, beta); NaN where all scores are equal.
        alpha: The alpha of the best pair.
        beta: The beta of the best pair.
        best_kendall: Kendall's tau of the best pair.
    """

    weights: FloatArray
    spearman: FloatArray
    alpha: float
    beta: float
    best_kendall: float


def normalised(score: FloatArray) -> FloatArray:
    """Divides scores by the largest in the population (equation 5.3).

    Args:
        score: ``[n]``; what is not finite stands for a network without a score and comes out as NaN.

    Raises:
        ValueError: No score is positive: a division would turn the order round.
    """
    score = np.where(np.isfinite(score), score, np.nan)
    largest = np.nanmax(score) if np.isfinite(score).any() else np.nan
    if not largest > 0:
        raise ValueError("scores without a positive maximum cannot be normalised by it")
    return score / largest


def combine(din: FloatArray, ddn: FloatArray, alpha: float, beta: float | FloatArray) -> FloatArray:
    """Returns ``alpha DIN + beta DDN where DIN <= DDN, else DIN`` (equation 5.4); NaN without one of both."""
    return np.where(np.isnan(din) | np.isnan(ddn), np.nan, np.where(din <= ddn, alpha * din + beta * ddn, din))


def choose_scores(
    independent: Mapping[str, FloatArray], dependent: Mapping[str, FloatArray], accuracy: FloatArray
) -> tuple[str, str]:
    """Returns the names of the best independent and the best dependent score.

    The best has the highest mean of Kendall's and Spearman's correlation with the accuracy. Scores without a positive
    maximum, which cannot be normalised, are no candidates.

    Args:
        independent: Data-independent scores ``[n]`` of the training networks, by name; NaN where there is none.
        dependent: Data-dependent scores, likewise.
        accuracy: ``[n]``, percent.

    Raises:
        ValueError: There is no candidate among the independent, or among the dependent ones.
    """
    return _best(independent, accuracy), _best(dependent, accuracy)


def sweep_weights(
    din: FloatArray, ddn: FloatArray, accuracy: FloatArray, weights: FloatArray = WEIGHTS, finalists: int = 100
) -> Sweep:
    """Tries all pairs of weights by Spearman's correlation, and the best of these by Kendall's.

    The best pair is the smallest (by its sum, then by alpha) of those that reach the highest Kendall's tau among the
    finalists. Networks without one of both scores are ranked last.

    Networks with equal scores stay equal under all weights: they are ranked as one. Spearman's correlation then is a
    scalar product of mean ranks and summed truth ranks; 40,401 pairs over 15,625 networks take half a minute.

    Args:
        din: ``[n]``, normalised independent score.
        ddn: ``[n]``, normalised dependent score.
        accuracy: ``[n]``, percent.
        weights: ``[w]``, what alpha and beta run over.
        finalists: How many of the best pairs are tried by Kendall's tau.
    """
    ranking = _Ranking(din, ddn, accuracy)
    correlations = np.array([ranking.spearman(alpha, weights) for alpha in weights])
    pairs = _best_pairs(correlations, weights)[:finalists]
    taus = np.array([ranking.kendall(alpha, beta) for alpha, beta in pairs])
    reached = [pair for pair, tau in zip(pairs, taus, strict=True) if tau >= taus.max() - _EQUAL]
    alpha, beta = min(reached, key=_size)
    return Sweep(weights, correlations, alpha, beta, float(taus.max()))


def smallest_pair(
    din: FloatArray, ddn: FloatArray, accuracy: FloatArray, sweep: Sweep, digits: int = 2
) -> tuple[float, float]:
    """Returns the smallest pair of weights whose correlations are the best ones when both are rounded.

    The source prints two digits, and gives the smallest weights that reach what it prints.

    Args:
        din: ``[n]``, normalised independent score.
        ddn: ``[n]``, normalised dependent score.
        accuracy: ``[n]``, percent.
        sweep: The sweep over these.
        digits: Digits after the point.
    """
    ranking = _Ranking(din, ddn, accuracy)
    best = np.nanmax(sweep.spearman).round(digits)
    alphas, betas = sweep.weights[np.argwhere(sweep.spearman.round(digits) == best)].T
    pairs = sorted(zip(alphas.tolist(), betas.tolist(), strict=True), key=_size)
    goal = round(sweep.best_kendall, digits)
    return next((pair for pair in pairs if round(ranking.kendall(*pair), digits) == goal), (sweep.alpha, sweep.beta))


def _best_pairs(correlations: FloatArray, weights: FloatArray) -> list[tuple[float, float]]:
    """Pairs by falling correlation; of those with equal correlations, which rank alike, the smallest alone."""
    places = np.argwhere(~np.isnan(correlations))
    values = np.round(correlations[tuple(places.T)] / _EQUAL).astype(np.int64)
    alphas, betas = weights[places].T
    order = np.lexsort((alphas, alphas + betas, -values))
    first = np.concatenate([[True], np.diff(values[order]) != 0])
    return list(zip(alphas[order][first].tolist(), betas[order][first].tolist(), strict=True))


def _size(pair: tuple[float, float]) -> tuple[float, float]:
    return sum(pair), pair[0]


class _Ranking:
    """Ranks a population by hybrids of two scores and compares with the ranks of the accuracy."""

    def __init__(self, din: FloatArray, ddn: FloatArray, accuracy: FloatArray) -> None:
        self._din, self._ddn, self._accuracy = din, ddn, accuracy
        known = ~(np.isnan(din) | np.isnan(ddn))
        pairs, group = np.unique(np.stack([din[known], ddn[known]], axis=1), axis=0, return_inverse=True)
        truth = stats.rankdata(accuracy)
        truth -= truth.mean()
        self._truth_scale = np.sqrt((truth**2).sum())
        self._missing, self._missing_truth = int((~known).sum()), float(truth[~known].sum())
        self._members = np.bincount(group, minlength=len(pairs)).astype(np.float64)
        self._truth = np.bincount(group, weights=truth[known], minlength=len(pairs))
        self._unique_din, self._unique_ddn = pairs.T

    def spearman(self, alpha: float, betas: FloatArray) -> FloatArray:
        """Spearman's correlations of the hybrids with weight alpha and each of the betas."""
        score = combine(self._unique_din, self._unique_ddn, alpha, betas[:, None])
        order = np.argsort(score, axis=1)
        members = self._members[order]
        rank = np.cumsum(members, axis=1) - (members - 1) / 2
        ordered = np.take_along_axis(score, order, axis=1)
        tied = ordered[:, 1:] == ordered[:, :-1]
        for row in np.flatnonzero(tied.any(axis=1)):
            rank[row] = _mean_over_ties(rank[row], members[row], tied[row])
        centre = (len(self._din) + 1) / 2
        rank += self._missing - centre
        lowest = (self._missing + 1) / 2 - centre
        product = (rank * self._truth[order]).sum(1) + lowest * self._missing_truth
        scale = np.sqrt((members * rank**2).sum(1) + self._missing * lowest**2) * self._truth_scale
        found: FloatArray = np.divide(product, scale, out=np.full_like(product, np.nan), where=scale > 0)
        return found

    def kendall(self, alpha: float, beta: float) -> float:
        """Kendall's tau of the hybrid with these weights."""
        score = combine(self._din, self._ddn, alpha, beta)
        return kendall(self._accuracy, np.nan_to_num(score, nan=-1.0))


def _mean_over_ties(rank: FloatArray, members: FloatArray, tied: NDArray[np.bool_]) -> FloatArray:
    """Gives networks that happen to have the same hybrid score their mean rank."""
    group = np.concatenate([[0], np.cumsum(~tied)])
    mean: FloatArray = np.bincount(group, weights=rank * members) / np.bincount(group, weights=members)
    return np.take(mean, group)


def _best(scores: Mapping[str, FloatArray], accuracy: FloatArray) -> str:
    quality = {name: _quality(values, accuracy) for name, values in scores.items() if _has_positive(values)}
    if not quality:
        raise ValueError(f"none of {', '.join(scores) or 'no scores'} has a positive value to be normalised by")
    return max(quality, key=quality.__getitem__)


def _has_positive(values: FloatArray) -> bool:
    return bool((values[np.isfinite(values)] > 0).any())


def _quality(values: FloatArray, accuracy: FloatArray) -> float:
    """Mean of both correlations over the networks with a score; the lowest for none."""
    known = np.isfinite(values)
    found = (kendall(accuracy[known], values[known]) + spearman(accuracy[known], values[known])) / 2
    return found if np.isfinite(found) else -np.inf
