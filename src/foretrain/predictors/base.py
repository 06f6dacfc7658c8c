"""What every predictor that learns from other networks gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from foretrain.forecast import Forecast
from foretrain.spaces.base import Architectures, SearchSpace

FloatArray = NDArray[np.float64]
ScoreColumns = Mapping[str, ArrayLike]
"""Scores of n networks that come from elsewhere, by name: ``float[n]`` each, higher is better, NaN for none."""


class Predictor(ABC):
    """Learns from n networks with known accuracies, then foresees those of others.

    Args:
        space: The space of all architectures; it encodes them.
        seed: Seed of everything random: the same calls give the same numbers.
    """

    def __init__(self, space: SearchSpace[Any], seed: int = 0) -> None:
        self.space = space
        self.seed = seed

    @property
    def interval_from(self) -> int | None:
        """So many networks have to be known for its forecasts to have an interval; None where they never have one."""
        return None

    @abstractmethod
    def fit(
        self,
        archs: Architectures,
        accuracies: ArrayLike,
        scores: ScoreColumns | None = None,
        unlabeled: Architectures | None = None,
    ) -> Self:
        """Learns anew from n networks; what an earlier call taught is forgotten.

        Args:
            archs: n architectures of the space.
            accuracies: ``float[n]``, percent.
            scores: Scores of the n networks.
            unlabeled: Further architectures whose accuracies are not known, for those that can learn from them.

        Raises:
            DataError: An accuracy or shape is wrong, or there are too few networks.
        """

    @abstractmethod
    def predict(self, archs: Architectures, scores: ScoreColumns | None = None) -> Forecast:
        """Foresees m networks; the result for one does not depend on the others.

        Args:
            archs: m architectures of the space.
            scores: Scores of the m networks: the same columns as in ``fit``.

        Raises:
            DataError: The architectures or the scores are not like those of ``fit``, or there was no ``fit``.
        """


PredictorFactory = Callable[..., Predictor]
"""Makes a predictor from ``space`` and ``seed``: a class, or a partial of one as a config gives it."""
