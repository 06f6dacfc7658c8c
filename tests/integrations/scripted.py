"""Trainings whose validation metric follows a script."""

from __future__ import annotations

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset

EPOCHS = 20


class Scripted(LightningModule):
    """Logs given values as ``val_acc`` (and ``val_loss``), one after each epoch; learns nothing."""

    def __init__(self, curve, name="val_acc") -> None:
        super().__init__()
        self.curve = list(curve)
        self.name = name
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, _):
        return (self.weight * batch[0]).sum()

    def validation_step(self, batch, _):
        self.log(self.name, float(self.curve[self.current_epoch]), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def loader():
    return DataLoader(TensorDataset(torch.ones(2, 1)), batch_size=1)


def fit(curve, callback, folder, *, name="val_acc", epochs=EPOCHS, ckpt_path=None, **options):
    """Trains and returns the trainer."""
    callbacks = [callback] if isinstance(callback, Callback) else callback
    defaults = {"logger": False, "enable_checkpointing": False, "accelerator": "cpu"}
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=callbacks,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **{**defaults, **options},
    )
    trainer.fit(Scripted(curve, name), loader(), loader(), ckpt_path=ckpt_path, weights_only=True)
    return trainer


def rising(final, count=None, epochs=EPOCHS, seed=0):
    """Curves that rise to final values as a power of the epoch, with some noise: shares of 1."""
    finals = np.atleast_1d(np.asarray(final, dtype=float))
    draw = np.random.default_rng(seed)
    epoch = np.arange(1, epochs + 1)
    curves = finals[:, None] * (1 - 0.6 * epoch**-0.8) + draw.normal(0, 0.004, (len(finals), epochs))
    curves[:, -1] = finals
    return np.clip(curves, 0, 1)
