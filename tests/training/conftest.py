"""A tiny space and tiny images for the tests of this room."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from foretrain.spaces.base import Architectures, SearchSpace
from foretrain.training.images import ImageSet, open_images


@dataclass(frozen=True, eq=False)
class TinyArchitectures(Architectures):
    width: Tensor
    depth: Tensor


class TinySpace(SearchSpace[TinyArchitectures]):
    """Plain convolutional networks with dropout: ``width-depth``."""

    name = "tiny"

    def __init__(self, widths: int = 8, depths: int = 2) -> None:
        self.widths = widths
        self.depths = depths
        self.built = 0

    def sample(self, n, generator):
        width = torch.randint(1, self.widths + 1, (n,), generator=generator)
        return TinyArchitectures(width, torch.randint(1, self.depths + 1, (n,), generator=generator))

    def mutate(self, archs, generator, rate):
        raise NotImplementedError

    def crossover(self, first, second, generator):
        raise NotImplementedError

    def parse(self, strings):
        width, depth = torch.tensor([[int(number) for number in text.split("-")] for text in strings]).T
        return TinyArchitectures(width, depth)

    def format(self, archs):
        return [f"{width}-{depth}" for width, depth in zip(archs.width.tolist(), archs.depth.tolist(), strict=True)]

    def canonical(self, archs):
        return self.format(archs)

    def build(self, arch, in_channels, num_classes):
        self.built += 1
        width, layers = int(arch.width), []
        for _ in range(int(arch.depth)):
            layers += [nn.Conv2d(in_channels, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            in_channels = width
        head = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(4 * width, num_classes)]
        return nn.Sequential(*layers, *head)


@pytest.fixture
def space() -> TinySpace:
    return TinySpace()


@pytest.fixture(scope="session")
def tiny_space() -> TinySpace:
    """For fixtures that live longer than a test."""
    return TinySpace()


@pytest.fixture(scope="session")
def digits() -> ImageSet:
    return open_images("digits", train_images=100)
