"""Batches of images that lie on the device as a whole: a batch is an index, augmented at once.

There is no dataset, no collation and no worker process: for small images they cost more than the training step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningDataModule
from pydantic import Field
from torch import Tensor

from foretrain.errors import ConfigError
from foretrain.runtime.seeding import make_generator
from foretrain.training.images import ImageSet, ImageSplit

Batch = tuple[Tensor, Tensor]
"""Normalised images ``float32[b, channels, height, width]`` and their classes ``int64[b]``."""

_EVALUATION_BATCH = 500


class ImageDataModule(LightningDataModule):
    """Gives the Trainer the batches of an image set, from the device it trains on.

    Args:
        images: The data set; where it lies on the Trainer's device already (``images.to(device)``), it is not copied.
        batch_size: Images in a training batch. The rest of an epoch that fills no batch is dropped, so that every step
            has the same size; another shuffle drops others.
        shift: Training images are moved by up to so many pixels in each direction, over a black border.
        flip: Whether a random half of each training batch is mirrored left to right.
        seed: Seeds shuffling and augmentation.
        evaluation_batch_size: Images in a batch of validation and test.

    Raises:
        ConfigError: There are fewer training images than a batch needs, or the images must not be mirrored.
    """

    def __init__(
        self,
        images: ImageSet,
        batch_size: Annotated[int, Field(ge=1)],
        shift: Annotated[int, Field(ge=0)] = 0,
        flip: bool = False,
        seed: int = 0,
        evaluation_batch_size: Annotated[int, Field(ge=1)] = _EVALUATION_BATCH,
    ) -> None:
        super().__init__()
        if batch_size > len(images.train):
            allowed = f"1 to {len(images.train)} (the training images)"
            raise ConfigError("data.plan.batch_size", "no batch can be filled", batch_size, allowed)
        if flip and not images.mirrored:
            raise ConfigError("data.plan.flip", f"the classes of {images.name} change in the mirror", flip, "false")
        self.images = images
        self.batch_size = batch_size
        self.shift = shift
        self.flip = flip
        self.seed = seed
        self.evaluation_batch_size = evaluation_batch_size

    def setup(self, stage: str) -> None:
        """Moves the images to the device of the Trainer."""
        if self.trainer is not None:
            self.images = self.images.to(self.trainer.strategy.root_device)

    def train_dataloader(self) -> TrainingBatches:
        """Returns the shuffled, augmented training batches."""
        return TrainingBatches(self.images, self.batch_size, shift=self.shift, flip=self.flip, seed=self.seed)

    def val_dataloader(self) -> EvaluationBatches:
        """Returns the validation batches."""
        return EvaluationBatches(self.images, self.images.validation, self.evaluation_batch_size)

    def test_dataloader(self) -> EvaluationBatches:
        """Returns the test batches."""
        return EvaluationBatches(self.images, self.images.test, self.evaluation_batch_size)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Returns the batch as it is: it was made on the device."""
        return batch


