"""The loss of a ranker, from n scores."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def pairwise_cross_entropy(scores: Tensor, accuracies: Tensor) -> Tensor:
    r"""Returns the mean of :math:`-\ln p(y \mid A, A')` over all ordered pairs of different networks.

    :math:`p(A \text{ better than } A') = \sigma(f(A) - f(A'))`, and y says whether A is at least as accurate as A'
    (Mauch et al. 2020, equations 5 to 7). The two orders of a pair give the same term, so each pair is taken once; in
    a tie both say that the first is the better one, and the mean of the two is taken.

    Args:
        scores: ``float[n]``.
        accuracies: ``float[n]``, higher is better.

    Raises:
        ValueError: There are fewer than two networks.
    """
    if len(scores) < 2:
        raise ValueError(f"{len(scores)} networks make no pair")
    order = accuracies.argsort(descending=True, stable=True)
    ranked, sorted_accuracies = scores[order], accuracies[order]
    first, second = torch.triu_indices(len(scores), len(scores), offset=1, device=scores.device)
    margin = ranked[first] - ranked[second]
    terms = functional.softplus(-margin)
    tied = sorted_accuracies[first] == sorted_accuracies[second]
    return torch.where(tied, terms + margin / 2, terms).mean()
