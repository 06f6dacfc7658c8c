"""NAS-Bench-201 networks, as they were published and as their zero-cost scores were computed.

Skeleton: a 3x3 convolution with batch normalisation as stem; stages of equal cells, between them a residual block that
halves the image and doubles the channels; batch normalisation, ReLU, global average pooling and a dense layer. Weights
are drawn as PyTorch draws them by default. Source: Dong and Yang 2020, section 2.1 and figure 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from foretrain.spaces.blocks import ReluConvBn
from foretrain.spaces.nasbench201.cells import EDGES, NONE, NUM_NODES, OPERATIONS

_MAKE: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: nn.Identity(),
    "skip_connect": lambda channels: nn.Identity(),
    "nor_conv_1x1": lambda channels: ReluConvBn(channels, channels, kernel_size=1),
    "nor_conv_3x3": lambda channels: ReluConvBn(channels, channels, kernel_size=3),
    "avg_pool_3x3": lambda channels: nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
}


class NASBench201Network(nn.Module):
    """A classifier of images ``[b, in_channels, h, w]`` of any size; returns logits ``[b, num_classes]``.

    ``features`` maps the images to what is pooled, ``[b, channels * 2**(stages - 1), h', w']``.

    Args:
        ops: The codes of the cell's six operations.
        in_channels: Channels of the images.
        num_classes: Number of logits.
        channels: Channels of the stem and of the first stage; each further stage has twice as many.
        cells_per_stage: Number of equal cells in each stage.
        stages: Number of stages.
    """

    def __init__(
        self,
        ops: Sequence[int],
        in_channels: int,
        num_classes: int,
        channels: int = 16,
        cells_per_stage: int = 5,
        stages: int = 3,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        ]
        for stage in range(stages):
            width = channels * 2**stage
            if stage > 0:
                layers.append(Reduction(width // 2, width))
            layers.extend(Cell(ops, width) for _ in range(cells_per_stage))
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU())
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits."""
        logits: Tensor = self.classifier(self.features(images).mean(dim=(2, 3)))
        return logits


class Cell(nn.Module):
    """A cell: every node is the sum of what its edges bring; keeps the shape ``[b, channels, h, w]``."""

    def __init__(self, ops: Sequence[int], channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(_MAKE[OPERATIONS[op]](channels) for op in ops)
        self._present = [op != NONE for op in ops]

    def forward(self, x: Tensor) -> Tensor:
        """Returns the last node's value."""
        nodes = [x]
        for node in range(1, NUM_NODES):
            terms = [
                edge(nodes[source])
                for edge, present, (source, target) in zip(self.edges, self._present, EDGES, strict=True)
                if present and target == node
            ]
            nodes.append(_add(terms) if terms else torch.zeros_like(x))
        return nodes[-1]


class Reduction(nn.Module):
    """The residual block between stages: ``[b, in_channels, h, w]`` to ``[b, out_channels, h / 2, w / 2]``.

    The shortcut averages two by two pixels; where height or width is odd, what is left at the border is averaged too.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            ReluConvBn(in_channels, out_channels, kernel_size=3, stride=2),
            ReluConvBn(out_channels, out_channels, kernel_size=3),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(in_channels, out_channels, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Returns the sum of block and shortcut."""
        total: Tensor = self.block(x) + self.shortcut(x)
        return total


def _add(terms: Sequence[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
