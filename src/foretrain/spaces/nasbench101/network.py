"""NAS-Bench-101 networks, as the published model builder makes them.

Skeleton: a 3x3 convolution as stem, then stacks of equal cells; between stacks the image is halved by max-pooling and
the channels are doubled; global average pooling and a dense layer at the end. Every convolution has no bias and is
followed by batch normalisation and ReLU. Source: Ying et al. 2019, section 2.2, and the published ``model_builder``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from foretrain.errors import DataError
from foretrain.spaces.nasbench101.cells import CONV1X1, CONV3X3

Matrix = Sequence[Sequence[int]]
PUBLISHED_MOMENTUM = 0.003
"""Share of a new batch in the running statistics (TensorFlow states 0.997, the share of the old)."""


class NASBench101Network(nn.Module):
    """A classifier of images ``[b, in_channels, h, w]``; returns logits ``[b, num_classes]``.

    Height and width are free, but at least 2 ** (stacks - 1) pixels each, so that every pooling halves something.

    Args:
        adjacency: Pruned adjacency matrix of v vertices, strictly upper triangular.
        ops: Operation codes of the v vertices; those of input and output are not looked at.
        in_channels: Channels of the images.
        num_classes: Number of logits.
        stem_channels: Channels of the stem and of the first stack's cells.
        stacks: Number of stacks.
        cells_per_stack: Number of equal cells in each stack.
        batch_norm_momentum: Share of a new batch in the running statistics.
    """

    def __init__(
        self,
        adjacency: Matrix,
        ops: Sequence[int],
        in_channels: int,
        num_classes: int,
        stem_channels: int = 128,
        stacks: int = 3,
        cells_per_stack: int = 3,
        batch_norm_momentum: float = PUBLISHED_MOMENTUM,
    ) -> None:
        super().__init__()
        self.min_pixels = 2 ** (stacks - 1)
        channels = stem_channels
        layers: list[nn.Module] = [ConvBnRelu(in_channels, channels, kernel_size=3)]
        for stack in range(stacks):
            width = stem_channels * 2**stack
            if stack > 0:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            for _ in range(cells_per_stack):
                layers.append(Cell(adjacency, ops, channels, width))
                channels = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_classes)
        self.apply(_initialize)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = batch_norm_momentum

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits.

        Raises:
            DataError: The images are too small for the number of poolings.
        """
        height, width = images.shape[-2:]
        if min(height, width) < self.min_pixels:
            raise DataError(
                "images",
                f"{height} x {width} pixels are too few for the poolings between the stacks",
                f"Use images of at least {self.min_pixels} x {self.min_pixels} pixels, or fewer stacks.",
            )
        logits: Tensor = self.classifier(self.features(images).mean(dim=(2, 3)))
        return logits


class Cell(nn.Module):
    """One cell: maps ``[b, in_channels, h, w]`` to ``[b, out_channels, h, w]``.

    The vertices that feed the output are concatenated; an edge input -> output adds the projected input to that.
    """

    def __init__(self, adjacency: Matrix, ops: Sequence[int], in_channels: int, out_channels: int) -> None:
        super().__init__()
        channels = vertex_channels(adjacency, in_channels, out_channels)
        output = len(adjacency) - 1
        self.vertices = nn.ModuleList(Vertex(adjacency, ops[v], v, channels) for v in range(1, output))
        self.projection = ConvBnRelu(in_channels, out_channels, kernel_size=1) if adjacency[0][output] else None
        self._last = [v for v in range(1, output) if adjacency[v][output]]

    def forward(self, x: Tensor) -> Tensor:
        """Returns the output vertex."""
        values = [x]
        for vertex in self.vertices:
            values.append(vertex(values))
        outputs = [values[vertex] for vertex in self._last]
        if self.projection is None:
            return torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0]
        projected: Tensor = self.projection(x)
        return torch.cat(outputs, dim=1) + projected if outputs else projected


class Vertex(nn.Module):
    """An inner vertex: an operation on the sum of what leads to it.

    The cell's input is projected by a 1x1 convolution; other vertices are cut to the channels of this one.
    """

    def __init__(self, adjacency: Matrix, op: int, vertex: int, channels: Sequence[int]) -> None:
        super().__init__()
        width = channels[vertex]
        sources = [source for source in range(1, vertex) if adjacency[source][vertex]]
        self._whole = [source for source in sources if channels[source] == width]
        self._wider = [source for source in sources if channels[source] > width]
        self._width = width
        self.projection = ConvBnRelu(channels[0], width, kernel_size=1) if adjacency[0][vertex] else None
        self.op = _operation(op, width)

    def forward(self, values: list[Tensor]) -> Tensor:
        """Returns this vertex's value from those of the vertices before it (``values[0]`` is the cell's input)."""
        terms = [values[source] for source in self._whole]
        terms += [values[source][:, : self._width] for source in self._wider]
        if self.projection is not None:
            terms.append(self.projection(values[0]))
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        result: Tensor = self.op(total)
        return result


class ConvBnRelu(nn.Sequential):
    """Convolution without bias that keeps height and width, batch normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels, eps=1e-5, momentum=PUBLISHED_MOMENTUM),
            nn.ReLU(),
        )


def vertex_channels(adjacency: Matrix, in_channels: int, out_channels: int) -> list[int]:
    """Returns the channels of each vertex of a pruned cell.

    The output's channels are divided among the inner vertices that feed it, the first ones taking the remainder, one
    each; every other inner vertex has as many as the widest vertex it feeds.

    Raises:
        ValueError: There are fewer output channels than vertices to share them.
    """
    output = len(adjacency) - 1
    last = [v for v in range(1, output) if adjacency[v][output]]
    if out_channels < len(last):
        raise ValueError(f"{out_channels} channels cannot be shared by the {len(last)} vertices that feed the output")
    channels = [in_channels] + [0] * (output - 1) + [out_channels]
    for place, vertex in enumerate(last):
        channels[vertex] = out_channels // len(last) + (place < out_channels % len(last))
    for vertex in range(output - 1, 0, -1):
        if vertex not in last:
            channels[vertex] = max(channels[v] for v in range(vertex + 1, output) if adjacency[vertex][v])
    return channels


def _operation(op: int, channels: int) -> nn.Module:
    kernel_size = {CONV3X3: 3, CONV1X1: 1}.get(op)
    if kernel_size is None:
        return nn.MaxPool2d(kernel_size=3, stride=1, padding=1)
    return ConvBnRelu(channels, channels, kernel_size)


def _initialize(module: nn.Module) -> None:
    """Draws weights of the published variances: convolutions 1 / fan-in, dense layer Glorot uniform.

    Convolutions are drawn from the whole normal distribution, not from the published one cut at two standard
    deviations: PyTorch takes 13 times as long for that, more than a second for a large network.
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
    elif isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
