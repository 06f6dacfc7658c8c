"""Training of a learned part under Lightning's Trainer, resumable at any moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from foretrain.runtime.seeding import RandomState, seed_everything

Module = TypeVar("Module", bound=LightningModule)
MONITOR = "val/loss"


def fit(
    module: Module,
    data: LightningDataModule,
    trainer: Callable[..., Trainer],
    folder: str | Path,
    *,
    max_epochs: int,
    patience: int,
    seed: int,
) -> Module:
    """Trains ``module`` until its validation loss stops falling and loads the best weights into it.

    The module must log ``val/loss``. The folder receives ``last.ckpt`` every epoch, ``best.ckpt`` at every
    improvement and the losses as ``log_*/metrics.csv``; a call with a folder that has a ``last.ckpt`` goes on from
    there and ends as if it had never been interrupted, random states included.

    Args:
        module: What is trained, in place.
        data: Its data.
        trainer: Makes a Trainer from keyword arguments (a partial with accelerator, devices, strategy, ...).
        folder: Where the checkpoints are kept.
        max_epochs: At most so many epochs; the trainer's own ``max_epochs``, where set, lowers it.
        patience: Epochs without improvement before training stops.
        seed: Seeds the global generators (initial weights are drawn by the caller before).

    Returns:
        The same module, in evaluation mode with the best weights.
    """
    folder = Path(folder)
    best = ModelCheckpoint(folder, filename="best", monitor=MONITOR, enable_version_counter=False)
    # Not save_last: that follows the improvements only. After best and stopping, so that it holds their states.
    last = ModelCheckpoint(folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)
    stopping = EarlyStopping(MONITOR, patience=patience, check_finite=True)
    limit = _limit(trainer, max_epochs)
    runner = trainer(
        max_epochs=limit,
        callbacks=[stopping, RandomState(), best, last],
        logger=CSVLogger(folder, name="", version=_next_version(folder)),
        default_root_dir=folder,
    )
    seed_everything(seed)
    interrupted = folder / "last.ckpt"
    start = str(interrupted) if interrupted.exists() else None
    runner.fit(module, datamodule=data, ckpt_path=start, weights_only=True)
    state = torch.load(folder / "best.ckpt", map_location=module.device, weights_only=True)["state_dict"]
    module.load_state_dict(state)
    return module.eval()


def _limit(trainer: Callable[..., Trainer], max_epochs: int) -> int:
    """The lower of the stage's own limit and ``trainer.max_epochs``."""
    chosen = getattr(trainer, "max_epochs", None)
    return max_epochs if chosen is None else min(max_epochs, int(chosen))


def _next_version(folder: Path) -> str:
    """A log folder of its own for every start, since a CSV logger deletes what it finds."""
    return f"log_{len(list(folder.glob('log_*')))}"
