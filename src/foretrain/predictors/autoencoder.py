"""The recurrent autoencoder of NAO, SemiNAS and EmProx: a cell's sequence to an embedding and back.

Luo et al., "Neural Architecture Optimization", NeurIPS 2018. The layers follow the public implementations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretrain.batches import TensorBatch
from foretrain.errors import ConfigError
from foretrain.spaces.base import Architectures, SearchSpace
from foretrain.spaces.encodings.sequence import START

_HALF = math.sqrt(0.5)
_AT_ONCE = 4096
COMPACT = ("compact_sequence", "sequence")
"""Encodings as sequences: the shortest from which the architecture can be told."""
LIVE = ("vertex_sequence", "sequence")
"""Encodings as sequences that leave out dead operations, where the space has one."""


class Code(NamedTuple):
    """What the encoder makes of n sequences of t tokens.

    Attributes:
        embedding: ``float32[n, d]`` of length 1.
        memory: ``float32[n, t, d]``, what the decoder attends to; each token of length 1.
    """

    embedding: Tensor
    memory: Tensor


@dataclass(frozen=True, eq=False)
class LabelledSequences(TensorBatch):
    """n sequences with what is learned of them.

    Attributes:
        tokens: ``int64[n, t]``.
        target: ``float32[n]``, standardised; NaN where nothing is known.
    """

    tokens: Tensor
    target: Tensor


class SequenceAutoencoder(nn.Module):
    """LSTM encoder to a normalised embedding, LSTM decoder with attention back to the sequence.

    Encoder: embedding, dropout, bidirectional LSTM, linear 2d -> d, residual, 2-norm per token; the mean over the
    tokens, 2-normed, is the architecture's embedding. Decoder: embedding, dropout, LSTM that starts from the
    architecture's embedding, scaled residual, attention over the encoder's tokens, linear.

    Args:
        num_tokens: Size of the vocabulary.
        width: Dimension d of the embedding.
        dropout: Dropout of the token embeddings.
    """

    def __init__(self, num_tokens: int, width: int = 32, dropout: float = 0.1) -> None:
        super().__init__()
        self.options: dict[str, Any] = {"num_tokens": num_tokens, "width": width, "dropout": dropout}
        self.dropout = nn.Dropout(dropout)
        self.read = nn.Embedding(num_tokens, width)
        self.encoder = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.join = nn.Linear(2 * width, width)
        self.reread = nn.Embedding(num_tokens, width)
        self.decoder = nn.LSTM(width, width, batch_first=True)
        self.query = nn.Linear(width, width, bias=False)
        self.mix = nn.Linear(2 * width, width, bias=False)
        self.speak = nn.Linear(width, num_tokens)

    def encode(self, tokens: Tensor) -> Code:
        """Encodes ``int64[n, t]``."""
        words = self.dropout(self.read(tokens))
        hidden, _ = self.encoder(words)
        return summarise(words + self.join(hidden))

    def decode(self, code: Code, previous: Tensor) -> Tensor:
        """Returns logits ``float32[n, t, num_tokens]`` of the tokens that follow ``previous`` (``int64[n, t]``)."""
        start = code.embedding[None]
        return self._speak(self._listen(previous, (start, start))[0], code.memory)

    def reconstruction_loss(self, code: Code, tokens: Tensor) -> Tensor:
        """Returns the mean negative log-likelihood of the tokens, each given those before it."""
        logits = self.decode(code, _shifted(tokens))
        return F.cross_entropy(logits.flatten(0, 1), tokens.flatten())

    def loss(self, batch: LabelledSequences) -> Tensor:
        """Returns the reconstruction loss; the targets are not used."""
        return self.reconstruction_loss(self.encode(batch.tokens), batch.tokens)

    @torch.no_grad()
    def speak_freely(self, code: Code) -> Tensor:
        """Decodes greedily, each token fed back: ``int64[n, t]`` with as many tokens as the memory has."""
        token = torch.full((len(code.embedding), 1), START, device=code.embedding.device)
        state = (code.embedding[None], code.embedding[None])
        spoken = []
        for _ in range(code.memory.shape[1]):
            hidden, state = self._listen(token, state)
            token = self._speak(hidden, code.memory).argmax(-1)
            spoken.append(token)
        return torch.cat(spoken, dim=1)

    def _listen(self, tokens: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        words = self.dropout(self.reread(tokens))
        hidden, state = self.decoder(words, state)
        return (hidden + words) * _HALF, state

    def _speak(self, hidden: Tensor, memory: Tensor) -> Tensor:
        attention = torch.softmax(self.query(hidden) @ memory.mT, dim=-1)
        mixed = torch.tanh(self.mix(torch.cat([attention @ memory, hidden], dim=-1)))
        logits: Tensor = self.speak((mixed + hidden) * _HALF)
        return logits


def summarise(memory: Tensor) -> Code:
    """Normalises the tokens ``float32[n, t, d]``; their mean, normalised, is the embedding."""
    memory = F.normalize(memory, dim=-1)
    return Code(F.normalize(memory.mean(1), dim=-1), memory)


@torch.no_grad()
def reconstruction_accuracy(network: SequenceAutoencoder, tokens: Tensor) -> tuple[float, float]:
    """Returns the share of tokens, and of whole sequences, that come back when decoded freely from their code."""
    if not len(tokens):
        return float("nan"), float("nan")
    spoken = torch.cat([network.speak_freely(network.encode(part)) for part in torch.split(tokens, _AT_ONCE)])
    right = spoken == tokens
    return float(right.float().mean()), float(right.all(1).float().mean())


def sequence_kind(space: SearchSpace[Any], kinds: Sequence[str] = COMPACT) -> str:
    """Returns the first of these encodings as sequences that the space has.

    Raises:
        ConfigError: It has none.
    """
    kind = next((name for name in kinds if name in space.encoders), None)
    if kind is None:
        raise ConfigError("predictor", f"the space {space.name} has no sequence encoding", allowed="another predictor")
    return kind


def to_tokens(space: SearchSpace[Any], archs: Architectures, kinds: Sequence[str] = COMPACT) -> Tensor:
    """Returns the sequences of n architectures, ``int64[n, t]``, in the first of these encodings that the space has.

    Raises:
        ConfigError: The space has no sequence encoding.
    """
    return torch.as_tensor(space.encode(archs, sequence_kind(space, kinds)))


def num_tokens(space: SearchSpace[Any]) -> int:
    """Returns the size of the vocabulary of :func:`to_tokens`."""
    return int(space.vocabulary.num_tokens)  # type: ignore[attr-defined]


def _shifted(tokens: Tensor) -> Tensor:
    """The tokens one place later, after the start token."""
    return F.pad(tokens[:, :-1], (1, 0), value=START)
