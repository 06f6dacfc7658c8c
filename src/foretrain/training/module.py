"""The classifier that every candidate network is trained as."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from pydantic import Field
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR

from foretrain.training.data import Batch
from foretrain.training.records import RecordBook, Records, Tally


class ClassifierModule(LightningModule):
    r"""Trains a network by cross-entropy, with SGD or Adam and a learning rate that is constant or decays.

    With cosine decay the learning rate of step :math:`t` of :math:`T`, from 0, is
    :math:`\eta\,(1 + \cos(\pi t / T)) / 2`.

    At every validation a record is closed (:attr:`records`). A network that diverges keeps going: its losses are
    recorded as they are, NaN and infinities included, and its accuracies as they are measured.

    Args:
        network: Classifier of images ``[b, channels, height, width]`` into logits ``[b, classes]``.
        optimizer: SGD with momentum, or Adam.
        learning_rate: The learning rate, or its start.
        total_steps: Steps of the whole training.
        weight_decay: L2 regularisation, added to the gradient by both optimisers.
        momentum: Momentum of SGD.
        cosine: Whether the learning rate decays to zero over ``total_steps``.
        label_smoothing: Share of each training label that is spread over all classes.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        optimizer: Literal["sgd", "adam"],
        learning_rate: Annotated[float, Field(gt=0)],
        total_steps: Annotated[int, Field(ge=1)],
        weight_decay: Annotated[float, Field(ge=0)] = 0.0,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        cosine: bool = False,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["network"])
        self.network = network
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.total_steps = total_steps
        self.weight_decay = weight_decay
        self.momentum = momentum
        self.cosine = cosine
        self.label_smoothing = label_smoothing
        self._book = RecordBook()
        self._test = Tally()

    @property
    def records(self) -> Records:
        """The evaluations so far."""
        return self._book.read()

    @property
    def last_record_step(self) -> int:
        """Step of the last evaluation, 0 before the first."""
        return self._book.last_step

    @property
    def test_accuracy(self) -> float:
        """Accuracy on the test images in percent, of the last ``Trainer.test``."""
        return self._test.percent_right()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Returns the optimiser and the schedule of its learning rate."""
        optimizer = self._make_optimizer()
        if not self.cosine:
            return optimizer
        schedule = CosineAnnealingLR(optimizer, self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the loss of a batch."""
        images, labels = batch
        logits = self.network(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        self._book.training.add(loss, logits, labels)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Measures a batch of validation images."""
        self._measure(batch, self._book.validation)

    def on_validation_epoch_end(self) -> None:
        """Closes a record."""
        validation = self._book.validation
        self.log_dict({"val/loss": validation.loss, "val/accuracy": validation.accuracy})
        self.close_record(self.trainer.global_step)

    def close_record(self, step: int) -> None:
        """Makes a record of what was measured since the last one; ``step`` optimiser steps are done."""
        self._book.close(step)

    def on_test_epoch_start(self) -> None:
        """Starts the measurement anew."""
        self._test = Tally()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Measures a batch of test images."""
        self._measure(batch, self._test)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the records."""
        checkpoint["records"] = self._book.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on with the records."""
        self._book.load_state_dict(checkpoint["records"])

    def _make_optimizer(self) -> Optimizer:
        # The fused form saves up to 2 ms a step on a network of many small tensors, also on the CPU.
        if self.optimizer == "adam":
            return Adam(self.parameters(), self.learning_rate, weight_decay=self.weight_decay, fused=True)
        return SGD(self.parameters(), self.learning_rate, self.momentum, weight_decay=self.weight_decay, fused=True)

    def _measure(self, batch: Batch, tally: Tally) -> None:
        images, labels = batch
        logits = self.network(images)
        tally.add(F.cross_entropy(logits, labels), logits, labels)
