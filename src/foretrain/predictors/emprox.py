"""EmProx: the accuracy of a network is that of its neighbours in a learned embedding.

Franken, Singh and Vanschoren, "EmProx: Neural Network Performance Estimation For Neural Architecture Search", 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from foretrain.errors import DataError
from foretrain.forecast import Forecast
from foretrain.predictors.autoencoder import (
    LIVE,
    Code,
    LabelledSequences,
    SequenceAutoencoder,
    num_tokens,
    to_tokens,
)
from foretrain.predictors.base import ScoreColumns
from foretrain.predictors.features import FeatureTable
from foretrain.predictors.neighbours import weighted_neighbours
from foretrain.predictors.regressor import Labelled, Regressor, Scores, columns
from foretrain.predictors.targets import Target
from foretrain.predictors.training import FitSettings, fit_network, seeded
from foretrain.spaces.base import Architectures, SearchSpace

_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Embedded:
    """What EmProx learned: the network that embeds, and one embedding for each known architecture.

    Attributes:
        network: The autoencoder.
        table: How the features that the encoder sees besides the sequence are made, or None.
        embeddings: ``float32[n, d]``.
        accuracies: ``float64[n]``, percent.
    """

    network: ShapedAutoencoder
    table: FeatureTable | None
    embeddings: Tensor
    accuracies: Tensor


class EmProx(Regressor[Embedded]):
    r"""Weighted k nearest neighbours in the embedding of an autoencoder that learned to reconstruct architectures.

    The accuracies play no part in the training unless ``shaping`` is above 0. Then a term is added that shapes the
    embedding by them, the mean squared error of a regression by all other networks of the batch, which nearness
    weights (metric learning for kernel regression, Weinberger and Tesauro, AISTATS 2007):

    .. math:: \lambda \, \Big\langle \Big(y_i - \frac{\sum_{j \ne i} k_{ij} y_j}{\sum_{j \ne i} k_{ij}}\Big)^2
        \Big\rangle_i, \qquad k_{ij} = \exp(-\lVert e_i - e_j \rVert^2 / \tau)

    with standardised accuracies y and a bandwidth :math:`\tau` that is learned too. A sequence does not show which
    operations lie on a way from input to output; with ``encodings`` the encoder also sees columns that do. What the
    sequence is of matters as much: where dead operations are left out of it, cells that are the same network share one
    place, which those of whole cells do not.

    Args:
        space: The space of all architectures.
        seed: Seed of the weights, the batches and dropout.
        neighbours: k, at most the number of networks learned from.
        width: Dimension of the embedding.
        shaping: Weight :math:`\lambda` of the accuracy term.
        encodings: Encodings (and, where given, scores) that the encoder sees besides the sequence; none is the method
            as published.
        sequences: Encodings as sequences; the first that the space has is read.
        settings: How the network is trained.
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        seed: int = 0,
        neighbours: Annotated[int, Field(ge=1)] = 10,
        width: Annotated[int, Field(ge=2)] = 32,
        shaping: Annotated[float, Field(ge=0)] = 0.0,
        encodings: tuple[str, ...] | list[str] = (),
        sequences: tuple[str, ...] | list[str] = LIVE,
        settings: FitSettings | None = None,
    ) -> None:
        super().__init__(space, seed)
        self.neighbours = neighbours
        self.width = width
        self.shaping = shaping
        self.encodings = tuple(encodings)
        self.sequences = tuple(sequences)
        self.settings = settings or FitSettings()

    def tokens(self, archs: Architectures) -> Tensor:
        """Returns the sequences ``int64[m, t]`` that the encoder reads.

        Raises:
            ConfigError: The space has none of the encodings.
        """
        return to_tokens(self.space, archs, self.sequences)

    def embed(self, archs: Architectures, scores: ScoreColumns | None = None) -> Tensor:
        """Returns the embeddings ``float32[m, d]`` of architectures.

        Raises:
            DataError: There was no ``fit``, or the scores are not like those of ``fit``.
        """
        return self._embed(self.learned, archs, columns(scores, len(archs), self._score_names))

    def _learn(self, known: Labelled, unlabeled: Architectures | None) -> Embedded:
        if self.neighbours > len(known):
            problem = f"{len(known)} networks, and {self.neighbours} neighbours are asked for"
            raise DataError("EmProx", problem, "Give more networks or fewer neighbours")
        table, seen = None, np.empty((len(known), 0))
        if self.encodings:
            table, raw = FeatureTable.of(self.space, self.encodings, known, use_scores=True)
            seen = table.standardise(raw)
        target = torch.from_numpy(Target.of(known.accuracies).forward(known.accuracies)).float()
        with seeded(self.seed, "emprox"):
            network = ShapedAutoencoder(num_tokens(self.space), self.width, self.shaping, seen.shape[1])
        batch = SeenSequences(self.tokens(known.archs), target, torch.from_numpy(seen).float())
        fit_network(network, batch, self.settings, self.seed)
        embeddings = network.embed(batch.tokens, batch.features)
        return Embedded(network, table, embeddings, torch.from_numpy(known.accuracies))

    def _foresee(self, learned: Embedded, archs: Architectures, scores: Scores) -> Forecast:
        embeddings = self._embed(learned, archs, scores)
        known = learned.embeddings.double()
        mean = weighted_neighbours(embeddings.double(), known, learned.accuracies, self.neighbours).numpy()
        return Forecast(score=mean, mean=mean)

    def _embed(self, learned: Embedded, archs: Architectures, scores: Scores) -> Tensor:
        tokens = self.tokens(archs)
        if learned.table is None:
            return learned.network.embed(tokens)
        seen = learned.table.standardise(learned.table(self.space, archs, scores))
        return learned.network.embed(tokens, torch.from_numpy(seen).float())


