"""The GCN ranker as a predictor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import Field
from torch import Tensor

from foretrain.errors import DataError
from foretrain.forecast import Forecast
from foretrain.predictors.gcn.module import RankedGraphs, RankerModule
from foretrain.predictors.gcn.neighbourhoods import Neighbourhoods
from foretrain.predictors.gcn.network import GCN, Normalization
from foretrain.predictors.regressor import Labelled, Regressor, Scores, check_kind
from foretrain.runtime.random_state import random_state, set_random_state
from foretrain.runtime.seeding import derive_seed, seed_everything
from foretrain.spaces.base import Architectures, SearchSpace

_VIEWS: WeakKeyDictionary[Architectures, dict[tuple[Normalization, int], Neighbourhoods]] = WeakKeyDictionary()
"""What GCNs see of a batch, as long as the batch lives: a search ranks the same whole space again and again."""

_FITTED_ON = "fitted_on"
_HALVINGS = 4
"""A descent that fails is repeated so many times, at half the learning rate each time."""


class GCNRanker(Regressor[GCN]):
    """A graph convolutional network that learns from all pairs which of two networks is better.

    Mauch et al., "Efficient Sampling for Predictor-Based Neural Architecture Search", 2020; the defaults are theirs.
    It ranks only: its forecasts have scores and no means.

    Args:
        space: A space with the encoding ``graph``.
        seed: Seed of the initial weights.
        widths: Features of the graph convolutions.
        epochs: Steps of the descent, each over all pairs, from random weights.
        update_epochs: Steps of a warm start (:meth:`update`).
        learning_rate: Learning rate of the first step; it falls to zero as a cosine. A descent that diverges, or
            after which no unit is active any more, is done again at half of it.
        momentum: Momentum of the descent.
        weight_decay: L2 regularisation.
        normalization: See :class:`foretrain.predictors.gcn.network.GCN`.
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        seed: int = 0,
        widths: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] | tuple[int, ...] = (256, 256, 256),
        epochs: Annotated[int, Field(ge=1)] = 2000,
        update_epochs: Annotated[int, Field(ge=1)] = 100,
        learning_rate: Annotated[float, Field(gt=0)] = 0.01,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        weight_decay: Annotated[float, Field(ge=0)] = 0.0,
        normalization: Normalization = "one_sided",
    ) -> None:
        super().__init__(space, seed)
        self.widths = tuple(widths)
        self.epochs = epochs
        self.update_epochs = update_epochs
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.normalization: Normalization = normalization
        self._fitted_on = 0

    def update(self, archs: Architectures, accuracies: ArrayLike) -> Self:
        """Learns on from the weights of the last fit or update, with few steps.

        Where there are twice as many architectures as at the last :meth:`fit`, it is one: a descent on a handful of
        networks leaves most units dead for all networks, and no later step brings these back. All fits of a growing
        table together thus take a number of steps that grows with the logarithm of its size.

        Args:
            archs: All n architectures that are known by now.
            accuracies: ``float[n]``, percent.
        """
        if self._learned is None or len(archs) >= 2 * self._fitted_on:
            return self.fit(archs, accuracies)
        check_kind(self.space, archs)
        known = Labelled(archs, np.asarray(accuracies, dtype=np.float64), {})
        self._learned = self._descend(self.update_epochs, known, self.learned)
        return self

    def state(self) -> Mapping[str, Tensor]:
        """Returns the weights and how many networks the last fit had; empty before the first fit."""
        return {} if self._learned is None else self._learned.state_dict() | {_FITTED_ON: torch.tensor(self._fitted_on)}

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from what :meth:`state` of a ranker of these settings returned."""
        if state:
            self._fitted_on = int(state[_FITTED_ON])
            self._learned = self._module(1, self.learning_rate).gcn
            self._learned.load_state_dict({name: value for name, value in state.items() if name != _FITTED_ON})

    def _learn(self, known: Labelled, unlabeled: Architectures | None) -> GCN:
        self._fitted_on = len(known.archs)
        return self._descend(self.epochs, known)

    @torch.no_grad()
    def _foresee(self, learned: GCN, archs: Architectures, scores: Scores) -> Forecast:
        if len(archs) == 0:
            return Forecast(np.empty(0))
        return Forecast(self._views(learned, archs).score(learned).double().cpu().numpy())

    def _module(self, steps: int, learning_rate: float, start: GCN | None = None) -> RankerModule:
        """A module with weights that depend on the seed only, or with those of ``start``."""
        before = random_state()
        seed_everything(derive_seed(self.seed, "ranker"))
        labels = self.space.encode(self.space.sample(1, torch.Generator()), "graph").vertices.shape[2]
        options = (learning_rate, self.momentum, self.weight_decay)
        module = RankerModule(labels, self.widths, self.normalization, *options, steps)
        set_random_state(before)
        if start is not None:
            module.gcn.load_state_dict(start.state_dict())
        return module

    def _descend(self, steps: int, known: Labelled, start: GCN | None = None) -> GCN:
        """Learns from random weights or those of ``start``; where that fails, anew at half the learning rate."""
        batch: RankedGraphs | None = None
        for halvings in range(_HALVINGS + 1):
            module = self._module(steps, self.learning_rate / 2**halvings, start)
            if batch is None:
                graphs = Neighbourhoods.of(self.space.encode(known.archs, "graph"), module.gcn)
                batch = RankedGraphs(graphs, torch.from_numpy(known.accuracies))
            module.descend(batch)
            if _tells_apart(module.gcn, batch):
                break
        if not all(weight.isfinite().all() for weight in module.gcn.parameters()):
            raise DataError("GCNRanker", "its weights are no longer finite", "Lower the learning rate")
        return module.gcn.eval()

    def _views(self, gcn: GCN, archs: Architectures) -> Neighbourhoods:
        kept = _VIEWS.setdefault(archs, {})
        form = (gcn.normalization, len(gcn.weights))
        if form not in kept:
            kept[form] = Neighbourhoods.of(self.space.encode(archs, "graph"), gcn)
        return kept[form]


@torch.no_grad()
def _tells_apart(gcn: GCN, batch: RankedGraphs) -> bool:
    """Whether the scores are finite and not all equal: where all units are dead, nothing is learned any more."""
    scores = batch.graphs.score(gcn)
    return bool(scores.isfinite().all() and (scores != scores[0]).any())
