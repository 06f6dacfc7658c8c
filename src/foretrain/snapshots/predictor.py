"""The recurrent network that reads the codes of a network's snapshots and tells its final accuracy."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from foretrain.snapshots.batches import valid_steps


class SequencePredictor(nn.Module):
    r"""LSTM with one hidden layer and a sigmoid output (NAP2, section 3.3).

    .. math:: \hat y_k = \sigma(v^\top h_k + c), \qquad h_k = \mathrm{LSTM}(z_1, \ldots, z_k)

    An LSTM is causal: its state after step k knows the first k snapshots only and does not depend on the length of the
    sequence or on its padding. So one pass over the longest sequence gives the predictions from all shorter ones.

    Args:
        inputs: Entries of a snapshot's code (weights and gradients together).
        hidden: Width of the LSTM.
        dropout: Probability with which an entry of the LSTM's output is dropped in training.
    """

    def __init__(self, inputs: int = 256, hidden: int = 128, dropout: float = 0.0) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, 1)

    @torch.no_grad()
    def start_from(self, target: Tensor) -> Self:
        """Sets the head's bias so that training starts near the median of the targets, ``[n]`` in percent."""
        self.head.bias.copy_((target.median() / 100).logit(eps=1e-3))
        return self

    def forward(self, codes: Tensor) -> Tensor:
        """Predicts after each snapshot.

        Args:
            codes: ``[b, t, d]``.

        Returns:
            ``[b, t]``, final accuracy / 100 as foreseen from the first 1, 2, ..., t snapshots.
        """
        states, _ = self.lstm(codes)
        logits: Tensor = self.head(self.dropout(states)).squeeze(-1)
        return logits.sigmoid()

    def loss(self, codes: Tensor, lengths: Tensor, target: Tensor, train_lengths: int = 10) -> Tensor:
        """Returns the mean absolute error over the training sequences, a scalar.

        Each network gives the sequences of its first 1, 2, ..., ``train_lengths`` snapshots and of all it has (11 for
        the published 10 and 30; a shorter network gives those that exist, each once). Because the network is causal,
        this equals the loss over a batch that holds all these sequences as samples of their own; dropout, if any,
        draws one mask per sequence in both.

        Args:
            codes: ``[b, t, d]``; what lies beyond a network's length is ignored.
            lengths: ``int64[b]``.
            target: ``[b]``, final accuracy in percent.
            train_lengths: Longest of the short sequences.
        """
        chosen = training_steps(lengths, codes.shape[1], train_lengths)
        error: Tensor = (self(codes) - target[:, None] / 100).abs()
        return error.masked_fill(~chosen, 0.0).sum() / chosen.sum()


def training_steps(lengths: Tensor, steps: int, train_lengths: int) -> Tensor:
    """Returns ``bool[b, steps]``: the steps at which a training sequence of the network ends."""
    short = valid_steps(lengths.clamp(max=train_lengths), steps)
    last = valid_steps(lengths, steps) & ~valid_steps(lengths - 1, steps)
    return short | last
