"""Bayesian linear regression on what a cell is made of: its neighbourhoods, counted, and its graph features.

The counts are those of a Weisfeiler-Lehman kernel of one round (Ru et al., "Interpretable Neural Architecture Search
via Bayesian Optimisation with Weisfeiler-Lehman Kernels", ICLR 2021), here on either side of a vertex. The model has as
many weights as there are counts, so it ranks hundreds of thousands of cells in a moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from foretrain.errors import DataError
from foretrain.forecast import Forecast
from foretrain.predictors.base import FloatArray
from foretrain.predictors.posterior import Columns, Posterior
from foretrain.predictors.regressor import Labelled, Regressor, Scores
from foretrain.predictors.targets import Target, Transform
from foretrain.spaces.base import Architectures, SearchSpace
from foretrain.spaces.encodings.neighbourhoods import neighbourhoods


@dataclass(frozen=True, eq=False)
class Composition:
    """What n cells are made of.

    Attributes:
        kinds: ``int64[k]``, the neighbourhoods that occur, ascending.
        vertices: ``int64[n, w]``, which of them the vertices have, on either side; k where there is none.
        features: ``float32[n, d]``, graph features.
    """

    kinds: Tensor
    vertices: Tensor
    features: Tensor

    @classmethod
    def of(cls, space: SearchSpace[Any], archs: Architectures) -> Composition:
        """Takes cells apart."""
        codes = neighbourhoods(space.encode(archs, "graph"))
        kinds, vertices = torch.unique(codes, return_inverse=True)
        if len(kinds) and kinds[0] < 0:
            kinds, vertices = kinds[1:], torch.where(vertices > 0, vertices - 1, len(kinds) - 1)
        return cls(kinds, vertices, torch.as_tensor(space.encode(archs, "graph_features")))

    def counts(self) -> FloatArray:
        """Returns ``float64[n, d + k]``: the features, and how often each neighbourhood occurs."""
        counted = torch.zeros(len(self.vertices), len(self.kinds) + 1)
        counted.scatter_add_(1, self.vertices, torch.ones_like(self.vertices, dtype=torch.float))
        columns: FloatArray = torch.cat([self.features, counted[:, :-1]], dim=1).double().numpy()
        return columns


@dataclass(frozen=True, eq=False)
class LinearComposition:
    """A linear function of what a cell is made of.

    Attributes:
        target: What it foresees.
        kinds: ``int64[k]``, the neighbourhoods that it knows, ascending.
        of_kinds: ``float64[k]``, their weights; others weigh nothing.
        of_features: ``float64[d]``, weights of the graph features.
        shift: What is added.
    """

    target: Target
    kinds: Tensor
    of_kinds: FloatArray
    of_features: FloatArray
    shift: float

    @classmethod
    def of(cls, target: Target, kinds: Tensor, weights: FloatArray, shift: float) -> LinearComposition:
        """Takes the weights of :meth:`Composition.counts`."""
        features = len(weights) - len(kinds)
        return cls(target, kinds, weights[features:], weights[:features], shift)

    def __call__(self, cells: Composition) -> FloatArray:
        """Foresees the standardised targets ``float64[n]`` of cells."""
        weights = np.zeros(len(cells.kinds) + 1)
        if len(self.kinds):
            place = torch.searchsorted(self.kinds, cells.kinds).clamp(max=len(self.kinds) - 1)
            weights[:-1] = np.where(self.kinds[place] == cells.kinds, self.of_kinds[place.numpy()], 0.0)
        by_vertex = torch.from_numpy(weights)[cells.vertices].sum(1)
        by_feature = cells.features @ torch.from_numpy(self.of_features).float()
        foreseen: FloatArray = (by_vertex + by_feature).numpy() + self.shift
        return foreseen


class WeisfeilerLehmanLinear(Regressor[LinearComposition]):
    """Bayesian linear regression on counted neighbourhoods and graph features.

    Columns are standardised over the training set; the variances of the weights' prior and of the noise are the pair of
    a grid that maximises the evidence. Its forecasts have no interval, but :meth:`draw` gives whole functions.

    Args:
        space: A space with the encodings ``graph`` and ``graph_features``.
        seed: Not used: nothing is random.
        transform: What is learned in place of the accuracy (:class:`foretrain.predictors.targets.Target`).
    """

    def __init__(self, space: SearchSpace[Any], seed: int = 0, transform: Transform = "log_error") -> None:
        super().__init__(space, seed)
        self.transform: Transform = transform
        self._taken_apart: WeakKeyDictionary[Architectures, Composition] = WeakKeyDictionary()
        self._posterior: tuple[Posterior, Columns, float] | None = None

    def draw(self, archs: Architectures, generator: torch.Generator) -> FloatArray:
        """Draws a function from what was learned and returns its values ``float64[n]``; higher is better.

        They rank the networks as one truth does that the training set does not rule out, for Thompson sampling.

        Raises:
            DataError: There was no ``fit``; a loaded predictor keeps the mean of what it learned only.
        """
        if self._posterior is None:
            raise DataError(type(self).__name__, "has no functions to draw", "Call fit; a file holds the mean only")
        posterior, columns, mean = self._posterior
        weights, shift = columns.weights(posterior.draw(generator))
        drawn = LinearComposition.of(self.learned.target, self.learned.kinds, weights, mean + shift)
        return drawn(self._composition(archs))

    def _learn(self, known: Labelled, unlabeled: Architectures | None) -> LinearComposition:
        target = Target.of(known.accuracies, self.transform)
        cells = Composition.of(self.space, known.archs)
        counts, values = cells.counts(), target.forward(known.accuracies)
        columns = Columns.of(counts)
        mean = float(values.mean())
        posterior = Posterior.of(columns.design(counts), values - mean)
        self._posterior = posterior, columns, mean
        weights, shift = columns.weights(posterior.mean())
        return LinearComposition.of(target, cells.kinds, weights, mean + shift)

    def _foresee(self, learned: LinearComposition, archs: Architectures, scores: Scores) -> Forecast:
        foreseen = learned(self._composition(archs))
        return Forecast(foreseen, learned.target.backward(foreseen))

    def _composition(self, archs: Architectures) -> Composition:
        if archs not in self._taken_apart:
            self._taken_apart[archs] = Composition.of(self.space, archs)
        return self._taken_apart[archs]
