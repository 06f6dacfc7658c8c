"""Combinations of many scores: by their ranks alone, or by a monotone model of a few labelled networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import nnls

FloatArray = NDArray[np.float64]


def normal_scores(scores: ArrayLike) -> FloatArray:
    """Replaces the scores of a population by the quantiles of a normal distribution that belong to their ranks.

    Scores of any unit and scale become comparable, and the order stays. A network without a score is ranked last.

    Args:
        scores: ``[n, ...]``, higher is better; what is not finite stands for a network without a score.
    """
    values = np.asarray(scores, dtype=np.float64)
    ranks = stats.rankdata(np.where(np.isfinite(values), values, -np.inf), axis=0)
    quantiles: FloatArray = stats.norm.ppf((ranks - 0.5) / len(values))
    return quantiles


@dataclass
class MonotoneRidge:
    """A weighted sum of the normal scores of k proxies, in which no weight is negative.

    Without labels all proxies have the same weight, which is the average of their ranks (on a normal scale). n labels
    move the weights by ridge regression towards that average:

    ``w = argmin_{w >= 0} |y - X w|^2 + strength |w - prior|^2``

    where X are the proxies' normal scores of the labelled networks and y those of their accuracies. As no weight is
    negative, a network that is better by every proxy is better by the sum.

    Args:
        strength: Weight of the prior, in labelled networks: with so many, data and prior count about the same.

    Attributes:
        weights: ``[k]`` after ``fit``.
    """

    strength: float = 10.0

    def __post_init__(self) -> None:
        self.weights: FloatArray = np.empty(0)

    def fit(self, scores: FloatArray, accuracies: FloatArray) -> Self:
        """Learns the weights.

        Args:
            scores: ``[n, k]``, normal scores of the labelled networks within their population; n may be 0.
            accuracies: ``[n]``.
        """
        proxies = scores.shape[1]
        prior = np.full(proxies, 1 / proxies)
        if len(accuracies) < 2:
            self.weights = prior
            return self
        root = np.sqrt(self.strength)
        design = np.vstack([scores, root * np.eye(proxies)])
        target = np.concatenate([normal_scores(accuracies), root * prior])
        self.weights = nnls(design, target)[0]
        return self

    def predict(self, scores: FloatArray) -> FloatArray:
        """Returns ``[m]``, a score that ranks the networks, from their normal scores ``[m, k]``."""
        result: FloatArray = scores @ self.weights
        return result
