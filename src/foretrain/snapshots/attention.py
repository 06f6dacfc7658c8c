"""Attention over layers, recurrence over snapshots: a predictor that learns end to end from a hundred networks.

Where NAP2 codes a fixed image of 65 layers by autoencoders that know nothing of accuracy, here every layer is a token
of few numbers, a network of any depth is their weighted mean, and what one sees from outside goes in beside it.
"""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretrain.snapshots.batches import LayerBatch, valid_steps
from foretrain.snapshots.statistics import ROWS

_PLACE = 3  # numbers that say where in its network a layer stands, and how wide it is
_CONSTANT = 1e-5
_FARTHEST = 5.0


class LayerAttentionPredictor(nn.Module):
    r"""Scores a network after each of its snapshots.

    With the numbers :math:`x_{k,i}` of layer i at snapshot k, its place :math:`p_i` and the context :math:`c_k`,

    .. math::
        u_{k,i} = g(W x_{k,i} + U [x_{1,i}, p_i]), \quad
        a_{k,i} = \mathrm{softmax}_i(q^\top u_{k,i}), \quad
        s_k = v^\top \mathrm{GRU}([\textstyle\sum_i a_{k,i} u_{k,i}, g(V c_k)])_k + w^\top c_k,

    g being GELU with dropout; every attention head has its own query q. W and U together see how a layer changed since
    the first snapshot. Padded layers have no weight, and snapshot k knows the first k only.

    Args:
        tokens: Numbers of a layer, d.
        context: Numbers known from outside, c.
        hidden: Width of tokens, context and GRU.
        heads: Attention heads.
        dropout: Probability with which an entry is dropped in training.
    """

    def __init__(self, tokens: int, context: int, hidden: int = 24, heads: int = 2, dropout: float = 0.3) -> None:
        super().__init__()
        self.token = nn.Linear(tokens, hidden)
        self.start = nn.Linear(tokens + _PLACE, hidden)
        self.activation = nn.Sequential(nn.GELU(), nn.Dropout(dropout))
        self.query = nn.Linear(hidden, heads)
        self.context = nn.Sequential(nn.Linear(context, hidden), nn.GELU(), nn.Dropout(dropout))
        self.gru = nn.GRU((heads + 1) * hidden, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, 1)
        self.direct = nn.Linear(context, 1, bias=False)

    def forward(self, layers: Tensor, rows: Tensor, context: Tensor) -> Tensor:
        """Returns scores ``[b, t]`` from standardised ``layers[b, t, l, d]``, ``rows[b, l]``, ``context[b, t, c]``."""
        start = self.start(torch.cat((layers[:, 0], _places(rows)), dim=-1))
        tokens = self.activation(self.token(layers) + start[:, None])
        weights = self.query(tokens).masked_fill((rows == 0)[:, None, :, None], -torch.inf).softmax(dim=2)
        pooled = torch.einsum("btlh,btld->bthd", weights, tokens).flatten(2)
        states, _ = self.gru(torch.cat((pooled, self.context(context)), dim=-1))
        scores: Tensor = (self.head(self.dropout(states)) + self.direct(context)).squeeze(-1)
        return scores


class LayerStandardizer(nn.Module):
    """Standardises layers, context and target by the training networks.

    A column that is constant there is centred and not scaled; what lies farther than 5 standard deviations counts as 5,
    since a single diverged network would otherwise rule.

    Args:
        tokens: Numbers of a layer.
        context: Numbers known from outside.
    """

    layers: Tensor
    context: Tensor
    target: Tensor

    def __init__(self, tokens: int, context: int) -> None:
        super().__init__()
        for name, width in (("layers", tokens), ("context", context), ("target", 1)):
            self.register_buffer(name, torch.stack((torch.zeros(width), torch.ones(width))))

    @torch.no_grad()
    def fit(self, table: LayerBatch) -> Self:
        """Takes mean and standard deviation over the networks of a table, of snapshots and layers that exist."""
        exists = valid_steps(table.lengths, table.layers.shape[1])
        both = exists[:, :, None] & (table.rows > 0)[:, None]
        for name, values in (
            ("layers", table.layers[both]),
            ("context", table.context[exists]),
            ("target", table.target[:, None]),
        ):
            mean, spread = values.mean(dim=0), values.std(dim=0, correction=0)
            getattr(self, name).copy_(torch.stack((mean, torch.where(spread < _CONSTANT, 1.0, spread))))
        return self

    def forward(self, batch: LayerBatch) -> tuple[Tensor, Tensor]:
        """Returns standardised layers and context."""
        return self._scaled(self.layers, batch.layers), self._scaled(self.context, batch.context)

    def scaled_target(self, target: Tensor) -> Tensor:
        """Standardises accuracies, ``[b]``."""
        return (target - self.target[0]) / self.target[1]

    def percent(self, scores: Tensor) -> Tensor:
        """Turns scores back into accuracies in percent."""
        return (scores * self.target[1] + self.target[0]).clamp(0, 100)

    @staticmethod
    def _scaled(moments: Tensor, values: Tensor) -> Tensor:
        return ((values - moments[0]) / moments[1]).clamp(-_FARTHEST, _FARTHEST)


def scoring_loss(scores: Tensor, target: Tensor, exists: Tensor, ranking: float) -> Tensor:
    r"""Returns the loss of scores against standardised targets, a scalar.

    .. math::
        \frac1N \sum_{i,k} \mathrm{huber}(s_{ik} - y_i)
        + \lambda\, \frac1M \sum_k \sum_{y_i > y_j} \log(1 + e^{-(s_{ik} - s_{jk})})

    Args:
        scores: ``[b, t]``.
        target: ``[b]``.
        exists: ``bool[b, t]``, whether the network has that snapshot.
        ranking: Weight :math:`\lambda` of the pairs; without any pair they add nothing.
    """
    error = F.huber_loss(scores, target[:, None].expand_as(scores), reduction="none")
    regression = error.masked_fill(~exists, 0.0).sum() / exists.sum()
    pairs = (target[:, None] > target)[..., None] & exists[:, None] & exists
    losses = F.softplus(scores[None] - scores[:, None]).masked_fill(~pairs, 0.0)
    return regression + ranking * losses.sum() / pairs.sum().clamp(min=1)


def _places(rows: Tensor) -> Tensor:
    """Relative depth of each layer, whether it is the last, and the logarithm of its rows to 0..1, ``[b, l, 3]``."""
    number = torch.arange(rows.shape[1], device=rows.device)
    last = (rows > 0).sum(dim=1, keepdim=True) - 1
    depth = number / last.clamp(min=1)
    width = rows.float().log1p() / torch.tensor(float(ROWS)).log1p()
    return torch.stack((depth * (rows > 0), (number == last).float(), width), dim=-1)
