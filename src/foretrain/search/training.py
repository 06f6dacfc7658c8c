"""Training of any LightningModule a few steps at a time, for selections over one's own networks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning.pytorch.utilities.seed import isolate_rng

from foretrain.errors import CheckpointError
from foretrain.runtime.loggers import close_logger
from foretrain.runtime.quiet import quiet_lightning
from foretrain.runtime.random_state import RandomState
from foretrain.runtime.resuming import fit_from, going_on_from
from foretrain.runtime.seeding import seed_everything
from foretrain.runtime.tensors import load_tensors
from foretrain.snapshots.recorder import SnapshotRecorder
from foretrain.training.candidate import PAUSE_KEY, Pause, load_pause

LoggerFactory = Callable[[str], Logger]


@dataclass(frozen=True)
class Contestant:
    """A network of one's own sweep.

    Attributes:
        module: What is trained, with its own optimisers and schedules.
        data: Its data. Where its training loader keeps its position (``state_dict``), a pause changes nothing; a plain
            ``DataLoader`` goes on with other batches after a pause inside an epoch.
        options: Further options of its Trainer: ``gradient_clip_val``, ``precision``, ...
    """

    module: LightningModule
    data: LightningDataModule
    options: Mapping[str, Any] = field(default_factory=dict)


class ModuleTraining:
    """Trains a contestant under a silent Trainer, with pauses; between them its state is in one file.

    A new object of the same contestant and folder goes on from the file, after a kill too. What the module logs is kept
    at every validation (``metrics``), and a snapshot is taken at the end of every unit.

    Args:
        name: Name of the network; its file is ``<folder>/<name>.ckpt``.
        contestant: The network.
        folder: Where the states are kept.
        total_steps: Optimiser steps of the whole training.
        every_n_steps: Steps of a unit: after so many comes a snapshot and, where there are validation data, a
            validation.
        seed: Seed of the global random states at the start.
        logger: Makes the logger of this network; None logs nothing.
        accelerator: Lightning's name of the device: ``auto``, ``cpu``, ``gpu``, ...
        device: Number of the device where there are several.

    Raises:
        CheckpointError: The folder holds another training of this name, or a damaged one.
    """

    def __init__(
        self,
        name: str,
        contestant: Contestant,
        folder: str | Path,
        *,
        total_steps: int,
        every_n_steps: int,
        seed: int = 0,
        logger: LoggerFactory | None = None,
        accelerator: str = "auto",
        device: int = 0,
    ) -> None:
        self.name = name
        self.contestant = contestant
        self.path = Path(folder) / f"{name}.ckpt"
        self.total_steps = total_steps
        self.recorder = SnapshotRecorder(every_n_steps, total_steps // every_n_steps, seed)
        self._every_n_steps = every_n_steps
        self._seed = seed
        self._logger = logger
        self._accelerator = accelerator
        self._device = device
        self._history = _History()
        self._steps = 0
        self.reload()

    @property
    def steps_done(self) -> int:
        """Optimiser steps done so far."""
        return self._steps

    @property
    def metrics(self) -> dict[int, dict[str, float]]:
        """What the module had logged by each validation, by optimiser step."""
        return {int(step): dict(values) for step, values in self._history.rows.items()}

    def advance(self, steps: int) -> None:
        """Trains so many more steps, or to the end where fewer are left, and pauses."""
        target = min(self._steps + steps, self.total_steps)
        if target > self._steps:
            with isolate_rng(), quiet_lightning():
                self._train(target)
            self._steps = target

    def reload(self) -> None:
        """Takes over what the file says, where there is one: another process may have trained."""
        if not self.path.exists():
            return
        with going_on_from(self.path):
            content = load_pause(self.path)
            kept = content[PAUSE_KEY]
            if kept["identity"] != self._identity():
                raise CheckpointError(self.path, "the state of another training", "Choose another folder, or delete it")
            self._steps = int(kept["progress"]["step"])
            for callback in (self.recorder, self._history):
                callback.load_state_dict(content["callbacks"][callback.state_key])

    def load_weights(self) -> LightningModule:
        """Puts the weights of the last pause into the module and returns it.

        Raises:
            CheckpointError: The file is missing or damaged.
        """
        with going_on_from(self.path):
            self.contestant.module.load_state_dict(load_tensors(self.path)["state_dict"])
        return self.contestant.module

    def _train(self, target: int) -> None:
        evaluated = _has_validation(self.contestant) and target % self._every_n_steps == 0
        pause = Pause(self.path, target, functools.partial(self._describe, target), evaluated=evaluated)
        logger = self._logger(self.name) if self._logger else False
        trainer = Trainer(
            **{
                "accelerator": self._accelerator,
                "devices": _devices(self._accelerator, self._device),
                "plugins": [LightningEnvironment()],
                "num_sanity_val_steps": 0,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "enable_checkpointing": False,
                "log_every_n_steps": min(self._every_n_steps, 50),
                **self.contestant.options,
                "max_steps": target,
                "max_epochs": -1,
                "check_val_every_n_epoch": None,
                "val_check_interval": self._every_n_steps,
                "callbacks": [RandomState(), self.recorder, self._history, pause],
                "logger": logger,
                "default_root_dir": self.path.parent,
            }
        )
        seed_everything(self._seed)
        resumed = self.path if self._steps else None
        fit_from(resumed, trainer, self.contestant.module, self.contestant.data)
        if isinstance(logger, Logger):
            close_logger(logger)

    def _describe(self, step: int, module: LightningModule) -> dict[str, Any]:
        return {"identity": self._identity(), "progress": {"step": step}}

    def _identity(self) -> dict[str, Any]:
        module = self.contestant.module
        shapes = {name: list(value.shape) for name, value in module.named_parameters()}
        return {"every_n_steps": self._every_n_steps, "total_steps": self.total_steps, "parameters": shapes}


class _History(Callback):
    """Keeps what was logged, at every validation."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, float]] = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps the metrics of this step."""
        self.rows[str(trainer.global_step)] = {name: float(value) for name, value in trainer.callback_metrics.items()}

    def state_dict(self) -> dict[str, Any]:
        """Returns the rows."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the rows over."""
        self.rows = state_dict["rows"]


def _devices(accelerator: str, device: int) -> int | list[int]:
    """One GPU by its number, or one of whatever else there is: only GPUs are told apart."""
    gpus = torch.cuda.device_count() if accelerator in ("auto", "gpu", "cuda") else 0
    return [device % gpus] if gpus else 1


def _has_validation(contestant: Contestant) -> bool:
    has_data = is_overridden("val_dataloader", contestant.data, LightningDataModule)
    return has_data and is_overridden("validation_step", contestant.module, LightningModule)
