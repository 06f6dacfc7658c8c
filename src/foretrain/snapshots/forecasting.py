"""Forecasts for recorded networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from foretrain.snapshots.batches import SnapshotBatch
from foretrain.snapshots.module import SnapshotPredictor


def forecast_accuracy(
    model: SnapshotPredictor,
    maps: NDArray[np.float16],
    rows: NDArray[np.int64],
    lengths: NDArray[np.int64],
    batch_size: int = 32,
) -> NDArray[np.float64]:
    """Returns the forecast final accuracy after each snapshot, ``[n, t]`` in percent; NaN beyond a length.

    Args:
        model: A fitted predictor, on any device.
        maps: ``float16[n, t, 2, l, 100, 12]``, signed logarithms as stored.
        rows: ``int64[n, l]``, valid rows of each layer, 0 for padding.
        lengths: ``int64[n]``, snapshots of each network.
        batch_size: Networks at once.
    """
    parts: list[NDArray[Any]] = [np.empty((0, maps.shape[1]))]
    for start in range(0, len(maps), batch_size):
        chosen = slice(start, start + batch_size)
        batch = SnapshotBatch(
            maps=torch.from_numpy(maps[chosen]),
            rows=torch.from_numpy(rows[chosen]),
            lengths=torch.from_numpy(lengths[chosen]),
            target=torch.full((len(maps[chosen]),), torch.nan),
            arch_id=torch.arange(start, start + len(maps[chosen])),
        )
        parts.append(model(batch).double().cpu().numpy())
    return np.concatenate(parts)
