"""The LightningModule of all networks of this room."""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn


class HasLoss(Protocol):
    """A network that knows what it is trained on."""

    def loss(self, batch: Any) -> Tensor:  # noqa: ANN401 - each network has its own batches
        """Returns the loss of a batch."""


class NetworkModule(LightningModule):
    """Trains a network by Adam on its own loss.

    Args:
        network: An ``nn.Module`` with a method ``loss(batch)``.
        learning_rate: Learning rate of Adam.
        weight_decay: L2 regularisation, added to the gradient.
    """

    def __init__(self, network: nn.Module, learning_rate: float, weight_decay: float) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["network"])
        self.network = network

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ANN401 - each network has its own batches
        """Returns the loss of a batch."""
        return cast("HasLoss", self.network).loss(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns Adam over all parameters; the fused form saves much of a step on tiny networks."""
        options = self.hparams
        return torch.optim.Adam(
            self.parameters(), lr=options["learning_rate"], weight_decay=options["weight_decay"], fused=True
        )
