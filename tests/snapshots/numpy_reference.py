"""The statistics by the book: float64, one row after the other, independent of the package."""

from __future__ import annotations

import numpy as np
from torch import nn


def layer_rows(layer: nn.Module, tensor: np.ndarray) -> list[np.ndarray]:
    """The rows of a layer's weight (or its gradient), read off element by element."""
    if isinstance(layer, nn.Linear):
        return list(tensor)
    if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        tensor = _as_convolution(tensor, layer.groups)
    kernel = tensor.shape[2:]
    return [
        np.array([tensor[(filter_, channel, *position)] for filter_ in range(len(tensor))])
        for channel in range(tensor.shape[1])
        for position in np.ndindex(*kernel)
    ]


def describe_row(row: np.ndarray) -> np.ndarray:
    row = np.asarray(row, dtype=np.float64).ravel()
    mean = row.sum() / len(row)
    variance = ((row - mean) ** 2).sum() / len(row)
    third = ((row - mean) ** 3).sum() / len(row)
    fourth = ((row - mean) ** 4).sum() / len(row)
    constant = row.min() == row.max()
    return np.array(
        [
            mean,
            variance,
            variance**0.5,
            *np.percentile(row, [0, 25, 50, 75, 100]),
            0.0 if constant else third / variance**1.5,
            0.0 if constant else fourth / variance**2,
            np.abs(row).sum(),
            (row**2).sum() ** 0.5,
        ]
    )


def describe_layer(layer: nn.Module, tensor: np.ndarray | None, weight: np.ndarray) -> np.ndarray:
    """``[1 + all rows, 12]``, more rows than the package keeps where the layer has more than 99."""
    tensor = np.zeros_like(weight) if tensor is None else tensor
    return np.stack([describe_row(row) for row in [tensor, *layer_rows(layer, tensor)]])


def assert_same_statistics(actual: np.ndarray, expected: np.ndarray) -> None:
    """Agreement to float32: differences count against the largest value of the row where they may cancel."""
    scale = np.abs(expected[..., 3:8]).max(axis=-1, keepdims=True)
    unit = np.concatenate([scale, scale**2, *[scale] * 6, *[np.ones_like(scale)] * 2, *[scale] * 2], axis=-1)
    unit[unit == 0] = 1
    np.testing.assert_allclose(actual / unit, expected / unit, rtol=2e-5, atol=2e-6)


def find_rows(table: np.ndarray, rows: np.ndarray) -> list[int]:
    """Positions in ``table`` of described rows (to float32), so that a choice of rows can be checked."""
    distance = np.abs(table[None, :, 3:8] - rows[:, None, 3:8]).max(axis=-1)
    assert distance.min(axis=1).max() < 1e-6
    return distance.argmin(axis=1).tolist()


def _as_convolution(tensor: np.ndarray, groups: int) -> np.ndarray:
    """``[in, out / groups, ...]`` of a transposed convolution as ``[out, in / groups, ...]``."""
    inputs, outputs = tensor.shape[0] // groups, tensor.shape[1]
    result = np.empty((groups * outputs, inputs, *tensor.shape[2:]))
    for group in range(groups):
        for output in range(outputs):
            for channel in range(inputs):
                result[group * outputs + output, channel] = tensor[group * inputs + channel, output]
    return result
