"""What a training measures on its way, summed up on the device and read back only when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Records:
    """The evaluations of a training, in order; all lists have the same length.

    Attributes:
        step: Optimiser steps done.
        train_loss: Mean loss of the training batches since the evaluation before, as it was minimised.
        train_accuracy: Accuracy on the same batches, percent.
        val_loss: Mean cross-entropy of the validation images.
        val_accuracy: Accuracy on the validation images, percent.
    """

    step: list[int]
    train_loss: list[float]
    train_accuracy: list[float]
    val_loss: list[float]
    val_accuracy: list[float]


class Tally:
    """Sums of loss and right answers over batches, on the device of the batches.

    Adding costs a few small kernels and never waits for the device, unlike a metric that is read at every step.

    Attributes:
        count: Number of images added.
    """

    def __init__(self) -> None:
        # 0-dimensional CPU tensors: the first sum with a tensor of another device moves them there.
        self.count = 0
        self._right = torch.zeros((), dtype=torch.int64)
        self._loss = torch.zeros(())

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Adds a batch.

        Args:
            loss: Mean loss of the batch.
            logits: ``[b, classes]``.
            labels: ``int64[b]``.
        """
        self.count += len(labels)
        self._right = self._right + (logits.detach().argmax(1) == labels).sum()
        self._loss = self._loss + loss.detach() * len(labels)

    @property
    def loss(self) -> Tensor:
        """Mean loss of what was added, ``float32[]``; NaN and infinities are kept as they are."""
        return self._loss / self.count

    @property
    def accuracy(self) -> Tensor:
        """Share of right answers in what was added, percent, ``float32[]``."""
        return 100 * self._right / self.count

    def percent_right(self) -> float:
        """Returns the accuracy to the last digit; waits for the device."""
        return 100 * int(self._right) / self.count

    def state_dict(self) -> dict[str, Any]:
        """Returns the sums."""
        return {"count": self.count, "right": self._right, "loss": self._loss}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Sets the sums."""
        self.count, self._right, self._loss = state["count"], state["right"], state["loss"]


class RecordBook:
    """Keeps the records of one training.

    Attributes:
        training: The training batches since the last evaluation.
        validation: The validation batches of the evaluation that is under way.
    """

    def __init__(self) -> None:
        self.training = Tally()
        self.validation = Tally()
        self._steps: list[int] = []
        self._closed: list[tuple[Tally, Tally]] = []

    @property
    def last_step(self) -> int:
        """Step of the last evaluation, 0 before the first."""
        return self._steps[-1] if self._steps else 0

    def close(self, step: int) -> None:
        """Ends an evaluation: keeps both tallies as its record and starts new ones."""
        self._steps.append(step)
        self._closed.append((self.training, self.validation))
        self.training, self.validation = Tally(), Tally()

    def read(self) -> Records:
        """Returns the records as plain numbers; the one place that waits for the device."""
        return Records(
            step=list(self._steps),
            train_loss=[float(training.loss) for training, _ in self._closed],
            train_accuracy=[training.percent_right() for training, _ in self._closed],
            val_loss=[float(validation.loss) for _, validation in self._closed],
            val_accuracy=[validation.percent_right() for _, validation in self._closed],
        )

    def state_dict(self) -> dict[str, Any]:
        """Returns the records and what was summed up since the last of them."""
        closed = [[tally.state_dict() for tally in pair] for pair in self._closed]
        return {"steps": list(self._steps), "closed": closed, "training": self.training.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a state that :meth:`state_dict` returned."""
        self._steps = list(state["steps"])
        self._closed = [(_restored(training), _restored(validation)) for training, validation in state["closed"]]
        self.training = _restored(state["training"])


def _restored(state: dict[str, Any]) -> Tally:
    tally = Tally()
    tally.load_state_dict(state)
    return tally
