"""Ensembles of multi-layer perceptrons on the columns of a table: MLP and BANANAS.

White, Neiswanger and Savani, "BANANAS: Bayesian Optimization with Neural Architectures for Neural Architecture
Search", AAAI 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from foretrain.batches import TensorBatch
from foretrain.predictors.base import FloatArray
from foretrain.predictors.features import FeatureTable
from foretrain.predictors.tabular import Guess, TabularRegressor
from foretrain.predictors.targets import Transform
from foretrain.predictors.training import FitSettings, fit_network, seeded
from foretrain.spaces.base import SearchSpace

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, eq=False)
class LabelledColumns(TensorBatch):
    """n rows of a table with their targets.

    Attributes:
        columns: ``float32[n, d]``.
        target: ``float32[n]``.
    """

    columns: Tensor
    target: Tensor


class PerceptronEnsemble(nn.Module):
    """Perceptrons of one size with independent weights, computed side by side.

    Args:
        inputs: Number of columns d.
        members: Number of perceptrons.
        layers: Hidden layers, ReLU after each.
        width: Units of a hidden layer.
    """

    def __init__(self, inputs: int, members: int, layers: int, width: int) -> None:
        super().__init__()
        self.options: dict[str, Any] = {"inputs": inputs, "members": members, "layers": layers, "width": width}
        sizes = [inputs] + [width] * layers + [1]
        shapes = list(pairwise(sizes))
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(members, *shape)) for shape in shapes)
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(members, 1, size)) for size in sizes[1:])
        for member in range(members):
            for weight in self.weights:
                nn.init.xavier_uniform_(weight.data[member])

    def forward(self, columns: Tensor) -> Tensor:
        """Returns what each member says of ``float32[n, d]``: ``float32[members, n]``."""
        hidden = columns.expand(len(self.weights[0]), *columns.shape)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, torch.relu(hidden) if layer else hidden, weight)
        return hidden.squeeze(-1)

    def loss(self, batch: LabelledColumns) -> Tensor:
        """Returns the mean absolute error, summed over the members, so that each is trained as if alone."""
        error: Tensor = (self(batch.columns) - batch.target).abs().mean(1)
        return error.sum()


@dataclass(frozen=True, eq=False)
class Perceptrons:
    """Trained perceptrons.

    Attributes:
        network: The ensemble.
    """

    network: PerceptronEnsemble

    @torch.no_grad()
    def __call__(self, columns: FloatArray) -> Guess:
        """Foresees ``float64[m, d]`` columns: mean of the members and, of more than one, their spread."""
        said = self.network(torch.from_numpy(columns).float()).double().numpy()
        return Guess(said.mean(axis=0), said.std(axis=0, ddof=1) if len(said) > 1 else None)


class MLPEnsemble(TabularRegressor[Perceptrons]):
    """The mean of multi-layer perceptrons that start from different weights.

    One on the one-hot encoding is the "MLP" of the papers, three on the path encoding are BANANAS' predictor.

    Args:
        space: The space of all architectures.
        seed: Seed of weights and batches.
        encodings: Encodings whose columns are put side by side.
        use_scores: Whether scores that are given become columns too.
        transform: What is learned in place of the accuracy.
        members: Number of perceptrons.
        layers: Hidden layers.
        width: Units of a hidden layer.
        settings: How they are trained.
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        seed: int = 0,
        encodings: tuple[str, ...] | list[str] = ("one_hot",),
        use_scores: bool = True,
        transform: Transform = "accuracy",
        members: Count = 1,
        layers: Count = 20,
        width: Count = 20,
        settings: FitSettings | None = None,
    ) -> None:
        super().__init__(space, seed, encodings, use_scores, transform)
        self.members = members
        self.layers = layers
        self.width = width
        self.settings = settings or FitSettings(epochs=200, batch_size=32)

    @property
    def interval_from(self) -> int | None:
        """One perceptron knows no spread."""
        return self.fewest if self.members > 1 else None

    def _learn_columns(self, table: FeatureTable, columns: FloatArray, values: FloatArray) -> Perceptrons:
        with seeded(self.seed, "perceptrons"):
            network = PerceptronEnsemble(columns.shape[1], self.members, self.layers, self.width)
        labelled = LabelledColumns(
            *(torch.from_numpy(np.ascontiguousarray(part)).float() for part in (columns, values))
        )
        return Perceptrons(fit_network(network, labelled, self.settings, self.seed))
