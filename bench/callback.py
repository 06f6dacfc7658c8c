"""Prints what the Lightning callback takes after a validation, beside the limit of 5 ms and Lightning's EarlyStopping.

The CPU time of whole calls of ``on_validation_end`` in a real training without loggers, by how many finished runs teach
the forecasts.

    python bench/callback.py [--epochs 100]
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from statistics import median

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch.utils.data import DataLoader, TensorDataset

from foretrain.integrations.lightning import ForecastFinal
from foretrain.runtime.quiet import quiet_lightning

LIMIT = 5e-3
FINISHED = (0, 10, 20, 50)


class Scripted(LightningModule):
    """Logs values of a curve and learns nothing."""

    def __init__(self, curve: np.ndarray) -> None:
        super().__init__()
        self.curve = curve
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        """Returns 0."""
        return (self.weight * batch[0]).sum()

    def validation_step(self, _: list[torch.Tensor], __: int) -> None:
        """Logs the value of the epoch."""
        self.log("val_acc", float(self.curve[self.current_epoch]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns plain gradient descent."""
        return torch.optim.SGD(self.parameters(), 0.1)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=100)
    epochs = parser.parse_args().epochs
    torch.set_num_threads(1)
    curves = _curves(1 + max(FINISHED), epochs)
    early = call_seconds(EarlyStopping("val_acc", patience=epochs), curves[0])
    print(f"EarlyStopping                {1e3 * early:7.2f} ms a call")
    for count in FINISHED:
        history = curves[1 : 1 + count] if count else None
        taken = call_seconds(ForecastFinal("val_acc", history=history, target=0.9), curves[0])
        print(f"ForecastFinal, {count:3d} finished  {1e3 * taken:7.2f} ms a call, {taken / LIMIT:.2f} of the limit")


def call_seconds(callback: Callback, curve: np.ndarray) -> float:
    """Returns the median CPU time of a callback's ``on_validation_end``."""
    taken = []
    inner = callback.on_validation_end

    def timed(trainer: Trainer, module: LightningModule) -> None:
        start = time.process_time()
        inner(trainer, module)
        taken.append(time.process_time() - start)

    callback.on_validation_end = timed
    loader = DataLoader(TensorDataset(torch.ones(1, 1)))
    with quiet_lightning(), warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        options = {
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        }
        trainer = Trainer(
            max_epochs=len(curve), accelerator="cpu", callbacks=[callback], default_root_dir=folder, **options
        )
        trainer.fit(Scripted(curve), loader, loader)
    return median(taken)


def _curves(count: int, epochs: int) -> np.ndarray:
    draw = np.random.default_rng(0)
    finals = draw.uniform(0.6, 0.95, (count, 1))
    curves = finals * (1 - 0.6 * np.arange(1, epochs + 1) ** -0.8) + draw.normal(0, 0.005, (count, epochs))
    return np.clip(curves, 0, 1)


if __name__ == "__main__":
    main()
