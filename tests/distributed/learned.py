"""Every learned module with small data, what it is trained on, and what it says of networks that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from foretrain.benchmarks.batches import CurveBatch
from foretrain.curves.module import CurveFitModule
from foretrain.predictors.autoencoder import LIVE, LabelledSequences, num_tokens, to_tokens
from foretrain.predictors.emprox import SeenSequences, ShapedAutoencoder, weighted_neighbours
from foretrain.predictors.gcn.module import RankedGraphs, RankerModule
from foretrain.predictors.gcn.neighbourhoods import Neighbourhoods
from foretrain.predictors.gcn.regressor import BidirectionalGCN, LabelledGraphs
from foretrain.predictors.mlp import LabelledColumns, PerceptronEnsemble
from foretrain.predictors.module import NetworkModule
from foretrain.predictors.nao import NAONetwork
from foretrain.runtime.tables import IndexLoader, TableData
from foretrain.snapshots.batches import CodeBatch, FeatureMapBatch, LayerBatch
from foretrain.snapshots.module import AttentionModule, AutoencoderModule, SequencePredictorModule
from foretrain.spaces.nasbench201 import NASBench201
from foretrain.training.data import ImageDataModule
from foretrain.training.images import open_images
from foretrain.training.module import ClassifierModule

SPACE = NASBench201()
KNOWN, UNSEEN = 48, 60
STEPS, LAYERS = 3, 3
TELLING = [1, 2, 10, 11]
"""The statistics of feature maps that tell how good a network will be."""


@dataclass(frozen=True)
class Learned:
    """A module and how it is trained.

    Attributes:
        module: With its initial weights.
        data: Its training data.
        epochs: Passes over them.
        says: What the trained module says of unseen samples, a vector.
    """

    module: LightningModule
    data: Any
    epochs: int
    says: Callable[[], Tensor]


@cache
def architectures() -> tuple[Any, Tensor]:
    """Architectures and their targets, standardised: a rule of the operations on their edges."""
    archs = SPACE.sample(KNOWN + UNSEEN, torch.Generator().manual_seed(0))
    columns = torch.as_tensor(SPACE.encode(archs, "one_hot")).float()
    raw = columns @ torch.linspace(-1, 1, columns.shape[1])
    return archs, (raw - raw.mean()) / raw.std()


def table(data: Any, batch_size: int = 16) -> TableData:
    return TableData(data, data, batch_size, seed=0)


def perceptrons() -> Learned:
    archs, target = architectures()
    columns = torch.as_tensor(SPACE.encode(archs, "one_hot")).float()
    network = PerceptronEnsemble(columns.shape[1], members=2, layers=2, width=16)
    data = table(LabelledColumns(columns[:KNOWN], target[:KNOWN]))
    return Learned(NetworkModule(network, 1e-2, 1e-4), data, 30, lambda: network(columns[KNOWN:]).mean(0))


def gcn_regressor() -> Learned:
    archs, target = architectures()
    graphs = SPACE.encode(archs, "graph")
    parts = (graphs.adjacency, graphs.vertices, graphs.mask)
    network = BidirectionalGCN(graphs.vertices.shape[2], width=16, layers=2)
    data = table(LabelledGraphs(*(part[:KNOWN] for part in parts), target[:KNOWN]))
    return Learned(NetworkModule(network, 1e-2, 1e-4), data, 30, lambda: network(*(part[KNOWN:] for part in parts)))


def nao() -> Learned:
    archs, target = architectures()
    tokens = to_tokens(SPACE, archs, LIVE)
    network = NAONetwork(num_tokens(SPACE), width=16, hidden=8, dropout=0.0)
    data = table(LabelledSequences(tokens[:KNOWN], target[:KNOWN]))
    return Learned(NetworkModule(network, 1e-2, 1e-4), data, 30, lambda: network.foresee(tokens[KNOWN:]))


def emprox(shaping: float = 0.0) -> Learned:
    archs, target = architectures()
    tokens = to_tokens(SPACE, archs, LIVE)
    network = ShapedAutoencoder(num_tokens(SPACE), width=16, shaping=shaping)
    network.dropout.p = 0.0
    data = table(SeenSequences(tokens[:KNOWN], target[:KNOWN], torch.empty(KNOWN, 0)))

    def says() -> Tensor:
        known, unseen = network.embed(tokens).double().split([KNOWN, UNSEEN])
        return weighted_neighbours(unseen, known, target[:KNOWN].double(), 10)

    return Learned(NetworkModule(network, 1e-2, 1e-4), data, 30, says)


class OneBatch:
    def __init__(self, batch: Any) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Any]:
        yield self.batch


def ranker() -> Learned:
    archs, target = architectures()
    module = RankerModule(len(SPACE.vocabulary.labels), [16], "one_sided", 0.1, 0.9, 0.0, 60)
    known, unseen = (
        Neighbourhoods.of(SPACE.encode(archs[part], "graph"), module.gcn)
        for part in (torch.arange(KNOWN), torch.arange(KNOWN, KNOWN + UNSEEN))
    )
    batch = RankedGraphs(known, target[:KNOWN].double())
    return Learned(module, OneBatch(batch), 60, lambda: unseen.score(module.gcn))


def curves() -> Learned:
    """Curves of which the first half is seen; what is said is the mean of the models at the end."""
    draw = torch.Generator().manual_seed(0)
    final, speed = 60 + 35 * torch.rand(UNSEEN, 1, generator=draw), 0.5 + torch.rand(UNSEEN, 1, generator=draw)
    values = final - 50 * torch.arange(1, 21) ** -speed
    seen = values.masked_fill(torch.arange(20) >= 10, torch.nan)
    module = CurveFitModule(UNSEEN, ["pow3", "log_power"], 0.2)
    batch = CurveBatch(seen, values[:, -1], torch.arange(UNSEEN))
    data = IndexLoader(batch, lambda: [torch.arange(UNSEEN)])
    return Learned(module, data, 100, lambda: module(torch.tensor([20.0])).mean(0)[:, 0])


def classifier() -> Learned:
    images = open_images("digits", None, 200)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(images.train.images[0].numel(), 10))
    module = ClassifierModule(network, optimizer="sgd", learning_rate=0.1, total_steps=40)
    return Learned(
        module, ImageDataModule(images, 50, seed=0), 10, lambda: network(images.validation.images.float()).flatten()
    )


def feature_maps() -> FeatureMapBatch:
    draw = np.random.default_rng(0)
    quality = draw.uniform(-1, 1, KNOWN + UNSEEN)
    maps = draw.normal(size=(len(quality), LAYERS, 100, 12))
    maps[..., TELLING] += 4 * quality[:, None, None, None]
    return FeatureMapBatch(
        torch.from_numpy(maps.astype(np.float16)),
        torch.full((len(quality), LAYERS), 100),
        torch.arange(len(quality)),
    )


def autoencoder() -> Learned:
    maps = feature_maps()
    module = AutoencoderModule([8, 8, 4], learning_rate=1e-2)
    module.normalizer.fit(maps.maps[:KNOWN], maps.rows[:KNOWN])

    def says() -> Tensor:
        unseen = maps[torch.arange(KNOWN, KNOWN + UNSEEN)]
        back = module.autoencoder(module.normalizer(unseen.maps, unseen.rows), unseen.rows)
        return back[..., TELLING].mean((1, 2, 3))

    return Learned(module, table(maps[torch.arange(KNOWN)]), 10, says)


def snapshot_sequences() -> Learned:
    draw = torch.Generator().manual_seed(0)
    quality = 2 * torch.rand(KNOWN + UNSEEN, generator=draw) - 1
    codes = torch.randn(KNOWN + UNSEEN, STEPS, 8, generator=draw)
    codes[..., :2] += 2 * quality[:, None, None]
    lengths, target = torch.full((KNOWN + UNSEEN,), STEPS), 60 + 30 * quality
    batch = CodeBatch(codes, lengths, target, torch.arange(KNOWN + UNSEEN))
    module = SequencePredictorModule(8, hidden=8, learning_rate=1e-2)
    return Learned(module, table(batch[torch.arange(KNOWN)]), 30, lambda: module.predictor(codes[KNOWN:])[:, -1])


def attention(ranking: float = 0.0) -> Learned:
    draw = torch.Generator().manual_seed(0)
    n = KNOWN + UNSEEN
    quality = 2 * torch.rand(n, generator=draw) - 1
    layers = torch.randn(n, STEPS, LAYERS, 6, generator=draw)
    layers[:, :, -1, 2] += 2 * quality[:, None]
    context = torch.randn(n, STEPS, 2, generator=draw)
    whole = (torch.full((n, LAYERS), 100), context, torch.full((n,), STEPS), 60 + 30 * quality, torch.arange(n))
    batch = LayerBatch(layers, *whole)
    module = AttentionModule(6, 2, members=2, hidden=8, dropout=0.0, ranking=ranking, learning_rate=1e-2)
    module.standardizer.fit(batch[torch.arange(KNOWN)])
    unseen = batch[torch.arange(KNOWN, n)]
    return Learned(module, table(batch[torch.arange(KNOWN)]), 20, lambda: module(unseen)[:, -1])


EQUAL: dict[str, Callable[[], Learned]] = {
    "perceptrons (MLP, BANANAS)": perceptrons,
    "GCN regressor": gcn_regressor,
    "autoencoder with head (NAO, SemiNAS)": nao,
    "autoencoder (EmProx)": emprox,
    "GCN ranker": ranker,
    "curve fits": curves,
    "candidate network": classifier,
    "LSTM (NAP2)": snapshot_sequences,
    "attention over layers, without pairs": attention,
}
"""Modules whose gradient of a batch is the mean of those of its shares: several devices take the steps of one."""

ALIKE: dict[str, Callable[[], Learned]] = {
    "autoencoder of feature maps (NAP2)": autoencoder,
    "autoencoder shaped by accuracies (EmProx)": lambda: emprox(1.0),
    "attention over layers": lambda: attention(1.0),
}
"""Modules that look at the samples of a batch together: batch normalisation, neighbours, pairs."""

LEARNED = EQUAL | ALIKE


def make(name: str) -> Learned:
    """A module with the initial weights of seed 0."""
    torch.manual_seed(0)
    return LEARNED[name]()
