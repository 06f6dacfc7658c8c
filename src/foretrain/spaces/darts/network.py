"""DARTS networks, as they are trained after the search, without the auxiliary head and without drop-path.

Skeleton: a 3x3 convolution with batch normalisation to three times the channels as stem; normal cells, with a reduction
cell that halves the image and doubles the channels at a third and at two thirds of the depth; global average pooling
and a dense layer. Weights are drawn as PyTorch draws them by default. Source: Liu et al. 2019, section 3.1 and
appendix A; NAS-Bench-301 trains 8 cells of 32 channels, DARTS itself 20 cells of 36.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretrain.spaces.blocks import ReluConvBn
from foretrain.spaces.darts.cells import NUM_INPUTS, NUM_NODES, OPERATIONS

Edges = Sequence[Sequence[int]]
"""For each intermediate node a pair of numbers, one for each slot."""

_STEM_FACTOR = 3


class DARTSNetwork(nn.Module):
    """A classifier of images ``[b, in_channels, h, w]`` of any size; returns logits ``[b, num_classes]``.

    Args:
        inputs: ``[2][4][2]``, what the nodes of the normal and of the reduction cell read.
        ops: ``[2][4][2]``, the codes of their operations.
        in_channels: Channels of the images.
        num_classes: Number of logits.
        channels: Channels of each node in the first cells.
        layers: Number of cells.
    """

    def __init__(
        self,
        inputs: Sequence[Edges],
        ops: Sequence[Edges],
        in_channels: int,
        num_classes: int,
        channels: int = 32,
        layers: int = 8,
    ) -> None:
        super().__init__()
        width = _STEM_FACTOR * channels
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.cells = nn.ModuleList()
        before_last, last, after_reduction = width, width, False
        for layer in range(layers):
            reduction = layer in (layers // 3, 2 * layers // 3)
            channels *= 2 if reduction else 1
            kind = int(reduction)
            self.cells.append(Cell(inputs[kind], ops[kind], before_last, last, channels, reduction, after_reduction))
            before_last, last, after_reduction = last, NUM_NODES * channels, reduction
        self.classifier = nn.Linear(last, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """Returns what is pooled: the last cell's output."""
        last: Tensor = self.stem(images)
        before_last = last
        for cell in self.cells:
            before_last, last = last, cell(before_last, last)
        return last

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits."""
        logits: Tensor = self.classifier(self.features(images).mean(dim=(2, 3)))
        return logits


class Cell(nn.Module):
    """A cell: the concatenation of four nodes, each the sum of two operations on earlier nodes.

    Args:
        inputs: What the nodes read.
        ops: The codes of their operations.
        before_last: Channels of the last cell but one.
        last: Channels of the last cell.
        channels: Channels of each node.
        reduction: Whether operations on the two inputs halve the image.
        after_reduction: Whether the last cell was a reduction cell, so that the image of the one before it is larger.
    """

    def __init__(
        self,
        inputs: Edges,
        ops: Edges,
        before_last: int,
        last: int,
        channels: int,
        reduction: bool,
        after_reduction: bool,
    ) -> None:
        super().__init__()
        self.before_last = (
            FactorizedReduce(before_last, channels) if after_reduction else ReluConvBn(before_last, channels, 1)
        )
        self.last = ReluConvBn(last, channels, 1)
        self.nodes = nn.ModuleList(
            Node(node_inputs, node_ops, channels, reduction) for node_inputs, node_ops in zip(inputs, ops, strict=True)
        )

    def forward(self, before_last: Tensor, last: Tensor) -> Tensor:
        """Returns ``[b, 4 * channels, h, w]``, of half the height and width after a reduction."""
        values = [self.before_last(before_last), self.last(last)]
        for node in self.nodes:
            values.append(node(values))
        return torch.cat(values[NUM_INPUTS:], dim=1)


class Node(nn.Module):
    """An intermediate node: the sum of two operations on two of the values before it."""

    def __init__(self, inputs: Sequence[int], ops: Sequence[int], channels: int, reduction: bool) -> None:
        super().__init__()
        strides = [2 if reduction and source < NUM_INPUTS else 1 for source in inputs]
        self.first, self.second = (
            _MAKE[OPERATIONS[op]](channels, stride) for op, stride in zip(ops, strides, strict=True)
        )
        self._inputs = tuple(inputs)

    def forward(self, values: Sequence[Tensor]) -> Tensor:
        """Returns this node's value from the cell's inputs and the nodes before it."""
        first, second = self._inputs
        total: Tensor = self.first(values[first]) + self.second(values[second])
        return total


class FactorizedReduce(nn.Module):
    """Halves the image without losing pixels: two 1x1 convolutions of stride 2, one of them shifted by a pixel."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(in_channels, half, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(in_channels, out_channels - half, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[b, c, h, w]`` to ``[b, c', h / 2, w / 2]``, rounded up: a border of zeros completes odd sizes."""
        x = self.relu(x)
        shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        halved: Tensor = self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))
        return halved


def _separable(channels: int, kernel_size: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    """ReLU, depthwise convolution, pointwise convolution, batch normalisation."""
    padding = dilation * (kernel_size // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel_size, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    ]


def _separable_twice(channels: int, kernel_size: int, stride: int) -> nn.Module:
    return nn.Sequential(*_separable(channels, kernel_size, stride), *_separable(channels, kernel_size, stride=1))


_MAKE: dict[str, Callable[[int, int], nn.Module]] = {
    "max_pool_3x3": lambda channels, stride: nn.MaxPool2d(3, stride, padding=1),
    "avg_pool_3x3": lambda channels, stride: nn.AvgPool2d(3, stride, padding=1, count_include_pad=False),
    "skip_connect": lambda channels, stride: nn.Identity() if stride == 1 else FactorizedReduce(channels, channels),
    "sep_conv_3x3": lambda channels, stride: _separable_twice(channels, 3, stride),
    "sep_conv_5x5": lambda channels, stride: _separable_twice(channels, 5, stride),
    "dil_conv_3x3": lambda channels, stride: nn.Sequential(*_separable(channels, 3, stride, dilation=2)),
    "dil_conv_5x5": lambda channels, stride: nn.Sequential(*_separable(channels, 5, stride, dilation=2)),
}
"""Makers of the operations from channels and stride."""