class TrainingBatches:
    """The training batches of one epoch after the other.

    The loader has a position (epoch, batch), and iterating always goes on there. All random numbers of an epoch are
    drawn at once on the CPU from (seed, epoch), so a batch depends on (seed, epoch, batch) only: neither on the device
    nor on what was read before. Lightning saves and restores the position, which makes a checkpoint in the middle of an
    epoch go on with the very next batch.

    Args:
        images: The data set; batches are made on the device it lies on.
        batch_size: Images in a batch; the rest of an epoch is dropped.
        shift: Largest move in pixels.
        flip: Whether a random half is mirrored.
        seed: Seed of the random numbers.
    """

    def __init__(self, images: ImageSet, batch_size: int, *, shift: int, flip: bool, seed: int) -> None:
        self._split = images.train
        self._normalise = _Normalisation(images)
        self._batch_size = batch_size
        self._shift = shift
        self._flip = flip
        self._seed = seed
        self._epoch = 0
        self._batch = 0

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._split) // self._batch_size

    def __iter__(self) -> Iterator[Batch]:
        """Yields the batches from the position to the end of its epoch."""
        draws = self._draw_epoch()
        for batch in range(self._batch, len(self)):
            # The position is moved before the batch is handed out: a checkpoint taken while it is used has the next.
            self._epoch, self._batch = divmod(self._epoch * len(self) + batch + 1, len(self))
            order, dy, dx, mirror = (values[batch] for values in draws)
            pixels = self._split.images.index_select(0, order)
            augmented = augment(pixels, self._shift, dy, dx, mirror if self._flip else None)
            yield self._normalise(augmented), self._split.labels.index_select(0, order)

    def state_dict(self) -> dict[str, int]:
        """Returns the position."""
        return {"epoch": self._epoch, "batch": self._batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Sets the position."""
        self._epoch, self._batch = state["epoch"], state["batch"]

    def _draw_epoch(self) -> tuple[Tensor, ...]:
        """Order, vertical and horizontal offset and mirroring of an epoch's images, each ``[batches, batch_size]``."""
        n, used = len(self._split), len(self) * self._batch_size
        generator = make_generator(self._seed, "epoch", self._epoch)
        order = torch.randperm(n, generator=generator)[:used]
        dy, dx = torch.randint(2 * self._shift + 1, (2, used), generator=generator)
        mirror = torch.rand(used, generator=generator) < 0.5
        device = self._split.labels.device
        return tuple(values.view(len(self), -1).to(device) for values in (order, dy, dx, mirror))


class EvaluationBatches:
    """The batches of one split in its order, neither shuffled nor augmented; the last may be smaller.

    Args:
        images: The data set, for its statistics.
        split: Its validation or test part.
        batch_size: Images in a batch.
    """

    def __init__(self, images: ImageSet, split: ImageSplit, batch_size: int) -> None:
        self._split = split
        self._normalise = _Normalisation(images)
        self._batch_size = batch_size

    def __len__(self) -> int:
        """Number of batches."""
        return math.ceil(len(self._split) / self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yields all batches."""
        for start in range(0, len(self._split), self._batch_size):
            part = self._split[start : start + self._batch_size]
            yield self._normalise(part.images), part.labels


def augment(images: Tensor, shift: int, dy: Tensor, dx: Tensor, mirror: Tensor | None = None) -> Tensor:
    """Moves every image of a batch by its own offset over a black border, and mirrors some left to right.

    Pixel (y, x) of a result is pixel (y + dy - shift, x + dx - shift) of its image, 0 outside of it. One gather for
    the whole batch.

    Args:
        images: ``[b, channels, height, width]``.
        shift: Width of the border in pixels.
        dy: ``int64[b]``, vertical offsets in ``[0, 2 * shift]``.
        dx: ``int64[b]``, horizontal offsets in ``[0, 2 * shift]``.
        mirror: ``bool[b]``, which images are mirrored after the move; None mirrors none.

    Returns:
        A batch of the same shape and type.
    """
    if shift:
        height, width = images.shape[-2:]
        windows = F.pad(images, (shift, shift, shift, shift)).unfold(2, height, 1).unfold(3, width, 1)
        images = windows[torch.arange(len(images), device=images.device), :, dy, dx]
    if mirror is not None:
        images = torch.where(mirror[:, None, None, None], images.flip(-1), images)
    return images


class _Normalisation:
    """Pixels to ``(pixel - mean) / std`` of their channel, on the device of the data set."""

    def __init__(self, images: ImageSet) -> None:
        device = images.train.images.device
        std = torch.tensor(images.std, device=device).view(-1, 1, 1)
        self._scale = 1 / std
        self._offset = -torch.tensor(images.mean, device=device).view(-1, 1, 1) / std

    def __call__(self, pixels: Tensor) -> Tensor:
        return torch.addcmul(self._offset, pixels.float(), self._scale)
