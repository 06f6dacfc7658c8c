"""Which settings are worth their cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pareto_front(cost: ArrayLike, value: ArrayLike, higher_is_better: bool = True) -> NDArray[np.bool_]:
    """Returns which points no other point beats.

    A point is beaten by one that costs no more, is worth no less, and is better in one of the two. Equal points are
    on the front together. A point whose cost or value is NaN is never on it.

    Args:
        cost: ``[n]``, lower is better.
        value: ``[n]``, better as ``higher_is_better`` says.
        higher_is_better: Whether a higher value is better.

    Returns:
        ``bool[n]``.
    """
    cost = np.asarray(cost, dtype=np.float64)
    worth = np.asarray(value, dtype=np.float64) * (1 if higher_is_better else -1)
    order = np.argsort(cost)
    # best[i] is the best worth among the i cheapest points; among none it is NaN, which compares as false
    best = np.concatenate([[np.nan], np.fmax.accumulate(worth[order])])
    beaten_by_cheaper = best[np.searchsorted(cost, cost, side="left", sorter=order)] >= worth
    beaten_at_same_cost = best[np.searchsorted(cost, cost, side="right", sorter=order)] > worth
    known: NDArray[np.bool_] = ~np.isnan(cost) & ~np.isnan(worth)
    return known & ~beaten_by_cheaper & ~beaten_at_same_cost
