"""Standardisation of feature maps, fitted on training networks and stored with the model."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from foretrain.errors import DataError
from foretrain.snapshots.statistics import ROWS, STATISTICS

_CHUNK_CELLS = 1 << 22
_CONSTANT = 1e-5  # a spread below the resolution of the stored float16 values


class FeatureNormalizer(nn.Module):
    r"""Standardises every statistic: :math:`z = (x - \mu_{g,s}) / \sigma_{g,s}`.

    The whole layer (row 0, group g = 0) has its own mean and standard deviation, apart from the rows of single neurons
    and filters (g = 1): its norms grow with the number of weights and would otherwise stand far out. A statistic that
    is constant in the training networks is centred and not scaled.

    Attributes:
        mean: ``float32[2, 12]``.
        std: ``float32[2, 12]``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(2, len(STATISTICS)))
        self.register_buffer("std", torch.ones(2, len(STATISTICS)))

    def fit(self, maps: Tensor, rows: Tensor) -> Self:
        """Takes mean and standard deviation over the valid cells.

        Sums are taken in float64, over a few maps at a time, so that a table of several GB is never upcast whole.

        Args:
            maps: ``[n, l, 100, 12]`` of one kind, of training networks only.
            rows: ``int64[n, l]``.

        Returns:
            This normalizer.

        Raises:
            DataError: A valid cell is NaN or infinite.
        """
        moments = torch.zeros(3, 2, len(STATISTICS), dtype=torch.float64, device=maps.device)
        size = max(1, _CHUNK_CELLS // maps[0].numel())
        for part, part_rows in zip(torch.split(maps, size), torch.split(rows, size), strict=True):
            moments += _moments(part, part_rows)
        if not moments.isfinite().all():
            raise DataError(
                "feature maps", "NaN or infinite values among the valid cells", "Record the snapshots again"
            )
        count, total, squares = moments
        count = count.clamp(min=1)
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std < _CONSTANT, 1.0, std))
        return self

    def forward(self, maps: Tensor, rows: Tensor) -> Tensor:
        """Standardises maps ``[..., l, 100, 12]`` with ``rows[..., l]`` to float32; padding is exactly zero."""
        standardised = (maps.float() - _by_row(self.mean)) * _by_row(1 / self.std)
        return standardised.masked_fill_(~valid_cells(rows), 0.0)


def valid_cells(rows: Tensor) -> Tensor:
    """Returns ``bool[..., l, 100, 1]``: whether a row of a feature map is valid, for ``rows[..., l]``."""
    return (torch.arange(ROWS, device=rows.device) < rows[..., None])[..., None]


def _moments(maps: Tensor, rows: Tensor) -> Tensor:
    """Count, sum and sum of squares per group and statistic, ``float64[3, 2, 12]``."""
    valid = valid_cells(rows)
    values = torch.where(valid, maps, 0).double()
    stacked = (valid.double().expand_as(values), values, values.square())
    return torch.stack([torch.stack((v[:, :, 0].sum((0, 1)), v[:, :, 1:].sum((0, 1, 2)))) for v in stacked])


def _by_row(statistics: Tensor) -> Tensor:
    """Spreads ``[2, 12]`` over the rows of a map, ``[100, 12]``."""
    return torch.cat((statistics[:1], statistics[1:].expand(ROWS - 1, -1)))
