"""Layers that the networks of several spaces are made of."""

from __future__ import annotations

from torch import nn


class ReluConvBn(nn.Sequential):
    """ReLU, convolution without bias, batch normalisation: maps ``[b, c, h, w]`` to ``[b, c', h / s, w / s]``.

    Args:
        in_channels: Channels c of the input.
        out_channels: Channels c' of the output.
        kernel_size: Odd size of the kernel; the input is padded, so that a stride of one keeps height and width.
        stride: Stride s; heights and widths that it does not divide are rounded up.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels),
        )
