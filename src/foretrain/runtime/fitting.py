"""Training of a learned part under Lightning's Trainer, resumable after a kill at any moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from foretrain.runtime.files import atomic_path
from foretrain.runtime.quiet import quiet_lightning
from foretrain.runtime.random_state import RandomState
from foretrain.runtime.resuming import fit_from
from foretrain.runtime.seeding import seed_everything
from foretrain.runtime.tensors import load_tensors

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
    save_seconds: float = 30.0,
) -> Module:
    """Trains ``module`` until its validation loss stops falling and loads the best weights into it.

    The module must log ``val/loss``. The folder receives the losses as ``log_*/metrics.csv`` and, at the end of the
    first epoch after every ``save_seconds``, ``last.ckpt``; a call with a folder that has one goes on from there and
    ends as if it had never been interrupted, random states and best weights included.

    Args:
        module: What is trained, in place.
        data: Its data.
        trainer: Makes a Trainer from keyword arguments (a partial with accelerator, devices, strategy, ...).
        folder: Where the checkpoint and the logs are kept.
        max_epochs: At most so many epochs; the trainer's own ``max_epochs``, where set, lowers it.
        patience: Epochs without improvement before training stops.
        seed: Seeds the global generators (initial weights are drawn by the caller before).
        save_seconds: Training time that a kill may cost.

    Returns:
        The same module, in evaluation mode with the best weights.

    Raises:
        CheckpointError: ``last.ckpt`` can be read, but is that of another training.
    """
    folder = Path(folder)
    interrupted = folder / "last.ckpt"
    stopping = EarlyStopping(MONITOR, patience=patience, check_finite=True)
    best = BestWeights()
    # The resume point comes last, so that it holds the state of the others after this epoch.
    callbacks = [stopping, RandomState(), best, ResumePoint(interrupted, save_seconds)]
    logger = CSVLogger(folder, name="", version=_next_version(folder))
    with quiet_lightning():
        runner = trainer(
            max_epochs=_limit(trainer, max_epochs),
            callbacks=callbacks,
            logger=logger,
            log_every_n_steps=1,
            enable_checkpointing=False,
            default_root_dir=folder,
        )
        seed_everything(seed)
        fit_from(_resume_from(interrupted), runner, module, data)
        # The running statistics of batch normalisation are each device's own: all end with those of the first.
        weights = runner.strategy.broadcast(best.weights)
    module.load_state_dict(weights)
    return module.eval()


class BestWeights(Callback):
    """Keeps the weights of the epoch with the lowest ``val/loss``, in memory and in every checkpoint.

    Attributes:
        loss: The lowest loss so far.
        weights: The module's ``state_dict`` of that epoch; before the first validation with a finite loss, the
            initial one.
    """

    def __init__(self) -> None:
        self.loss = float("inf")
        self.weights: dict[str, Any] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts from the initial weights, unless a checkpoint brought better ones.

        Raises:
            ValueError: Those of the checkpoint do not fit the module.
        """
        if not self.weights:
            self._keep(pl_module)
        elif _shapes(self.weights) != _shapes(pl_module.state_dict()):
            raise ValueError("its best weights are those of another network")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps the weights if they are the best."""
        loss = float(trainer.callback_metrics[MONITOR])
        if not trainer.sanity_checking and loss < self.loss:
            self.loss = loss
            self._keep(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Returns loss and weights."""
        return {"loss": self.loss, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from what :meth:`state_dict` returned."""
        self.loss, self.weights = state_dict["loss"], state_dict["weights"]

    def _keep(self, module: LightningModule) -> None:
        self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in weights.items()}


class ResumePoint(Callback):
    """Writes a full checkpoint at the end of an epoch when the last one is old enough.

    Args:
        path: The file, replaced as a whole.
        seconds: Age of the last checkpoint, or of the training, from which on a new one is written.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._written = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes if it is time by the first process's clock; a fit that ends now needs no resume point."""
        if trainer.should_stop:
            return
        if trainer.strategy.broadcast(time.monotonic() - self._written >= self._seconds):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            written = self._path.with_suffix(".tmp")
            trainer.save_checkpoint(written)
            if trainer.is_global_zero:
                with atomic_path(self._path) as temporary:
                    written.replace(temporary)
            self._written = time.monotonic()


def _resume_from(path: Path) -> str | None:
    """The resume point, if there is one; a damaged one is given up: the fit from the start ends the same."""
    if not path.exists():
        return None
    try:
        load_tensors(path)
    except Exception:  # noqa: BLE001 - damaged bytes fail in many ways
        return None
    return str(path)


def _limit(trainer: Callable[..., Trainer], max_epochs: int) -> int:
    """The lower of the stage's own limit and ``trainer.max_epochs``."""
    chosen = getattr(trainer, "max_epochs", None)
    return max_epochs if chosen is None else min(max_epochs, int(chosen))


def _next_version(folder: Path) -> str:
    """A log folder of its own for every start, since a CSV logger deletes what it finds."""
    return f"log_{len(list(folder.glob('log_*')))}"
