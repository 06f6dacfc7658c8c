"""Fits the attention predictor; a fit that is finished is loaded, an interrupted one goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from foretrain.runtime.checkpoints import load_checkpoint, save_checkpoint
from foretrain.runtime.fitting import fit
from foretrain.runtime.seeding import seed_everything
from foretrain.runtime.study import TrainerFactory
from foretrain.runtime.tables import TableData
from foretrain.snapshots.batches import LayerBatch
from foretrain.snapshots.module import AttentionModule

Positive = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class AttentionSettings:
    """How the attention predictor is built and trained.

    Attributes:
        members: Networks of the ensemble.
        hidden: Width of each.
        heads: Attention heads of each.
        dropout: Dropout of each.
        ranking: Weight of the pairwise ranking loss beside the regression.
        max_epochs: At most so many epochs.
        patience: Epochs without improvement on the validation networks before training stops.
        batch_size: Networks in a batch; pairs are formed within it.
        learning_rate: Learning rate of AdamW.
        weight_decay: Weight decay of AdamW.
    """

    members: Positive = 5
    hidden: Positive = 24
    heads: Positive = 2
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    ranking: Annotated[float, Field(ge=0)] = 1.0
    max_epochs: Positive = 100
    patience: Positive = 20
    batch_size: Annotated[int, Field(ge=2)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.1


def fit_attention_predictor(
    population: LayerBatch,
    train_index: Tensor,
    val_index: Tensor,
    *,
    settings: AttentionSettings,
    trainer: TrainerFactory,
    folder: str | Path,
    seed: int,
) -> AttentionModule:
    """Fits standardisation and ensemble on the training networks; validation networks decide when to stop.

    Args:
        population: All networks.
        train_index: ``int64``, the training networks.
        val_index: ``int64``, the validation networks.
        settings: Settings.
        trainer: Makes the Trainer.
        folder: Where the fit is kept; one folder holds one fit.
        seed: Decides initial weights, the order of batches and dropout.

    Returns:
        The fitted module, in evaluation mode.
    """
    finished = Path(folder) / "fitted.ckpt"
    if finished.exists():
        return load_checkpoint(finished, AttentionModule)
    seed_everything(seed)
    module = AttentionModule(
        tokens=population.layers.shape[-1],
        context=population.context.shape[-1],
        members=settings.members,
        hidden=settings.hidden,
        heads=settings.heads,
        dropout=settings.dropout,
        ranking=settings.ranking,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    train, val = (population[torch.as_tensor(index)] for index in (train_index, val_index))
    module.standardizer.fit(train)
    data = TableData(train, val, settings.batch_size, seed)
    limits = {"max_epochs": settings.max_epochs, "patience": settings.patience}
    fit(module, data, trainer, folder, **limits, seed=seed)
    save_checkpoint(finished, module)
    return module
