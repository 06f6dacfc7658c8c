"""Predictors that read a table: encodings and scores as columns, one row a network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from foretrain.forecast import Z90, Forecast
from foretrain.predictors.base import FloatArray
from foretrain.predictors.features import FeatureTable
from foretrain.predictors.regressor import Labelled, Regressor, Scores
from foretrain.predictors.targets import Target, Transform
from foretrain.spaces.base import Architectures, SearchSpace

_ROWS_AT_ONCE = 1 << 14


class Guess(NamedTuple):
    """What a model of standardised columns says of m networks.

    Attributes:
        mean: ``float64[m]``, in the unit of the standardised target.
        deviation: ``float64[m]``, its standard deviation, or None where the model knows none.
    """

    mean: FloatArray
    deviation: FloatArray | None = None


Model = TypeVar("Model", bound=Callable[[FloatArray], Guess])


@dataclass(frozen=True, eq=False)
class Fitted(Generic[Model]):
    """What a tabular predictor learned: how columns and targets are made, and the model between them."""

    table: FeatureTable
    target: Target
    model: Model


class TabularRegressor(Regressor[Fitted[Model]], Generic[Model]):
    """Learns from encodings of the architectures and, where they are given, from scores.

    With scores it is the model-based predictor of Mintal's thesis, whose features are the encoding and the scores of
    zero-cost proxies; its labels may be true accuracies or extrapolated ones.

    Args:
        space: The space of all architectures.
        seed: Seed of everything random.
        encodings: Encodings of the space whose columns are put side by side.
        use_scores: Whether scores that are given become columns too.
        transform: What is learned in place of the accuracy (:class:`foretrain.predictors.targets.Target`).
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        seed: int = 0,
        encodings: tuple[str, ...] | list[str] = ("graph_features",),
        use_scores: bool = True,
        transform: Transform = "accuracy",
    ) -> None:
        super().__init__(space, seed)
        self.encodings = tuple(encodings)
        self.use_scores = use_scores
        self.transform: Transform = transform
        self.logarithms = False

    @abstractmethod
    def _learn_columns(self, table: FeatureTable, columns: FloatArray, values: FloatArray) -> Model:
        """Fits standardised columns ``float64[n, d]`` of the table to standardised targets ``float64[n]``."""

    @property
    def fill_report(self) -> dict[str, int]:
        """How many scores of the training set were replaced by their column's median; only columns with gaps."""
        return self.learned.table.fill_report

    def _learn(self, known: Labelled, unlabeled: Architectures | None) -> Fitted[Model]:
        table, columns = FeatureTable.of(self.space, self.encodings, known, self.use_scores, self.logarithms)
        target = Target.of(known.accuracies, self.transform)
        values = target.forward(known.accuracies)
        return Fitted(table, target, self._learn_columns(table, table.standardise(columns), values))

    def _foresee(self, learned: Fitted[Model], archs: Architectures, scores: Scores) -> Forecast:
        guesses = [
            learned.model(learned.table.standardise(learned.table(self.space, archs[part], _part(scores, part))))
            for part in _parts(len(archs))
        ]
        mean = np.concatenate([guess.mean for guess in guesses])
        if guesses[0].deviation is None:
            return forecast(learned.target, mean)
        return forecast(learned.target, mean, np.concatenate([guess.deviation for guess in guesses]))


def forecast(target: Target, mean: FloatArray, deviation: FloatArray | None = None) -> Forecast:
    """Returns a forecast in percent, with an interval of 90% where the deviation is known.

    The score is the value before the limits of 0 and 100 are applied, so that it has no ties there.
    """
    if deviation is None:
        return Forecast(score=mean, mean=target.backward(mean))
    lower, upper = target.backward(mean - Z90 * deviation), target.backward(mean + Z90 * deviation)
    return Forecast(score=mean, mean=target.backward(mean), lower=lower, upper=upper)


def _parts(length: int) -> list[slice]:
    """Slices that bound the memory of many networks; one, which is empty, where there are none."""
    return [slice(start, start + _ROWS_AT_ONCE) for start in range(0, max(length, 1), _ROWS_AT_ONCE)]


def _part(scores: Scores, part: slice) -> Scores:
    return {name: column[part] for name, column in scores.items()}
