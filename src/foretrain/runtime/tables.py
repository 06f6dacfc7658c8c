"""Tables that live on the device as tensors; a batch is an index into them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor

from foretrain.batches import TensorBatch
from foretrain.errors import ConfigError
from foretrain.runtime.seeding import make_generator

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
        for index in self.batches():
            yield self.table[index]


class TableData(LightningDataModule, Generic[Table]):
    """A training, a validation and a test table, each moved to the trainer's device whole.

    Training samples are shuffled by a generator that depends on the seed and the epoch only, so a resumed run sees the
    same batches. With several devices each takes its share of every training batch, so that the steps are those of one
    device, and its share of the batches to predict; validation and test are whole on each, so that no rank metric is
    computed on padded duplicates.

    Args:
        train: Training samples.
        val: Validation samples.
        batch_size: Samples in a batch, over all devices together (lowered to a multiple of their number). A single
            training sample of a device that remains at the end joins the batch before it: batch normalisation needs
            two. Of an epoch's samples, those beyond a multiple of the number of devices are left out.
        seed: Seed of the shuffling.
        test: Test samples; None where there are none.
    """

    def __init__(self, train: Table, val: Table, batch_size: int, seed: int, test: Table | None = None) -> None:
        super().__init__()
        self.train = train
        self.val = val
        self.test = test
        self.batch_size = batch_size
        self.seed = seed

    def setup(self, stage: str) -> None:
        """Moves the tables to the device."""
        device = self._runner().strategy.root_device
        self.train, self.val = self.train.to(device), self.val.to(device)
        self.test = None if self.test is None else self.test.to(device)

    def train_dataloader(self) -> IndexLoader[Table]:
        """Returns the training samples, in a new order every epoch."""
        return IndexLoader(self.train, self._shuffled)

    def val_dataloader(self) -> IndexLoader[Table]:
        """Returns the validation samples, in order."""
        return self._in_order(self.val)

    def test_dataloader(self) -> IndexLoader[Table]:
        """Returns the test samples, in order."""
        if self.test is None:
            raise RuntimeError(f"{type(self).__name__} has no test samples")
        return self._in_order(self.test)

    def predict_dataloader(self) -> IndexLoader[Table]:
        """Returns the test samples, in order; of several devices each has its share of them, none twice.

        Raises:
            ConfigError: There are more devices than samples, and Lightning needs one for each.
        """
        if self.test is None:
            raise RuntimeError(f"{type(self).__name__} has no test samples")
        return IndexLoader(self.test, functools.partial(self._share, self.test))

    def _share(self, table: Table) -> Sequence[Tensor]:
        rank, ranks = self._runner().global_rank, self._runner().world_size
        _check_devices(ranks, len(table))
        return torch.split(torch.tensor_split(torch.arange(len(table)), ranks)[rank], self.batch_size)

    def _in_order(self, table: Table) -> IndexLoader[Table]:
        return IndexLoader(table, lambda: torch.split(torch.arange(table.batch_size), self.batch_size))

    def _shuffled(self) -> list[Tensor]:
        runner = self._runner()
        generator = make_generator(self.seed, "epoch", runner.current_epoch)
        order = torch.randperm(self.train.batch_size, generator=generator)
        batches = _batches(order, self.batch_size, runner.world_size)
        return [batch[runner.global_rank :: runner.world_size] for batch in batches]

    def _runner(self) -> Trainer:
        if self.trainer is None:
            raise RuntimeError(f"{type(self).__name__} is used by a Trainer only")
        return self.trainer


def _batches(order: Tensor, batch_size: int, ranks: int = 1) -> list[Tensor]:
    """Cuts an order into batches of which each rank takes as many, none a single one unless there are no more.

    Raises:
        ConfigError: There are more ranks than samples.
    """
    _check_devices(ranks, len(order))
    order = order[: len(order) // ranks * ranks]
    batches = list(torch.split(order, max(batch_size // ranks, 1) * ranks))
    if len(batches) > 1 and len(batches[-1]) == ranks:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _check_devices(ranks: int, samples: int) -> None:
    if ranks > samples:
        raise ConfigError("trainer.devices", f"there are only {samples} samples", ranks, f"1 to {samples}")
