"""The ranker as Lightning trains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from foretrain.predictors.gcn.loss import pairwise_cross_entropy
from foretrain.predictors.gcn.neighbourhoods import Neighbourhoods
from foretrain.predictors.gcn.network import GCN, Normalization


@dataclass(frozen=True)
class RankedGraphs:
    """Graphs with their accuracies: one batch, from which all pairs are made.

    Attributes:
        graphs: The views of n graphs.
        accuracies: ``float32[n]``, higher is better.
    """

    graphs: Neighbourhoods
    accuracies: Tensor

    def to(self, device: torch.device | str, **_: object) -> RankedGraphs:
        """Moves all to a device."""
        return RankedGraphs(self.graphs.to(device), self.accuracies.to(device))


class RankerModule(LightningModule):
    """A GCN that learns to tell the better of two networks.

    Stochastic gradient descent; the learning rate falls to zero over ``total_steps`` as a cosine, step by step.

    Args:
        num_labels: Number of labels of a vertex.
        widths: Features of the layers.
        normalization: See :class:`.network.GCN`.
        learning_rate: Of the first step.
        momentum: Of the descent.
        weight_decay: Of the descent.
        total_steps: Number of steps.
    """

    def __init__(
        self,
        num_labels: int,
        widths: Sequence[int],
        normalization: Normalization,
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        total_steps: int,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.total_steps = total_steps
        self.gcn = GCN(num_labels, widths, normalization)

    def training_step(self, batch: RankedGraphs, batch_idx: int) -> Tensor:
        """Returns the pairwise cross-entropy."""
        return pairwise_cross_entropy(batch.graphs.score(self.gcn), batch.accuracies)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's union of everything
        """Returns the descent and its cosine."""
        optimizer = torch.optim.SGD(
            self.gcn.parameters(), self.learning_rate, self.momentum, weight_decay=self.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def descend(self, batch: RankedGraphs) -> None:
        """Takes all steps at once: what a Trainer does with this module and batch, without the cost of one."""
        configured = self.configure_optimizers()
        optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
        for step in range(self.total_steps):
            optimizer.zero_grad()
            torch.autograd.backward(self.training_step(batch, step))
            optimizer.step()
            schedule.step()
