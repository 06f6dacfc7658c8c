"""The loss of a ranker, from n scores."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_ROWS_AT_ONCE = 64
"""So many rows of the table of all pairs stay in the processor's cache; little of it lies below the diagonal."""


def pairwise_cross_entropy(scores: Tensor, accuracies: Tensor) -> Tensor:
    r"""Returns the mean of :math:`-\ln p(y \mid A, A')` over all ordered pairs of different networks.

    :math:`p(A \text{ better than } A') = \sigma(f(A) - f(A'))`, and y says whether A is at least as accurate as A'
    (Mauch et al. 2020, equations 5 to 7). The two orders of a pair give the same term, so each pair is taken once; in
    a tie both say that the first is the better one, and the mean of the two is taken: half the difference of the two
    scores is added to the term, which makes one factor for each network.

    Args:
        scores: ``float[n]``.
        accuracies: ``float[n]``, higher is better.

    Raises:
        ValueError: There are fewer than two networks.
    """
    if len(scores) < 2:
        raise ValueError(f"{len(scores)} networks make no pair")
    order = accuracies.argsort(descending=True, stable=True)
    ranked = scores[order]
    total = (_shares_of_ties(accuracies[order]).to(ranked.dtype) * ranked).sum()
    for start in range(0, len(ranked), _ROWS_AT_ONCE):
        worse_minus_better = ranked[start:] - ranked[start : start + _ROWS_AT_ONCE, None]
        total = total + functional.softplus(worse_minus_better).triu(1).sum()
    return total / (len(ranked) * (len(ranked) - 1) / 2)


def _shares_of_ties(ranked: Tensor) -> Tensor:
    """What each network's score is multiplied with in the sum of half the differences of all pairs of equals.

    Args:
        ranked: ``float[n]``, accuracies, the highest first.
    """
    _, group, size = torch.unique_consecutive(ranked, return_inverse=True, return_counts=True)
    place = torch.arange(len(ranked), device=ranked.device) - (size.cumsum(0) - size)[group]
    shares: Tensor = (size[group] - 1 - 2 * place) / 2
    return shares