@dataclass(frozen=True, eq=False)
class SeenSequences(LabelledSequences):
    """Sequences with the features that the encoder sees besides.

    Attributes:
        features: ``float32[n, f]``, standardised; f is 0 where there are none.
    """

    features: Tensor


class ShapedAutoencoder(SequenceAutoencoder):
    """The autoencoder with the accuracy term in its loss, and features added to its embedding; see :class:`EmProx`.

    Args:
        num_tokens: Size of the vocabulary.
        width: Dimension of the embedding.
        shaping: Weight of the accuracy term; 0 leaves the plain autoencoder.
        features: Number of features.
    """

    def __init__(self, num_tokens: int, width: int, shaping: float, features: int = 0) -> None:
        super().__init__(num_tokens, width)
        self.options = {"num_tokens": num_tokens, "width": width, "shaping": shaping, "features": features}
        self.look = nn.Linear(features, width) if features else None
        self.shaping = shaping
        # Several devices refuse a parameter that no loss depends on.
        self.log_bandwidth = nn.Parameter(torch.tensor(-1.0), requires_grad=shaping > 0)

    def place(self, code: Code, features: Tensor | None) -> Tensor:
        """Returns the embeddings ``float32[n, d]`` of length 1: those of the sequences and of the features, joined."""
        if self.look is None or features is None:
            return code.embedding
        return F.normalize(code.embedding + F.normalize(self.look(features), dim=-1), dim=-1)

    @torch.no_grad()
    def embed(self, tokens: Tensor, features: Tensor | None = None) -> Tensor:
        """Returns the embeddings ``float32[n, d]`` of any number of sequences and their features."""
        places = torch.split(torch.arange(len(tokens)), _AT_ONCE)
        seen = [None if features is None else features[place] for place in places]
        return torch.cat([self.place(self.encode(tokens[at]), see) for at, see in zip(places, seen, strict=True)])

    def loss(self, batch: SeenSequences) -> Tensor:  # type: ignore[override]
        """Returns the reconstruction loss plus, where shaping is asked for, the accuracy term."""
        code = self.encode(batch.tokens)
        loss = self.reconstruction_loss(code, batch.tokens)
        if not self.shaping or len(batch) < 2:
            return loss
        embeddings = self.place(code, batch.features)
        return loss + self.shaping * kernel_regression_loss(embeddings, batch.target, self.log_bandwidth)


def kernel_regression_loss(embeddings: Tensor, target: Tensor, log_bandwidth: Tensor) -> Tensor:
    """Returns the mean squared error of each target's kernel regression by all others.

    Args:
        embeddings: ``[n, d]``, at least two.
        target: ``[n]``.
        log_bandwidth: Logarithm of the squared distance at which the kernel falls to 1/e.
    """
    squared = (embeddings[:, None] - embeddings).square().sum(-1)
    logits = (-squared * torch.exp(-log_bandwidth)).fill_diagonal_(-torch.inf)
    return (torch.softmax(logits, dim=1) @ target - target).square().mean()
