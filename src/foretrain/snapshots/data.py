"""Tables that live on the device as tensors; a batch is an index into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor

from foretrain.runtime.seeding import make_generator
from foretrain.snapshots.batch import KINDS, CodeBatch, FeatureMapBatch, SnapshotBatch, TensorBatch, valid_steps

Table = TypeVar("Table", bound=TensorBatch)


class IndexLoader(Generic[Table]):
    """An iterable over batches of a table.

    Args:
        table: The samples.
        batches: Gives the index tensors of an epoch. It is called when the first batch is taken and not before: a
            resumed Trainer makes its iterator first and then moves on to the next epoch.
    """

    def __init__(self, table: Table, batches: Callable[[], Sequence[Tensor]]) -> None:
        self.table = table
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches())

    def __iter__(self) -> Iterator[Table]:
        device = self.table.tensors()[0].device
        for index in self.batches():
            yield self.table[index.to(device)]


class TableData(LightningDataModule, Generic[Table]):
    """A training and a validation table, each moved to the trainer's device whole.

    Training samples are shuffled by a generator that depends on the seed and the epoch only, so a resumed run sees the
    same batches. With several devices each takes its share of the training samples and the whole validation table.

    Args:
        train: Training samples.
        val: Validation samples.
        batch_size: Samples in a batch. A single training sample that remains at the end joins the batch before it:
            batch normalisation needs two.
        seed: Seed of the shuffling.
    """

    def __init__(self, train: Table, val: Table, batch_size: int, seed: int) -> None:
        super().__init__()
        self.train = train
        self.val = val
        self.batch_size = batch_size
        self.seed = seed

    def setup(self, stage: str) -> None:
        """Moves both tables to the device."""
        device = self._runner().strategy.root_device
        self.train, self.val = self.train.to(device), self.val.to(device)

    def train_dataloader(self) -> IndexLoader[Table]:
        """Returns the training samples, in a new order every epoch."""
        return IndexLoader(self.train, self._shuffled)

    def val_dataloader(self) -> IndexLoader[Table]:
        """Returns the validation samples, in order."""
        return IndexLoader(self.val, lambda: torch.split(torch.arange(self.val.batch_size), self.batch_size))

    def _shuffled(self) -> list[Tensor]:
        runner = self._runner()
        rank, ranks = runner.global_rank, runner.world_size
        generator = make_generator(self.seed, "epoch", runner.current_epoch)
        order = torch.randperm(self.train.batch_size, generator=generator)
        return _batches(order[rank::ranks][: len(order) // ranks], self.batch_size)

    def _runner(self) -> Trainer:
        if self.trainer is None:
            raise RuntimeError(f"{type(self).__name__} is used by a Trainer only")
        return self.trainer


class FeatureMapData(TableData[FeatureMapBatch]):
    """Feature maps of one kind from the snapshots of training and validation networks.

    Args:
        population: The snapshots of all networks.
        kind: ``"weights"`` or ``"gradients"``.
        train_index: ``int64``, the training networks.
        val_index: ``int64``, the validation networks.
        batch_size: Feature maps in a batch.
        snapshots_per_network: So many randomly chosen snapshots of each network make up the tables, or all (None). This
            bounds the memory: a snapshot of 65 layers takes 156 kB.
        seed: Seed of the choice and of the shuffling.
    """

    def __init__(
        self,
        population: SnapshotBatch,
        kind: str,
        train_index: Tensor,
        val_index: Tensor,
        batch_size: int,
        snapshots_per_network: int | None,
        seed: int,
    ) -> None:
        chosen = choose_snapshots(population.lengths, snapshots_per_network, make_generator(seed, "snapshots"))
        train, val = (_feature_maps(population, kind, chosen, index) for index in (train_index, val_index))
        super().__init__(train, val, batch_size, seed)


class CodeData(TableData[CodeBatch]):
    """Encoded snapshots of training and validation networks.

    Args:
        population: The codes of all networks.
        train_index: ``int64``, the training networks.
        val_index: ``int64``, the validation networks.
        batch_size: Networks in a batch.
        seed: Seed of the shuffling.
    """

    def __init__(
        self, population: CodeBatch, train_index: Tensor, val_index: Tensor, batch_size: int, seed: int
    ) -> None:
        super().__init__(population[train_index], population[val_index], batch_size, seed)


def choose_snapshots(lengths: Tensor, limit: int | None, generator: torch.Generator) -> Tensor:
    """Chooses up to ``limit`` random snapshots of each network (all where it is None), ``bool[n, t]``."""
    steps = int(lengths.max())
    exists = valid_steps(lengths, steps)
    if limit is None:
        return exists
    draws = torch.rand(len(lengths), steps, generator=generator).masked_fill(~exists, 2.0)
    return exists & (draws.argsort(dim=1).argsort(dim=1) < limit)


def _feature_maps(population: SnapshotBatch, kind: str, chosen: Tensor, networks: Tensor) -> FeatureMapBatch:
    position, step = chosen[networks].nonzero(as_tuple=True)
    network = networks[position]
    maps = population.maps[network, step, KINDS.index(kind)]
    return FeatureMapBatch(maps, population.rows[network], population.arch_id[network])


def _batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """Cuts an order into batches, none of a single sample unless it is the only one."""
    batches = list(torch.split(order, batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches
