"""Weighted k nearest neighbours in an embedding."""

from __future__ import annotations

import torch
from torch import Tensor

_SAME_PLACE = 1e-6
"""So far apart, in embeddings of length 1, rounding may put one architecture in batches of different sizes."""


def weighted_neighbours(embeddings: Tensor, known: Tensor, values: Tensor, k: int) -> Tensor:
    r"""Returns the mean of the k nearest known values, weighted by inverse distance.

    .. math:: \hat s_a = \frac{\sum_{i=1}^k w_i s_i}{\sum_{i=1}^k w_i}, \qquad w_i = \frac{1}{\lVert e_a - e_i \rVert}

    (EmProx, section 3.2). Where known points lie at the very place, the mean of those alone is the answer. Points
    that are equally far as the k-th all count, so that the result depends on no order.

    Args:
        embeddings: ``[m, d]``, where to look.
        known: ``[n, d]``, at least k points.
        values: ``[n]``, their values.
        k: Number of neighbours.

    Returns:
        ``[m]``.
    """
    # The direct form: the one by matrix products does not give 0 for equal points
    distance = torch.cdist(embeddings, known, compute_mode="donot_use_mm_for_euclid_dist")
    furthest = distance.kthvalue(k, dim=1, keepdim=True).values
    exact = distance <= _SAME_PLACE
    inverse = torch.where(distance <= furthest, 1 / distance, 0.0)
    weights = torch.where(exact.any(1, keepdim=True), exact.to(distance.dtype), inverse)
    return (weights @ values) / weights.sum(1)
