"""Architectures as the columns of a table: encodings, and scores that come from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from foretrain.errors import ConfigError
from foretrain.predictors.base import FloatArray
from foretrain.predictors.regressor import Labelled, Scores
from foretrain.spaces.base import Architectures, SearchSpace


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """How a training set's architectures and scores become ``float64[n, d]``, and those of others in the same way.

    Columns that are the same for all networks of the training set are left out. A score that could not be had is
    replaced by the median of its column over the training set (0 where the column is empty there).

    Attributes:
        encodings: Names of the encodings.
        scores: Names of the score columns.
        medians: ``float64[scores]``, what missing scores are replaced by.
        filled: ``int64[scores]``, how many scores of the training set were missing.
        kept: ``int64[d]``, which columns vary in the training set.
        groups: ``int64[d]``, the number of the encoding that each of them is of; the scores come after the encodings.
        mean: ``float64[d]``, their means there.
        scale: ``float64[d]``, their standard deviations there.
        logarithms: Whether the columns of encodings are logarithms of one plus what the encodings give.
    """

    encodings: tuple[str, ...]
    scores: tuple[str, ...]
    medians: FloatArray
    filled: NDArray[np.int64]
    kept: NDArray[np.int64]
    groups: NDArray[np.int64]
    mean: FloatArray
    scale: FloatArray
    logarithms: bool = False

    @classmethod
    def of(
        cls,
        space: SearchSpace[Any],
        encodings: Sequence[str],
        known: Labelled,
        use_scores: bool,
        logarithms: bool = False,
    ) -> tuple[FeatureTable, FloatArray]:
        """Returns the table's description and the training set's columns ``float64[n, d]``.

        Raises:
            ConfigError: There are neither encodings nor scores.
        """
        names = tuple(known.scores) if use_scores else ()
        given = np.stack([known.scores[name] for name in names]) if names else np.empty((0, len(known)))
        if not encodings and not names:
            raise ConfigError("encodings", "no encodings and no scores: nothing to learn from", list(encodings))
        medians = np.array([_median_of_known(column) for column in given])
        parts = _columns(space, encodings, known.archs, _fill(given, medians), logarithms)
        whole = np.concatenate(parts, axis=1)
        groups = np.repeat(np.arange(len(parts)), [part.shape[1] for part in parts])
        scale = whole.std(axis=0)
        kept = np.flatnonzero(scale > np.finfo(np.float32).eps * np.abs(whole).max(axis=0, initial=1e-30))
        table = cls(
            encodings=tuple(encodings),
            scores=names,
            medians=medians,
            filled=np.isnan(given).sum(axis=1),
            kept=kept,
            groups=groups[kept],
            mean=whole[:, kept].mean(axis=0),
            scale=scale[kept],
            logarithms=logarithms,
        )
        return table, whole[:, kept]

    @property
    def fill_report(self) -> dict[str, int]:
        """How many scores of the training set were filled, by name; only those with gaps."""
        return {name: int(count) for name, count in zip(self.scores, self.filled, strict=True) if count}

    def __call__(self, space: SearchSpace[Any], archs: Architectures, scores: Scores) -> FloatArray:
        """Returns the same columns of other networks, ``float64[m, d]``."""
        given = np.stack([scores[name] for name in self.scores]) if self.scores else np.empty((0, len(archs)))
        parts = _columns(space, self.encodings, archs, _fill(given, self.medians), self.logarithms)
        return np.concatenate(parts, axis=1)[:, self.kept]

    def standardise(self, columns: FloatArray) -> FloatArray:
        """Returns the columns with mean 0 and standard deviation 1 on the training set."""
        return (columns - self.mean) / self.scale


def _median_of_known(column: FloatArray) -> float:
    known = column[~np.isnan(column)]
    return float(np.median(known)) if len(known) else 0.0


def _fill(given: FloatArray, medians: FloatArray) -> FloatArray:
    return np.where(np.isnan(given), medians[:, None], given)


def _columns(
    space: SearchSpace[Any], encodings: Sequence[str], archs: Architectures, scores: FloatArray, logarithms: bool
) -> list[FloatArray]:
    """The columns of each encoding, and those of the scores."""
    parts = [torch.as_tensor(space.encode(archs, kind)).cpu().double().numpy() for kind in encodings]
    return [*(np.log1p(part) if logarithms else part for part in parts), scores.T]
