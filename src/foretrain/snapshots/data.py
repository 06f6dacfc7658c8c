"""Feature maps and codes as Lightning data."""

from __future__ import annotations

import torch
from torch import Tensor

from foretrain.runtime.seeding import make_generator
from foretrain.runtime.tables import TableData
from foretrain.snapshots.batches import KINDS, CodeBatch, FeatureMapBatch, SnapshotBatch, valid_steps


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
