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
from numpy.typing import NDArray
from torch import Tensor

from foretrain.forecast import Forecast
from foretrain.predictors.base import FloatArray
from foretrain.predictors.regressor import Labelled, Regressor, Scores
from foretrain.predictors.targets import Target, Transform
from foretrain.spaces.base import Architectures, SearchSpace
from foretrain.spaces.encodings.neighbourhoods import neighbourhoods

_SIGNALS = 10.0 ** np.arange(-1, 3.01, 0.5)
_NOISES = 10.0 ** np.arange(-2, 0.01, 0.25)
"""Variances of the prior and of the noise, among which the evidence chooses."""


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
    a grid that maximises the evidence. Its forecasts have no interval.

    Args:
        space: A space with the encodings ``graph`` and ``graph_features``.
        seed: Not used: nothing is random.
        transform: What is learned in place of the accuracy (:class:`foretrain.predictors.targets.Target`).
    """

    def __init__(self, space: SearchSpace[Any], seed: int = 0, transform: Transform = "log_error") -> None:
        super().__init__(space, seed)
        self.transform: Transform = transform
        self._taken_apart: WeakKeyDictionary[Architectures, Composition] = WeakKeyDictionary()

    def _learn(self, known: Labelled, unlabeled: Architectures | None) -> LinearComposition:
        target = Target.of(known.accuracies, self.transform)
        cells = Composition.of(self.space, known.archs)
        columns = cells.counts()
        weights, shift = _regress(columns, target.forward(known.accuracies))
        features = cells.features.shape[1]
        return LinearComposition(target, cells.kinds, weights[features:], weights[:features], shift)

    def _foresee(self, learned: LinearComposition, archs: Architectures, scores: Scores) -> Forecast:
        if archs not in self._taken_apart:
            self._taken_apart[archs] = Composition.of(self.space, archs)
        foreseen = learned(self._taken_apart[archs])
        return Forecast(foreseen, learned.target.backward(foreseen))


def _regress(columns: FloatArray, values: FloatArray) -> tuple[FloatArray, float]:
    """Returns weights ``float64[d]`` and shift of a linear function of the columns.

    With the eigenvalues of the centred, scaled columns' products, the evidence of every pair of variances is a sum over
    n numbers, and the weights' posterior mean is one product more (Bishop 2006, section 3.5, in its dual form).
    """
    centre, scale = columns.mean(axis=0), columns.std(axis=0)
    used = scale > 1e-6 * np.abs(columns).max(axis=0, initial=1.0)
    weights = np.zeros(columns.shape[1])
    if not used.any():
        return weights, float(values.mean())
    design = (columns[:, used] - centre[used]) / (scale[used] * np.sqrt(used.sum()))
    eigenvalues, basis = np.linalg.eigh(design @ design.T)
    along = basis.T @ (values - values.mean())
    signal, noise = _most_evident(np.maximum(eigenvalues, 0), along)
    posterior = signal * design.T @ (basis @ (along / (signal * np.maximum(eigenvalues, 0) + noise)))
    weights[used] = posterior / (scale[used] * np.sqrt(used.sum()))
    return weights, float(values.mean() - weights @ centre)


def _most_evident(eigenvalues: NDArray[np.float64], along: FloatArray) -> tuple[float, float]:
    """The variances of prior and noise under which the values are most likely."""
    variances = _SIGNALS[:, None, None] * eigenvalues + _NOISES[None, :, None]
    evidence = -(along**2 / variances + np.log(variances)).sum(axis=-1)
    signal, noise = np.unravel_index(int(evidence.argmax()), evidence.shape)
    return float(_SIGNALS[signal]), float(_NOISES[noise])
