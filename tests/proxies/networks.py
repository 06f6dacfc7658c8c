"""Small networks of all kinds that the tests score."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNet(nn.Module):
    """Convolutions with batch normalisation, a residual block with a strided shortcut, global pooling."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.block = nn.Sequential(
            nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 1)
        )
        self.shortcut = nn.Conv2d(4, 6, 1, stride=2)
        self.unused = nn.Conv2d(2, 2, 1)
        self.head = nn.Linear(6, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(self.block(x) + self.shortcut(x))
        return self.head(x.mean((2, 3)))


class FlatNet(nn.Module):
    """No batch normalisation, operations in place, features flattened by ``view``, functional activations."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4 * 36, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        x = self.second(x)
        x += 1.0
        x = F.relu(x)
        return self.head(x.view(len(x), -1))


class Transformer(nn.Module):
    """A small vision transformer: patches, class token, attention, layer normalisation."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(2, 8, 3, stride=3)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        return self.head(self.encoder(x)[:, 0])


class FusedAttention(nn.Module):
    """Attention by the fused kernel."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.embed = nn.Linear(2, 8)
        self.qkv = nn.Linear(8, 24)
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.flatten(2).transpose(1, 2))
        q, k, v = self.qkv(x).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        x = x + F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.head(F.silu(x).mean(1))


class Perceptron(nn.Module):
    """A multi-layer perceptron."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(72, 10), nn.ReLU(), nn.Linear(10, 8), nn.Tanh())
        self.head = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x))


NETWORKS = (ConvNet, FlatNet, Transformer, FusedAttention, Perceptron)


def make(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return kind()


def images(samples: int = 7, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, 2, 6, 6, generator=generator)
    return x, torch.arange(samples) % 3
