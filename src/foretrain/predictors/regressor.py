"""Predictors of accuracies: what all of them check and remember, so that a method need only learn and foresee."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar, get_type_hints

import numpy as np
import torch
from numpy.typing import ArrayLike

from foretrain.errors import DataError, ForetrainWarning
from foretrain.forecast import Forecast
from foretrain.predictors.base import FloatArray, Predictor, ScoreColumns
from foretrain.spaces.base import Architectures, SearchSpace

Learned = TypeVar("Learned")
Scores = dict[str, FloatArray]

_LARGEST = 1e9


@dataclass(frozen=True, eq=False)
class Labelled:
    """n networks to learn from, checked.

    Attributes:
        archs: The architectures.
        accuracies: ``float64[n]``, percent, all finite.
        scores: ``float64[n]`` by name; NaN where there is none.
    """

    archs: Architectures
    accuracies: FloatArray
    scores: Scores

    def __len__(self) -> int:
        return len(self.accuracies)

    def __getitem__(self, rows: Any) -> Labelled:  # noqa: ANN401 - whatever indexes an array
        places = torch.from_numpy(np.arange(len(self))[rows])
        scores = {name: column[rows] for name, column in self.scores.items()}
        return Labelled(self.archs[places], self.accuracies[rows], scores)


class Regressor(Predictor, Generic[Learned]):
    """A predictor of accuracies in percent.

    What it learns is one value: a frozen dataclass of arrays, tensors, networks and plain values, which
    :mod:`foretrain.predictors.persistence` can write.

    Attributes:
        fewest: So many networks with a known accuracy are needed at least.
    """

    fewest: ClassVar[int] = 2

    def __init__(self, space: SearchSpace[Any], seed: int = 0) -> None:
        super().__init__(space, seed)
        self._learned: Learned | None = None
        self._score_names: tuple[str, ...] = ()

    @abstractmethod
    def _learn(self, known: Labelled, unlabeled: Architectures | None) -> Learned:
        """Returns what is to be remembered of at least ``fewest`` networks."""

    @abstractmethod
    def _foresee(self, learned: Learned, archs: Architectures, scores: Scores) -> Forecast:
        """Foresees networks whose kind and score columns were checked."""

    @property
    def learned(self) -> Learned:
        """What the last ``fit`` taught.

        Raises:
            DataError: There was none.
        """
        if self._learned is None:
            raise DataError(type(self).__name__, "was not fitted", "Call fit first")
        return self._learned

    @property
    def score_names(self) -> tuple[str, ...]:
        """Names of the scores that the last ``fit`` was given; ``predict`` needs the same."""
        return self._score_names

    def fit(
        self,
        archs: Architectures,
        accuracies: ArrayLike,
        scores: ScoreColumns | None = None,
        unlabeled: Architectures | None = None,
    ) -> Self:
        """Learns anew; networks whose accuracy is NaN are left out with a warning."""
        check_kind(self.space, archs)
        if unlabeled is not None:
            check_kind(self.space, unlabeled)
        known = _known(type(self).__name__, archs, accuracies, scores, self.fewest)
        self._learned = self._learn(known, unlabeled)
        self._score_names = tuple(known.scores)
        return self

    def predict(self, archs: Architectures, scores: ScoreColumns | None = None) -> Forecast:
        """Foresees m networks; see :meth:`foretrain.predictors.base.Predictor.predict`."""
        learned = self.learned
        check_kind(self.space, archs)
        return self._foresee(learned, archs, columns(scores, len(archs), self._score_names))


def check_kind(space: SearchSpace[Any], archs: Architectures) -> None:
    """Refuses architectures that are not of the space.

    Raises:
        DataError: They are of another kind.
    """
    kind = get_type_hints(type(space).parse)["return"]
    if not isinstance(archs, kind):
        problem = f"are {type(archs).__name__}, the space {space.name} has {kind.__name__}"
        raise DataError("architectures", problem, "Fit and predict within one space")


def columns(scores: ScoreColumns | None, length: int, wanted: tuple[str, ...] | None = None) -> Scores:
    """Returns score columns as ``float64[n]``; what is not finite becomes NaN.

    Args:
        scores: The columns.
        length: The number of networks n.
        wanted: The columns that were there in ``fit``; others are left aside. None takes all.

    Raises:
        DataError: A column is missing or has another length.
    """
    given: Mapping[str, ArrayLike] = scores or {}
    names = tuple(given) if wanted is None else wanted
    found = {}
    for name in names:
        if name not in given:
            raise DataError("scores", f"lack the column {name}, which fit had", f"Give {', '.join(names)}")
        column = np.array(given[name], dtype=np.float64)
        if column.shape != (length,):
            raise DataError(f"scores[{name}]", f"has shape {column.shape} for {length} networks", "Give one a network")
        found[name] = np.where(np.isfinite(column), column, np.nan)
    return found


def _known(who: str, archs: Architectures, accuracies: ArrayLike, scores: ScoreColumns | None, fewest: int) -> Labelled:
    """The networks whose accuracy is known."""
    values = np.array(accuracies, dtype=np.float64)
    if values.shape != (len(archs),):
        raise DataError("accuracies", f"have shape {values.shape} for {len(archs)} networks", "Give one a network")
    there = np.isfinite(values)
    if (np.abs(values[there]) > _LARGEST).any():
        problem = f"hold {values[there][np.abs(values[there]).argmax()]:g}"
        raise DataError("accuracies", problem, "Give percent, or another unit of that order")
    if there.sum() < fewest:
        problem = f"{there.sum()} networks with a known accuracy, {who} needs {fewest}"
        raise DataError("accuracies", problem, "Give more networks")
    everything = Labelled(archs, values, columns(scores, len(values)))
    if there.all():
        return everything
    message = f"{(~there).sum()} of {len(there)} networks have no accuracy (NaN) and are left out"
    warnings.warn(message, ForetrainWarning, stacklevel=3)
    return everything[there]
