"""NAO and SemiNAS: an accuracy head on the autoencoder's embedding, and new architectures by gradient ascent.

Luo et al., "Neural Architecture Optimization", NeurIPS 2018; Luo et al., "Semi-Supervised Neural Architecture
Search", NeurIPS 2020.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from foretrain.errors import ForetrainWarning
from foretrain.forecast import Forecast
from foretrain.predictors.autoencoder import (
    LIVE,
    Code,
    LabelledSequences,
    SequenceAutoencoder,
    num_tokens,
    reconstruction_accuracy,
    sequence_kind,
    summarise,
    to_tokens,
)
from foretrain.predictors.regressor import Labelled, Regressor, Scores
from foretrain.predictors.tabular import forecast
from foretrain.predictors.targets import Target
from foretrain.predictors.training import FitSettings, fit_network, seeded
from foretrain.runtime.seeding import derive_seed, make_generator
from foretrain.spaces.base import Architectures, SearchSpace

_HALF = 0.5**0.5
_FEW, _FEWEST_BACK = 0.1, 1 / 3
_AT_ONCE = 4096


class NAONetwork(SequenceAutoencoder):
    """The autoencoder with a head that reads the accuracy off the embedding.

    The head: linear d -> hidden -> d with ReLU and dropout, scaled residual, linear -> 1.

    Args:
        num_tokens: Size of the vocabulary.
        width: Dimension d of the embedding.
        hidden: Width of the head's hidden layer.
        trade_off: Share of the squared error in the loss; the rest is the reconstruction.
        dropout: Dropout of token embeddings and of the head.
    """

    def __init__(
        self, num_tokens: int, width: int = 64, hidden: int = 16, trade_off: float = 0.8, dropout: float = 0.1
    ) -> None:
        super().__init__(num_tokens, width, dropout)
        self.options |= {"hidden": hidden, "trade_off": trade_off}
        self.trade_off = trade_off
        self.head = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width), nn.ReLU()
        )
        self.judge = nn.Linear(width, 1)

    def score(self, embedding: Tensor) -> Tensor:
        """Returns the standardised accuracies ``float32[n]`` of embeddings ``float32[n, d]``."""
        judged: Tensor = self.judge((self.head(embedding) + embedding) * _HALF)
        return judged.squeeze(-1)

    def loss(self, batch: LabelledSequences) -> Tensor:
        """Returns ``trade_off`` times the squared error plus the rest times the reconstruction loss."""
        code = self.encode(batch.tokens)
        error = (self.score(code.embedding) - batch.target).square().mean()
        return self.trade_off * error + (1 - self.trade_off) * self.reconstruction_loss(code, batch.tokens)

    @torch.no_grad()
    def foresee(self, tokens: Tensor) -> Tensor:
        """Returns the standardised accuracies ``float32[n]`` of any number of sequences."""
        return torch.cat([self.score(self.encode(part).embedding) for part in torch.split(tokens, _AT_ONCE)])

    def ascend(self, tokens: Tensor, step: float, steps: int) -> Code:
        """Moves the code of sequences uphill: so many steps along the gradient of their score."""
        memory = self.encode(tokens).memory.detach()
        for _ in range(steps):
            memory.requires_grad_(True)
            (gradient,) = torch.autograd.grad(self.score(summarise(memory).embedding).sum(), memory)
            memory = memory.detach() + step * gradient
        return summarise(memory)


@dataclass(frozen=True, eq=False)
class LearnedNAO:
    """What NAO learned.

    Attributes:
        network: Autoencoder and head.
        target: What the head's output means.
        decoded: The share of the known architectures that come back when decoded freely from their codes.
    """

    network: NAONetwork
    target: Target
    decoded: float

    @classmethod
    def of(cls, network: NAONetwork, target: Target, tokens: Tensor) -> LearnedNAO:
        """Tries the decoder of a trained network on the sequences ``int64[n, t]`` of the known architectures."""
        return cls(network, target, reconstruction_accuracy(network, tokens)[1])


class NAO(Regressor[LearnedNAO]):
    """Foresees accuracies from the embedding of an autoencoder that is trained along with the head.

    Args:
        space: The space of all architectures.
        seed: Seed of the weights, the batches and dropout.
        width: Dimension of the embedding.
        hidden: Width of the head's hidden layer.
        trade_off: Share of the squared error in the loss; the rest is the reconstruction.
        sequences: Encodings as sequences; the first that the space has is read.
        settings: How the network is trained.
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        seed: int = 0,
        width: Annotated[int, Field(ge=2)] = 64,
        hidden: Annotated[int, Field(ge=1)] = 16,
        trade_off: Annotated[float, Field(ge=0, le=1)] = 0.8,
        sequences: tuple[str, ...] | list[str] = LIVE,
        settings: FitSettings | None = None,
    ) -> None:
        super().__init__(space, seed)
        self.width = width
        self.hidden = hidden
        self.trade_off = trade_off
        self.sequences = tuple(sequences)
        self.settings = settings or FitSettings()

    def tokens(self, archs: Architectures) -> Tensor:
        """Returns the sequences ``int64[m, t]`` that the encoder reads.

        Raises:
            ConfigError: The space has none of the encodings.
        """
        return to_tokens(self.space, archs, self.sequences)

    def improve(self, archs: Architectures, step: float = 1.0, steps: int = 10) -> Architectures:
        """Proposes architectures that the head holds for better than the given ones.

        The code of each is moved uphill along the gradient of its score and decoded. What decodes to no architecture
        of the space is left out, and so is what the head, once it reads it, does not hold for better than the
        architecture that the ascent began from: a decoder may stray from the code.

        Args:
            archs: Where to start, e.g. the best known.
            step: Length of a step in units of the gradient.
            steps: Number of steps; more of them lead further away.

        Returns:
            At most as many architectures.

        Raises:
            ConfigError: The space cannot turn sequences back into architectures.
            DataError: There was no ``fit``.

        Warns:
            ForetrainWarning: Nearly nothing better was found, and the decoder gives back less than a third of the
                architectures that it learned from: it was trained too little for the ascent to lead anywhere.
        """
        network = self.learned.network
        kind = sequence_kind(self.space, self.sequences)
        tokens = self.tokens(archs)
        climbed = network.speak_freely(network.ascend(tokens, step, steps))
        found, valid = self.space.decode(climbed, kind)
        better = network.foresee(self.tokens(found)) > network.foresee(tokens[valid])
        proposed: Architectures = found[better.nonzero().flatten()]
        if self.learned.decoded < _FEWEST_BACK and len(proposed) < _FEW * len(archs):
            message = (
                f"the decoder gives back {self.learned.decoded:.0%} of the architectures that it learned from, so that "
                f"ascents lead nowhere: {len(proposed)} of {len(archs)} ended in a better one. Train it longer "
                "(settings: more epochs, a higher learning rate) or on sequences=[compact_sequence]"
            )
            warnings.warn(message, ForetrainWarning, stacklevel=2)
        return proposed

    def _learn(self, known: Labelled, unlabeled: Architectures | None) -> LearnedNAO:
        network, target, table = self._begin(known)
        return LearnedNAO.of(fit_network(network, table, self.settings, self.seed), target, table.tokens)

    def _begin(self, known: Labelled) -> tuple[NAONetwork, Target, LabelledSequences]:
        """A network that has learned nothing yet, and what it will learn from."""
        target = Target.of(known.accuracies)
        values = torch.from_numpy(target.forward(known.accuracies)).float()
        with seeded(self.seed, "nao"):
            network = NAONetwork(num_tokens(self.space), self.width, self.hidden, self.trade_off)
        return network, target, LabelledSequences(self.tokens(known.archs), values)

    def _foresee(self, learned: LearnedNAO, archs: Architectures, scores: Scores) -> Forecast:
        tokens = self.tokens(archs)
        return forecast(learned.target, learned.network.foresee(tokens).double().numpy())


