"""Batches: the augmentation is what it says, and a batch depends on seed, epoch and position only."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from foretrain.errors import ConfigError
from foretrain.training.data import EvaluationBatches, ImageDataModule, TrainingBatches, augment
from foretrain.training.images import ImageSet, open_images


def training_batches(images: ImageSet, **changes: int) -> TrainingBatches:
    options = {"batch_size": 30, "shift": 1, "flip": False, "seed": 3, **changes}
    return TrainingBatches(images, **options)


def equal(first: list[tuple[Tensor, Tensor]], second: list[tuple[Tensor, Tensor]]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(*images) and torch.equal(*labels)
        for images, labels in (zip(*pair, strict=True) for pair in zip(first, second, strict=True))
    )


@pytest.mark.parametrize("shift", [0, 1, 3])
def test_augmentation_equals_a_loop_over_pixels(shift: int) -> None:
    generator = torch.Generator().manual_seed(shift)
    images = torch.randint(1, 256, (9, 2, 4, 5), generator=generator, dtype=torch.uint8)
    dy, dx = torch.randint(2 * shift + 1, (2, 9), generator=generator)
    mirror = torch.rand(9, generator=generator) < 0.5
    expected = torch.zeros_like(images)
    for n, c, y, x in torch.cartesian_prod(*map(torch.arange, images.shape)).tolist():
        source_y, source_x = y + int(dy[n]) - shift, x + int(dx[n]) - shift
        if 0 <= source_y < 4 and 0 <= source_x < 5:
            expected[n, c, y, 4 - x if mirror[n] else x] = images[n, c, source_y, source_x]
    assert torch.equal(augment(images, shift, dy, dx, mirror), expected)


def test_without_mirroring_and_shift_images_stay() -> None:
    images = torch.arange(32).reshape(2, 1, 4, 4)
    zero = torch.zeros(2, dtype=torch.int64)
    assert torch.equal(augment(images, 0, zero, zero), images)


def test_an_epoch_shows_images_once_and_drops_the_rest() -> None:
    images = open_images("digits")
    batches = training_batches(images, batch_size=100, shift=0)
    shown = [image.numpy().tobytes() for batch, _ in batches for image in batch]
    everything = next(iter(EvaluationBatches(images, images.train, 797)))[0]
    assert len(batches) == 7
    assert len(shown) == len(set(shown)) == 700, "all digits are different images"
    assert set(shown) < {image.numpy().tobytes() for image in everything}


def test_training_images_are_normalised() -> None:
    images = open_images("digits")
    pixels = next(iter(training_batches(images, batch_size=797, shift=0)))[0]
    assert abs(pixels.mean()) < 1e-5
    assert abs(pixels.std(correction=0) - 1) < 1e-5


def test_moves_and_mirrorings_are_all_drawn(digits: ImageSet) -> None:
    *_, dy, dx, mirror = training_batches(digits, batch_size=100, shift=2)._draw_epoch()
    for values, number in ((dy, 5), (dx, 5), (mirror, 2)):
        assert len(values.unique()) == number
    assert not torch.equal(dy, dx)


def test_mirroring_is_an_option(digits: ImageSet) -> None:
    plain, mirrored = (next(iter(training_batches(digits, shift=0, flip=flip)))[0] for flip in (False, True))
    flipped = (plain.flip(-1) == mirrored).flatten(1).all(1)
    same = (plain == mirrored).flatten(1).all(1)
    assert (same | flipped).all()
    assert 5 < flipped.sum() < 25


def test_epochs_and_seeds_differ_and_repeat(digits: ImageSet) -> None:
    batches = training_batches(digits)
    first, second = list(batches), list(batches)
    assert not equal(first, second)
    again = training_batches(digits)
    assert equal(list(again), first)
    assert equal(list(again), second)
    assert not equal(list(training_batches(digits, seed=4)), first)


@pytest.mark.parametrize("position", range(7))
def test_a_restored_position_gives_the_very_next_batch(digits: ImageSet, position: int) -> None:
    undisturbed = training_batches(digits)
    expected = [batch for _ in range(4) for batch in undisturbed]
    source = training_batches(digits)
    read = list(islice((batch for _ in range(3) for batch in source), position))
    assert equal(read, expected[:position])
    restored = training_batches(digits)
    restored.load_state_dict(source.state_dict())
    assert equal([*restored, *restored], expected[position : (position // 3 + 2) * 3])


def test_evaluation_batches_are_all_images_in_order(digits: ImageSet) -> None:
    batches = EvaluationBatches(digits, digits.validation, 200)
    images, labels = zip(*batches, strict=True)
    assert [len(part) for part in images] == [200, 200, 100]
    assert len(batches) == 3
    assert torch.equal(torch.cat(labels), digits.validation.labels)
    pixels = torch.cat(images) * digits.std[0] + digits.mean[0]
    torch.testing.assert_close(pixels, digits.validation.images.float(), atol=1e-4, rtol=0)


def test_impossible_batches_are_refused(digits: ImageSet) -> None:
    with pytest.raises(ConfigError, match=r"batch_size.*101.*1 to 100"):
        ImageDataModule(digits, batch_size=101)
    with pytest.raises(ConfigError, match=r"flip.*digits change in the mirror"):
        ImageDataModule(digits, batch_size=10, flip=True)


class Watcher(LightningModule):
    """Notes the batches that a Trainer hands out."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[Tensor, Tensor]] = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        self.seen.append(batch)
        return self.weight * batch[0].mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize("stop", [2, 3, 4])
def test_lightning_resumes_in_the_middle_of_an_epoch(digits: ImageSet, tmp_path: Path, stop: int) -> None:
    def fit(max_steps: int, start: Path | None = None, **options: object) -> list[tuple[Tensor, Tensor]]:
        trainer = Trainer(
            accelerator="cpu", max_steps=max_steps, logger=False, enable_progress_bar=False, enable_model_summary=False,
            limit_val_batches=0, **options,
        )  # fmt: skip
        module = Watcher()
        data = ImageDataModule(digits, batch_size=30, shift=1, seed=5)
        trainer.fit(module, datamodule=data, ckpt_path=start, weights_only=True)
        return module.seen

    undisturbed = fit(8, enable_checkpointing=False)
    keep = ModelCheckpoint(tmp_path, filename="mid", every_n_train_steps=stop)
    before = fit(stop, callbacks=[keep])
    after = fit(8, tmp_path / "mid.ckpt", enable_checkpointing=False)
    assert equal(before + after, undisturbed)
