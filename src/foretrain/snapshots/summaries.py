"""Snapshots in few numbers: the statistics of a network's layers, summed up over rows and layers.

Where the autoencoders learn a code of the whole feature map, a summary is fixed: nothing is fitted, networks of any
depth give the same columns, and a hundred networks are enough to learn from.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foretrain.snapshots.batches import KINDS
from foretrain.snapshots.statistics import STATISTICS

FloatArray = NDArray[np.float64]

LEVELS = ("layer", "rows_mean", "rows_std")
OVER_LAYERS = ("mean", "std", "min", "max", "first", "last")
_NETWORKS_AT_ONCE = 16


def summarize(maps: NDArray[np.float16], rows: NDArray[np.int64]) -> FloatArray:
    """Sums up every snapshot of n networks.

    Three numbers stand for a statistic in a layer: its value over the whole layer, and mean and standard deviation of
    its values over the layer's neurons or filters. Each is summed up over the layers by its mean, standard deviation,
    minimum and maximum and by its value in the first and the last layer. All are signed logarithms, so a difference
    of two columns is the logarithm of a ratio, e.g. of the norms of gradients and weights.

    Args:
        maps: ``float16[n, t, 2, l, 100, 12]``, signed logarithms as stored.
        rows: ``int64[n, l]``, valid rows of each layer, 0 for padding.

    Returns:
        ``float64[n, t, d]`` in the order of :func:`summary_names`; zeros where a network has no snapshot.
    """
    parts = [
        _over_layers(_over_rows(maps[chosen], rows[chosen]), rows[chosen])
        for chosen in (slice(start, start + _NETWORKS_AT_ONCE) for start in range(0, len(maps), _NETWORKS_AT_ONCE))
    ]
    width = len(summary_names())
    return np.concatenate([np.empty((0, maps.shape[1], width)), *parts])


def summarize_layers(maps: NDArray[np.float16], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Sums up every layer by itself, for predictors that learn how layers are to be put together.

    Args:
        maps: ``float16[n, t, 2, l, 100, 12]``, signed logarithms as stored.
        rows: ``int64[n, l]``, valid rows of each layer, 0 for padding.

    Returns:
        ``float32[n, t, l, d]``, of weights, then of gradients, the three numbers of each statistic that
        :func:`summarize` sums up over the layers; zeros for padding.
    """
    n, t, _, layers = maps.shape[:4]
    parts = [
        np.moveaxis(_over_rows(maps[chosen], rows[chosen]), 2, 3).astype(np.float32)
        for chosen in (slice(start, start + _NETWORKS_AT_ONCE) for start in range(0, n, _NETWORKS_AT_ONCE))
    ]
    width = len(KINDS) * len(LEVELS) * len(STATISTICS)
    return np.concatenate([np.empty((0, t, layers, width), np.float32), *(p.reshape(*p.shape[:3], -1) for p in parts)])


def summary_names() -> list[str]:
    """Returns what each column of :func:`summarize` is, e.g. ``gradients/rows_mean/l2/last``."""
    return [
        f"{kind}/{level}/{statistic}/{over}"
        for kind in KINDS
        for over in OVER_LAYERS
        for level in LEVELS
        for statistic in STATISTICS
    ]


def _over_rows(maps: NDArray[np.float16], rows: NDArray[np.int64]) -> FloatArray:
    """``[n, t, 2, l, levels, 12]``; the layer's own row is no neuron, a layer without others has zeros there."""
    single = maps[..., 1:, :].astype(np.float32)
    count = np.maximum(rows - 1, 1)[:, None, None, :, None]
    # rows that a layer does not have are zero
    mean = single.sum(axis=-2, dtype=np.float64) / count
    square = np.square(single, dtype=np.float64).sum(axis=-2) / count
    std = np.sqrt(np.maximum(square - mean**2, 0.0))
    return np.stack([maps[..., 0, :].astype(np.float64), mean, std], axis=-2)


def _over_layers(values: FloatArray, rows: NDArray[np.int64]) -> FloatArray:
    """``[n, t, d]`` from ``[n, t, 2, l, levels, 12]``."""
    valid = (rows > 0)[:, None, None, :, None, None]
    count = valid.sum(axis=3)
    mean = np.where(valid, values, 0.0).sum(axis=3) / count
    spread = np.where(valid, np.square(values - mean[:, :, :, None]), 0.0).sum(axis=3) / count
    last = (rows > 0).sum(axis=1) - 1
    summed = (
        mean,
        np.sqrt(spread),
        np.where(valid, values, np.inf).min(axis=3),
        np.where(valid, values, -np.inf).max(axis=3),
        values[:, :, :, 0],
        values[np.arange(len(values)), :, :, last],
    )
    return np.stack(summed, axis=3).reshape(*values.shape[:2], -1)
