"""Prints what recording snapshots costs: beside the training it records, and beside a plain NumPy loop over neurons.

Small NAS-Bench-101 networks on random 8x8 images. Training with and without the recorder take turns; times are those of
the processor, one thread unless told otherwise.

    python bench/snapshots.py [--networks 4] [--cells 1] [--steps 200] [--every 100] [--repeats 5] ...
"""

from __future__ import annotations

import argparse
import logging
import warnings
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from foretrain.snapshots.recorder import SnapshotRecorder
from foretrain.snapshots.statistics import ROWS, STATISTICS, NetworkStatistics, trainable_layers
from foretrain.snapshots.storage import compress
from foretrain.spaces.nasbench101 import NASBench101
from timing import ratios, seconds, seconds_in_turn

CLASSES = 10
Batch = tuple[Tensor, Tensor]


def main() -> None:
    """Measures and prints."""
    options = _options()
    torch.set_num_threads(options.threads)
    batches = _batches(options.batch, options.steps)
    networks = _networks(options.networks, options.cells)
    measured = [measure(network, batches, options.every, options.repeats) for network in networks]
    print(f"{options.networks} networks, batches of {options.batch}, {options.threads} threads, milliseconds")
    print(f"{'layers':>8}{'parameters':>12}{'step':>8}{'snapshot':>10}{'NumPy':>8}{'bytes':>9}")
    for costs in measured:
        step, snapshot, loop = 1e3 * costs.training / options.steps, 1e3 * costs.snapshot, 1e3 * costs.loop
        print(f"{costs.layers:8d}{costs.parameters:12d}{step:8.2f}{snapshot:10.2f}{loop:8.0f}{costs.size:9d}")
    overhead = median(ratio for costs in measured for ratio in costs.ratios) - 1
    share = sum(costs.snapshot for costs in measured) / sum(costs.training for costs in measured)
    speed = sum(costs.loop for costs in measured) / sum(costs.snapshot for costs in measured)
    print(f"recording every {options.every} steps adds {overhead:.2%} (median of {options.repeats} pairs a network)")
    print(f"of which the snapshots themselves: {share * options.steps / options.every:.2%}")
    print(f"times faster than a NumPy loop over neurons: {speed:.0f}")


@dataclass(frozen=True)
class Costs:
    """What one network costs: sizes, seconds, and the ratios of training with and without the recorder."""

    layers: int
    parameters: int
    training: float
    ratios: list[float]
    snapshot: float
    loop: float
    size: int


def measure(network: nn.Module, batches: list[Batch], every: int, repeats: int) -> Costs:
    """Trains with and without the recorder in turn, then takes snapshots in both ways."""
    plain, recorded = seconds_in_turn(
        lambda: train(network, batches),
        lambda: train(network, batches, SnapshotRecorder(every, max_snapshots=len(batches))),
        repeats,
    )
    layers = list(trainable_layers(network).values())
    statistics = NetworkStatistics(layers, torch.Generator())
    return Costs(
        layers=len(layers),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        training=median(plain),
        ratios=ratios(recorded, plain),
        snapshot=seconds(statistics, 10 * repeats),
        loop=seconds(lambda: describe_in_a_loop(layers), repeats),
        size=compress(statistics()).numpy().nbytes,
    )


def train(network: nn.Module, batches: list[Batch], *callbacks: SnapshotRecorder) -> None:
    """Trains for one pass over the batches."""
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Classifier(network), DataLoader(batches, batch_size=None))


class Classifier(LightningModule):
    """The least that trains a network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the cross-entropy."""
        images, labels = batch
        return F.cross_entropy(self.network(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns SGD with momentum."""
        return torch.optim.SGD(self.network.parameters(), lr=0.01, momentum=0.9)


def describe_in_a_loop(layers: list[nn.Module]) -> np.ndarray:
    """Computes the statistics of one snapshot row by row."""
    table = np.zeros((2, len(layers), ROWS, len(STATISTICS)), dtype=np.float32)
    for index, layer in enumerate(layers):
        for kind, tensor in enumerate((layer.weight.detach(), layer.weight.grad)):
            array = tensor.numpy()
            table[kind, index, 0] = _describe(array.ravel())
            rows = array if isinstance(layer, nn.Linear) else array.reshape(len(array), -1).T
            for number, row in enumerate(rows[: ROWS - 1], start=1):
                table[kind, index, number] = _describe(row)
    return np.nan_to_num(table)


def _describe(row: np.ndarray) -> list[float]:
    mean, std = row.mean(), row.std()
    centred = row - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        shape = [np.mean(centred**3) / std**3, np.mean(centred**4) / std**4]
    quartiles = np.percentile(row, [0, 25, 50, 75, 100])
    return [mean, row.var(), std, *quartiles, *shape, np.abs(row).sum(), np.sqrt((row**2).sum())]


def _batches(size: int, count: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, size, 1, 8, 8, generator=generator)
    return list(zip(images, torch.randint(CLASSES, (count, size), generator=generator), strict=True))


def _networks(count: int, cells_per_stack: int) -> list[nn.Module]:
    space = NASBench101(stem_channels=16, stacks=2, cells_per_stack=cells_per_stack)
    cells = space.sample(count, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    return [space.build(cells[index], in_channels=1, num_classes=CLASSES) for index in range(count)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=4)
    parser.add_argument("--cells", type=int, default=1, help="cells per stack")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    main()