class SemiNAS(NAO):
    """NAO that is trained again on copies of the known networks and its own forecasts for unlabelled ones.

    Args:
        space: The space of all architectures.
        seed: Seed of the weights, the batches, dropout and the draw of unlabelled architectures.
        copies: How often each known network stands among the pseudo-labelled ones.
        drawn: How many architectures per known network are drawn from the space where ``fit`` is given no unlabelled.
        width: Dimension of the embedding.
        hidden: Width of the head's hidden layer.
        trade_off: Share of the squared error in the loss; the rest is the reconstruction.
        sequences: Encodings as sequences; the first that the space has is read.
        settings: How the network is trained, both times.
    """

    def __init__(
        self,
        space: SearchSpace[Any],
        seed: int = 0,
        copies: Annotated[int, Field(ge=1)] = 10,
        drawn: Annotated[int, Field(ge=1)] = 1,
        width: Annotated[int, Field(ge=2)] = 64,
        hidden: Annotated[int, Field(ge=1)] = 16,
        trade_off: Annotated[float, Field(ge=0, le=1)] = 0.8,
        sequences: tuple[str, ...] | list[str] = LIVE,
        settings: FitSettings | None = None,
    ) -> None:
        super().__init__(space, seed, width, hidden, trade_off, sequences, settings)
        self.copies = copies
        self.drawn = drawn

    def _learn(self, known: Labelled, unlabeled: Architectures | None) -> LearnedNAO:
        network, target, table = self._begin(known)
        fit_network(network, table, self.settings, self.seed)
        if unlabeled is None:
            unlabeled = self.space.sample(self.drawn * len(known), make_generator(self.seed, "seminas"))
        tokens = self.tokens(unlabeled)
        both = LabelledSequences(
            torch.cat([table.tokens.repeat(self.copies, 1), tokens]),
            torch.cat([table.target.repeat(self.copies), network.foresee(tokens)]),
        )
        again = fit_network(network.train(), both, self.settings, derive_seed(self.seed, "again"))
        return LearnedNAO.of(again, target, table.tokens)
