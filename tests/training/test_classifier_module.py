"""The classifier: the same training as a plain loop, the schedule as published, honest records."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, Trainer
from torch import nn

from foretrain.training.data import EvaluationBatches, ImageDataModule, TrainingBatches
from foretrain.training.images import ImageSet
from foretrain.training.module import ClassifierModule
from foretrain.training.records import RecordBook, Tally

STEPS, EVERY, BATCH = 9, 4, 30


def new_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))


def new_trainer(**options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu", max_steps=STEPS, check_val_every_n_epoch=None, val_check_interval=EVERY,
        num_sanity_val_steps=0, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, **options,
    )  # fmt: skip


def new_data(images: ImageSet) -> ImageDataModule:
    return ImageDataModule(images, BATCH, shift=1, seed=1, evaluation_batch_size=64)


def train(images: ImageSet, **options: Any) -> ClassifierModule:
    module = ClassifierModule(new_network(), total_steps=STEPS, **{"optimizer": "sgd", "learning_rate": 0.1, **options})
    new_trainer().fit(module, datamodule=new_data(images))
    return module


def plain_loop(images: ImageSet, optimizer: torch.optim.Optimizer, network: nn.Module, smoothing: float) -> list[Any]:
    """Trains without Lightning, records and fused kernels; returns (step, train loss, accuracy, val loss, accuracy)."""
    batches = TrainingBatches(images, BATCH, shift=1, flip=False, seed=1)
    (validation,) = EvaluationBatches(images, images.validation, 500)
    rows, losses, right, step = [], [], [], 0
    while step < STEPS:
        for pixels, labels in batches:
            logits = network.train()(pixels)
            loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            right.append((logits.argmax(1) == labels).float().mean().item())
            step += 1
            if step % EVERY == 0:
                with torch.no_grad():
                    logits = network.eval()(validation[0])
                accuracy = (logits.argmax(1) == validation[1]).float().mean().item()
                loss = F.cross_entropy(logits, validation[1]).item()
                rows.append((step, sum(losses) / EVERY, 100 * sum(right) / EVERY, loss, 100 * accuracy))
                losses, right = [], []
    return rows


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("sgd", lambda p: torch.optim.SGD(p, 0.1, momentum=0.8, weight_decay=0.01, foreach=False)),
        ("adam", lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.01, foreach=False)),
    ],
)
def test_training_and_records_equal_a_plain_loop(digits: ImageSet, name: str, make: Any, smoothing: float) -> None:
    module = train(digits, optimizer=name, momentum=0.8, weight_decay=0.01, label_smoothing=smoothing)
    network = new_network()
    expected = plain_loop(digits, make(network.parameters()), network, smoothing)
    found = list(zip(*vars(module.records).values(), strict=True))
    assert [row[0] for row in found] == [4, 8]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-4, atol=1e-4)
    for ours, reference in zip(module.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-3, atol=1e-4)


class Rates(Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: torch.optim.Optimizer) -> None:
        self.seen.append(optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("cosine", [False, True])
def test_learning_rates_follow_the_formula(digits: ImageSet, optimizer: str, cosine: bool) -> None:
    module = ClassifierModule(
        new_network(), optimizer=optimizer, learning_rate=0.02, total_steps=STEPS, cosine=cosine, momentum=0.9
    )
    rates = Rates()
    new_trainer(callbacks=[rates]).fit(module, datamodule=new_data(digits))
    decay = [(1 + math.cos(math.pi * step / STEPS)) / 2 if cosine else 1.0 for step in range(STEPS)]
    assert rates.seen == pytest.approx([0.02 * factor for factor in decay])


def test_a_diverged_network_goes_on_and_its_records_are_honest(digits: ImageSet) -> None:
    records = train(digits, learning_rate=math.inf).records
    assert records.step == [4, 8]
    assert math.isnan(records.train_loss[-1])
    assert math.isnan(records.val_loss[-1])
    assert all(0 <= accuracy <= 100 for accuracy in (*records.train_accuracy, *records.val_accuracy))
    zeros = (digits.validation.labels == 0).float().mean().item()
    assert records.val_accuracy[-1] == pytest.approx(100 * zeros, rel=1e-6), "argmax of NaN is the first class"


def test_validation_is_there_for_other_callbacks(digits: ImageSet) -> None:
    module = train(digits)
    assert module.trainer.callback_metrics["val/loss"].item() == pytest.approx(module.records.val_loss[-1])
    assert module.trainer.callback_metrics["val/accuracy"].item() == pytest.approx(module.records.val_accuracy[-1])


def test_test_accuracy_is_of_all_test_images(digits: ImageSet) -> None:
    module = train(digits)
    for _ in range(2):
        module.trainer.test(module, datamodule=new_data(digits), verbose=False)
        pixels, labels = next(iter(EvaluationBatches(digits, digits.test, 500)))
        with torch.no_grad():
            right = (module.network.eval()(pixels).argmax(1) == labels).float().mean().item()
        assert module.test_accuracy == pytest.approx(100 * right, rel=1e-6)


def test_hyperparameters_are_primitives() -> None:
    module = ClassifierModule(new_network(), optimizer="adam", learning_rate=0.1, total_steps=5)
    assert set(module.hparams) == {
        "optimizer", "learning_rate", "total_steps", "weight_decay", "momentum", "cosine", "label_smoothing",
    }  # fmt: skip
    assert all(isinstance(value, (str, int, float, bool)) for value in module.hparams.values())


def test_a_tally_weighs_batches_by_their_size() -> None:
    tally = Tally()
    tally.add(torch.tensor(1.0), torch.eye(3), torch.tensor([0, 1, 2]))
    tally.add(torch.tensor(5.0), torch.eye(3)[:1], torch.tensor([2]))
    assert tally.loss == 2
    assert tally.accuracy == 75


def test_a_record_book_without_records_is_empty() -> None:
    book = RecordBook()
    assert book.last_step == 0
    assert list(vars(book.read()).values()) == [[], [], [], [], []]
