"""The convolutional autoencoder that turns a feature map into a short code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretrain.snapshots.normalizer import valid_cells
from foretrain.snapshots.statistics import MAX_LAYERS, ROWS, STATISTICS


class FeatureMapAutoencoder(nn.Module):
    """Autoencoder of feature maps ``[b, l, 100, 12]`` (NAP2, section 3.2 and table 1).

    Encoder: Conv(12 -> w0, kernel (1, 100)), Conv(w0 -> w1, kernel (65, 1)), Conv(w1 -> w2, kernel (1, 1)). The decoder
    mirrors it with transposed convolutions. ReLU, then batch normalisation follow every layer but the last: its targets
    are standardised, so they go below zero.

    The large kernels span their whole axis, so each layer is one matrix product. The weights keep the shapes of
    ``nn.Conv2d`` and ``nn.ConvTranspose2d`` and lie in memory channels last, where the matrix is a view of them.

    Padding takes no part: what belongs to single layers is computed on the valid layers of the batch only (batch
    statistics included), padded layers enter the second layer as zeros, and the kernel is cut to the longest network of
    the batch, which changes nothing but the cost. The host waits for the device once a pass, to learn which layers are
    valid.

    Args:
        widths: Channels w0, w1, w2; the code has w2 entries.
    """

    def __init__(self, widths: Sequence[int] = (512, 256, 128)) -> None:
        super().__init__()
        self.encoder = FeatureMapEncoder(widths)
        self.decoder = FeatureMapDecoder(widths)

    def forward(self, maps: Tensor, rows: Tensor) -> Tensor:
        """Reconstructs standardised maps.

        Args:
            maps: ``[b, l, 100, 12]``, at most 65 layers.
            rows: ``int64[b, l]``, valid rows of each layer, 0 for padding.

        Returns:
            ``[b, l, 100, 12]``, zero in the padding.
        """
        layers = _ValidLayers.find(rows)
        output = layers.scatter(self._reconstruct(maps, layers).flatten(1))
        output = F.pad(output, (0, 0, 0, maps.shape[1] - layers.length))
        return output.reshape(maps.shape).masked_fill(~valid_cells(rows), 0.0)

    def loss(self, maps: Tensor, rows: Tensor) -> Tensor:
        """Returns the mean squared error over all cells of the batch that are not padding, a scalar."""
        layers = _ValidLayers.find(rows)
        output = self._reconstruct(maps, layers)
        valid = valid_cells(layers.gather(rows))
        error = (output - layers.gather(maps)).masked_fill(~valid, 0.0)
        return error.square().sum() / (valid.sum() * len(STATISTICS))

    def _reconstruct(self, maps: Tensor, layers: _ValidLayers) -> Tensor:
        return self.decoder.decode(self.encoder.encode(maps, layers), layers)


class FeatureMapEncoder(nn.Module):
    """The encoder of :class:`FeatureMapAutoencoder`.

    Args:
        widths: Channels w0, w1, w2; the code has w2 entries.
    """

    def __init__(self, widths: Sequence[int] = (512, 256, 128)) -> None:
        super().__init__()
        first, second, code = widths
        self.over_rows = nn.Conv2d(len(STATISTICS), first, (1, ROWS))
        self.over_layers = nn.Conv2d(first, second, (MAX_LAYERS, 1))
        self.to_code = nn.Conv2d(second, code, 1)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in (first, second, code))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, maps: Tensor, rows: Tensor) -> Tensor:
        """Encodes standardised maps ``[b, l, 100, 12]`` with ``rows[b, l]`` to codes ``[b, w2]``."""
        return self.encode(maps, _ValidLayers.find(rows))

    def encode(self, maps: Tensor, layers: _ValidLayers) -> Tensor:
        """Encodes maps whose valid layers are known."""
        hidden = F.linear(layers.gather(maps).flatten(1), _matrix(self.over_rows.weight), self.over_rows.bias)
        hidden = layers.scatter(self.norms[0](hidden.relu()))
        kernel = _matrix(self.over_layers.weight)[:, : hidden[0].numel()]
        hidden = self.norms[1](F.linear(hidden.flatten(1), kernel, self.over_layers.bias).relu())
        codes: Tensor = self.norms[2](F.linear(hidden, _matrix(self.to_code.weight), self.to_code.bias).relu())
        return codes


class FeatureMapDecoder(nn.Module):
    """The decoder of :class:`FeatureMapAutoencoder`.

    Args:
        widths: Channels w0, w1, w2 of the encoder.
    """

    def __init__(self, widths: Sequence[int] = (512, 256, 128)) -> None:
        super().__init__()
        first, second, code = widths
        self.from_code = nn.ConvTranspose2d(code, second, 1)
        self.over_layers = nn.ConvTranspose2d(second, first, (MAX_LAYERS, 1))
        self.over_rows = nn.ConvTranspose2d(first, len(STATISTICS), (1, ROWS))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in (second, first))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def decode(self, codes: Tensor, layers: _ValidLayers) -> Tensor:
        """Decodes codes ``[b, w2]`` to the m valid layers of the batch, ``[m, 100, 12]``."""
        hidden = self.norms[0](_expand(codes, self.from_code, 1).flatten(1).relu())
        hidden = layers.gather(_expand(hidden, self.over_layers, layers.length))
        return _expand(self.norms[1](hidden.relu()), self.over_rows, ROWS)


@dataclass(frozen=True)
class _ValidLayers:
    """Where the m valid layers of a batch lie.

    Attributes:
        index: ``int64[m]``, their positions in the flattened ``[batch, length]``.
        batch: Number of samples.
        length: Number of layers of the longest network, to which the batch is cut.
    """

    index: Tensor
    batch: int
    length: int

    @classmethod
    def find(cls, rows: Tensor) -> Self:
        """Finds the valid layers of ``rows[b, l]``."""
        sample, layer = rows.nonzero(as_tuple=True)
        length = int(layer.max()) + 1 if len(layer) else 0
        return cls(sample * length + layer, len(rows), length)

    def gather(self, values: Tensor) -> Tensor:
        """Takes ``[b, l, ...]`` with l >= length to ``[m, ...]``."""
        return values[:, : self.length].flatten(0, 1).index_select(0, self.index)

    def scatter(self, values: Tensor) -> Tensor:
        """Takes ``[m, c]`` to ``[b, length, c]``, zero elsewhere."""
        empty = values.new_zeros(self.batch * self.length, values.shape[1])
        return empty.index_copy(0, self.index, values).view(self.batch, self.length, -1)


def _matrix(weight: Tensor) -> Tensor:
    """Views a kernel ``[c, k, h, w]`` (channels last) as ``[c, h w k]``."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def _expand(values: Tensor, layer: nn.ConvTranspose2d, positions: int) -> Tensor:
    """Applies a transposed convolution to ``[k, in]``: its first positions, ``[k, positions, out]``."""
    width = positions * layer.out_channels
    bias: Tensor = layer.bias  # type: ignore[assignment]
    output = torch.addmm(bias.repeat(positions), values, _matrix(layer.weight)[:, :width])
    return output.view(-1, positions, layer.out_channels)
