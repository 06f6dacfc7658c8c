"""Training of a small network under a silent Trainer, which leaves no files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, TypeVar

import torch
from lightning.pytorch import Trainer
from pydantic import Field
from torch import Tensor, nn

from foretrain.batches import TensorBatch
from foretrain.predictors.module import NetworkModule
from foretrain.runtime.quiet import quiet_lightning
from foretrain.runtime.random_state import random_state, set_random_state
from foretrain.runtime.seeding import derive_seed, make_generator, seed_everything
from foretrain.runtime.tables import IndexLoader

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class FitSettings:
    """How a network is trained; the defaults are those of NAO, SemiNAS and EmProx.

    Attributes:
        epochs: Passes over the networks that are learned from.
        batch_size: Architectures in a batch.
        learning_rate: Learning rate of Adam.
        weight_decay: L2 regularisation of Adam.
        gradient_clip: Norm that gradients are clipped to.
    """

    epochs: Annotated[int, Field(ge=1)] = 50
    batch_size: Annotated[int, Field(ge=1)] = 100
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    gradient_clip: Annotated[float, Field(gt=0)] = 5.0


@contextmanager
def seeded(seed: int, *keys: str | int) -> Iterator[None]:
    """Seeds the global generators for what is built inside (initial weights), and leaves them as they were."""
    before = random_state()
    seed_everything(derive_seed(seed, *keys))
    try:
        yield
    finally:
        set_random_state(before)


def fit_network(network: Network, table: TensorBatch, settings: FitSettings, seed: int) -> Network:
    """Trains a network that has ``loss(batch)`` on a table, in place.

    The Trainer logs nothing and writes nothing, so that hundreds of fits may follow each other. The caller's global
    random state is left as it was.

    Args:
        network: The network; its initial weights are drawn by the caller.
        table: What it learns from; a batch is an index into it.
        settings: How it is trained.
        seed: Seed of the order of the batches and of dropout.

    Returns:
        The same network on the CPU, in evaluation mode.
    """
    epochs = itertools.count()

    def shuffled() -> list[Tensor]:
        generator = make_generator(seed, "epoch", next(epochs))
        return list(torch.split(torch.randperm(len(table), generator=generator), settings.batch_size))

    with seeded(seed, "training"), quiet_lightning():
        trainer = Trainer(
            accelerator="auto",
            devices=1,
            max_epochs=settings.epochs,
            gradient_clip_val=settings.gradient_clip,
            barebones=True,
        )
        module = NetworkModule(network, settings.learning_rate, settings.weight_decay)
        trainer.fit(module, IndexLoader(table, shuffled))
    return network.cpu().eval()
