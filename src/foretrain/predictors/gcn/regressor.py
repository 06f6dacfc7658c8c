"""The GCN that foresees accuracies.

Wen et al., "Neural Predictor for Neural Architecture Search", ECCV 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from foretrain.batches import TensorBatch
from foretrain.forecast import Forecast
from foretrain.predictors.regressor import Labelled, Regressor, Scores
from foretrain.predictors.tabular import forecast
from foretrain.predictors.targets import Target, Transform
from foretrain.predictors.training import FitSettings, fit_network
from foretrain.runtime.random_state import random_state, set_random_state
from foretrain.runtime.seeding import derive_seed, seed_everything
from foretrain.spaces.base import Architectures, SearchSpace
from foretrain.spaces.encodings.graph import GraphBatch

_HEAD = 128
_AT_ONCE = 1 << 11


@dataclass(frozen=True, eq=False)
class LabelledGraphs(TensorBatch):
    """Graphs and what is to be foreseen of them.

    Attributes:
        adjacency: ``float32[n, v, v]``.
        vertices: ``float32[n, v, labels]``.
        mask: ``bool[n, v]``.
        values: ``float32[n]``, standardised targets.
    """

    adjacency: Tensor
    vertices: Tensor
    mask: Tensor
    values: Tensor


class BidirectionalGCN(nn.Module):
    r"""Layers that pass features along the edges and against them, the mean over the vertices, and two linear layers.

    :math:`X_g = \frac12 \mathrm{ReLU}(\hat A X_{g-1} W^+_g) + \frac12 \mathrm{ReLU}(\hat A' X_{g-1} W^-_g)`, where
    :math:`\hat A` and :math:`\hat A'` are :math:`A + I` and its transpose with rows that sum to one.

    Args:
        num_labels: Number of labels of a vertex.
        width: Features of each layer.
        layers: Number of layers.
    """

    def __init__(self, num_labels: int, width: int, layers: int) -> None:
        super().__init__()
        self.options = {"num_labels": num_labels, "width": width, "layers": layers}
        shapes = list(pairwise([num_labels] + [width] * layers))
        self.along = nn.ModuleList(nn.Linear(before, after, bias=False) for before, after in shapes)
        self.against = nn.ModuleList(nn.Linear(before, after, bias=False) for before, after in shapes)
        self.head = nn.Sequential(nn.Linear(width, _HEAD), nn.ReLU(), nn.Linear(_HEAD, 1))

    def forward(self, adjacency: Tensor, vertices: Tensor, mask: Tensor) -> Tensor:
        """Returns ``float[n]``; the arguments are those of :class:`LabelledGraphs`."""
        connected = adjacency + torch.eye(adjacency.shape[-1], device=adjacency.device)
        forwards, backwards = (side / side.sum(-1, keepdim=True) for side in (connected, connected.mT))
        features = vertices
        for along, against in zip(self.along, self.against, strict=True):
            features = (along(forwards @ features).relu() + against(backwards @ features).relu()) / 2
        values: Tensor = self.head(features.sum(1) / mask.sum(1, keepdim=True))[:, 0]
        return values

    def loss(self, batch: LabelledGraphs) -> Tensor:
        """Returns the mean squared error."""
        return functional.mse_loss(self(batch.adjacency, batch.vertices, batch.mask), batch.values)


@dataclass(frozen=True, eq=False)
class FittedGCN:
    """A trained network and what it foresees."""

    network: BidirectionalGCN
    target: Target


class GCNRegressor(Regressor[FittedGCN]):
    """A bidirectional GCN trained on squared errors.

    Args:
        space: A space with the encoding ``graph``.
        seed: Seed of the weights and of the order of the batches.
        width: Features of each layer.
        layers: Number of layers.
        transform: What is learned in place of the accuracy (:class:`foretrain.predictors.targets.Target`).
        settings: How the network is trained.
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        seed: int = 0,
        width: Annotated[int, Field(ge=1)] = 144,
        layers: Annotated[int, Field(ge=1)] = 4,
        transform: Transform = "accuracy",
        settings: FitSettings | None = None,
    ) -> None:
        super().__init__(space, seed)
        self.width = width
        self.layers = layers
        self.transform: Transform = transform
        self.settings = settings or FitSettings(epochs=200, batch_size=16, weight_decay=3e-4)

    def _learn(self, known: Labelled, unlabeled: Architectures | None) -> FittedGCN:
        graphs: GraphBatch = self.space.encode(known.archs, "graph")
        target = Target.of(known.accuracies, self.transform)
        values = torch.from_numpy(target.forward(known.accuracies)).float()
        before = random_state()
        seed_everything(derive_seed(self.seed, "gcn"))
        network = BidirectionalGCN(graphs.vertices.shape[2], self.width, self.layers)
        set_random_state(before)
        table = LabelledGraphs(graphs.adjacency, graphs.vertices, graphs.mask, values)
        return FittedGCN(fit_network(network, table, self.settings, derive_seed(self.seed, "batches")), target)

    @torch.no_grad()
    def _foresee(self, learned: FittedGCN, archs: Architectures, scores: Scores) -> Forecast:
        parts = [np.empty(0)]
        for start in range(0, len(archs), _AT_ONCE):
            graphs: GraphBatch = self.space.encode(archs[start : start + _AT_ONCE], "graph")
            values = learned.network(graphs.adjacency, graphs.vertices, graphs.mask)
            parts.append(values.double().numpy())
        return forecast(learned.target, np.concatenate(parts))
