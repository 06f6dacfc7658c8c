"""EmProx: the accuracy of a network is that of its neighbours in a learned embedding.

Franken, Singh and Vanschoren, "EmProx: Neural Network Performance Estimation For Neural Architecture Search", 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from foretrain.errors import DataError
from foretrain.forecast import Forecast
from foretrain.predictors.autoencoder import LabelledSequences, SequenceAutoencoder, num_tokens, to_tokens
from foretrain.predictors.neighbours import weighted_neighbours
from foretrain.predictors.regressor import Labelled, Regressor, Scores
from foretrain.predictors.targets import Target
from foretrain.predictors.training import FitSettings, fit_network, seeded
from foretrain.spaces.base import Architectures, SearchSpace


@dataclass(frozen=True, eq=False)
class Embedded:
    """What EmProx learned: the network that embeds, and one embedding for each known architecture.

    Attributes:
        network: The autoencoder.
        embeddings: ``float32[n, d]``.
        accuracies: ``float64[n]``, percent.
    """

    network: SequenceAutoencoder
    embeddings: Tensor
    accuracies: Tensor


class EmProx(Regressor[Embedded]):
    r"""Weighted k nearest neighbours in the embedding of an autoencoder that learned to reconstruct architectures.

    The accuracies play no part in the training unless ``shaping`` is above 0. Then a term is added that shapes the
    embedding by them, the mean squared error of a regression by all other networks of the batch, which nearness
    weights (metric learning for kernel regression, Weinberger and Tesauro, AISTATS 2007):

    .. math:: \lambda \, \Big\langle \Big(y_i - \frac{\sum_{j \ne i} k_{ij} y_j}{\sum_{j \ne i} k_{ij}}\Big)^2
        \Big\rangle_i, \qquad k_{ij} = \exp(-\lVert e_i - e_j \rVert^2 / \tau)

    with standardised accuracies y and a bandwidth :math:`\tau` that is learned too.

    Args:
        space: The space of all architectures.
        seed: Seed of the weights, the batches and dropout.
        neighbours: k, at most the number of networks learned from.
        width: Dimension of the embedding.
        shaping: Weight :math:`\lambda` of the accuracy term.
        settings: How the network is trained.
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        seed: int = 0,
        neighbours: Annotated[int, Field(ge=1)] = 10,
        width: Annotated[int, Field(ge=2)] = 32,
        shaping: Annotated[float, Field(ge=0)] = 0.0,
        settings: FitSettings | None = None,
    ) -> None:
        super().__init__(space, seed)
        self.neighbours = neighbours
        self.width = width
        self.shaping = shaping
        self.settings = settings or FitSettings()

    def embed(self, archs: Architectures) -> Tensor:
        """Returns the embeddings ``float32[m, d]`` of architectures.

        Raises:
            DataError: There was no ``fit``.
        """
        return self.learned.network.embed(to_tokens(self.space, archs))

    def _learn(self, known: Labelled, unlabeled: Architectures | None) -> Embedded:
        if self.neighbours > len(known):
            problem = f"{len(known)} networks, and {self.neighbours} neighbours are asked for"
            raise DataError("EmProx", problem, "Give more networks or fewer neighbours")
        tokens = to_tokens(self.space, known.archs)
        target = torch.from_numpy(Target.of(known.accuracies).forward(known.accuracies)).float()
        with seeded(self.seed, "emprox"):
            network = ShapedAutoencoder(num_tokens(self.space), self.width, self.shaping)
        fit_network(network, LabelledSequences(tokens, target), self.settings, self.seed)
        return Embedded(network, network.embed(tokens), torch.from_numpy(known.accuracies))

    def _foresee(self, learned: Embedded, archs: Architectures, scores: Scores) -> Forecast:
        embeddings = learned.network.embed(to_tokens(self.space, archs))
        known = learned.embeddings.double()
        mean = weighted_neighbours(embeddings.double(), known, learned.accuracies, self.neighbours).numpy()
        return Forecast(score=mean, mean=mean)


class ShapedAutoencoder(SequenceAutoencoder):
    """The autoencoder with the accuracy term in its loss; see :class:`EmProx`.

    Args:
        num_tokens: Size of the vocabulary.
        width: Dimension of the embedding.
        shaping: Weight of the accuracy term; 0 leaves the plain autoencoder.
    """

    def __init__(self, num_tokens: int, width: int, shaping: float) -> None:
        super().__init__(num_tokens, width)
        self.options = {"num_tokens": num_tokens, "width": width, "shaping": shaping}
        self.shaping = shaping
        self.log_bandwidth = nn.Parameter(torch.tensor(-1.0))

    def loss(self, batch: LabelledSequences) -> Tensor:
        """Returns the reconstruction loss plus, where shaping is asked for, the accuracy term."""
        code = self.encode(batch.tokens)
        loss = self.reconstruction_loss(code, batch.tokens)
        if not self.shaping or len(batch) < 2:
            return loss
        return loss + self.shaping * kernel_regression_loss(code.embedding, batch.target, self.log_bandwidth)


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
