"""The selection agent for one's own sweep: any networks, their own data and optimisers, one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from foretrain.errors import ConfigError
from foretrain.runtime.checkpoints import load_checkpoint
from foretrain.runtime.loggers import wandb_per_network
from foretrain.runtime.seeding import derive_seed
from foretrain.search.agent import Contenders, Selection, SelectionRule, select
from foretrain.search.live import LiveContenders, MeasuredContenders, train_on
from foretrain.search.selectors import Selector
from foretrain.search.training import Contestant, LoggerFactory, ModuleTraining
from foretrain.snapshots.module import SnapshotPredictor


class SelectionAgent:
    """Trains many networks a little, the promising ones longer, and the chosen ones to their end.

    Each network is a LightningModule with its own data and optimisers. Its state lies in ``<folder>/<name>.ckpt`` at
    every pause, so a sweep that is killed goes on when it is started again. Each network is logged as one W&B run, all
    in one group.

    Args:
        folder: Where states and logs are kept.
        total_steps: Optimiser steps of a whole training.
        every_n_steps: Steps of a unit (100 in the NAP2 paper): snapshots and validations come at its end.
        rule: How fast networks are dropped (NAP2, Algorithm 1); or another method with its settings, e.g.
            :class:`~foretrain.search.smac3.Hyperband`.
        final_size: Networks to train to the end; None takes the rule's.
        predictor: Foresees final accuracies from snapshots: a checkpoint's path or the predictor. None judges by
            ``metric``, which is successive halving.
        metric: What the networks log in ``validation_step`` and are judged by where there is no predictor.
        mode: Whether a higher or a lower metric is better.
        logger: Makes the logger of each network by its name; None makes W&B runs grouped under the folder's name,
            offline unless you are logged in.
        accelerator: Lightning's name of the device.
        devices: Number of devices: so many networks train at once, in processes of their own, one to a device.
        seed: Seed of initial random states and of the rows that snapshots take.

    Raises:
        ConfigError: The steps make no unit, or ``final_size`` is missing.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        total_steps: int,
        every_n_steps: int,
        rule: SelectionRule | Selector,
        final_size: int | None = None,
        predictor: str | Path | SnapshotPredictor | None = None,
        metric: str = "val/loss",
        mode: Literal["min", "max"] = "min",
        logger: LoggerFactory | None = None,
        accelerator: str = "auto",
        devices: int = 1,
        seed: int = 0,
    ) -> None:
        if not 1 <= every_n_steps <= total_steps:
            allowed = f"1 to {total_steps} (total_steps)"
            raise ConfigError("every_n_steps", "the training has no whole unit", every_n_steps, allowed)
        if final_size is None and not isinstance(rule, SelectionRule):
            raise ConfigError("final_size", "this method has none of its own", allowed="a number of networks")
        self.folder = Path(folder)
        self.total_steps = total_steps
        self.every_n_steps = every_n_steps
        keeps = isinstance(rule, SelectionRule) and final_size is not None
        self.rule = replace(rule, final_size=final_size) if keeps else rule  # type: ignore[type-var]
        self.final_size = final_size
        self.metric = metric
        self.mode = mode
        self.accelerator = accelerator
        self.devices = devices
        self.seed = seed
        self._logger = logger or wandb_per_network(str(self.folder), self.folder.resolve().name)
        self._predictor = predictor if isinstance(predictor, SnapshotPredictor) else _load(predictor)

    def select(self, networks: Mapping[str, Contestant]) -> list[str]:
        """Selects, trains the chosen networks to their end and loads their weights into their modules.

        Args:
            networks: The networks by name; names are file names.

        Returns:
            Names of the chosen networks, best first by their most recent performance.
        """
        names = list(networks)
        trainings = [self._training(number, name, networks[name]) for number, name in enumerate(names)]
        chosen = self._choose(self._contenders(trainings)).kept
        missing = {int(position): self.total_steps - trainings[position].steps_done for position in chosen}
        train_on(trainings, {position: steps for position, steps in missing.items() if steps > 0}, self.devices)
        for position in chosen:
            trainings[position].load_weights()
        return [names[position] for position in chosen]

    def _choose(self, contenders: Contenders) -> Selection:
        if isinstance(self.rule, SelectionRule):
            return select(contenders, self.rule)
        blind = np.zeros((len(contenders), 0))
        found = self.rule.select(contenders, blind, self.seed)
        return Selection(found.kept[: self.final_size], found.resources)

    def _contenders(self, trainings: list[ModuleTraining]) -> Contenders:
        if self._predictor is None:
            return MeasuredContenders(trainings, self.every_n_steps, self.metric, self.mode, self.devices)
        recorders = [training.recorder for training in trainings]
        return LiveContenders(trainings, recorders, self._predictor, self.devices)

    def _training(self, number: int, name: str, contestant: Contestant) -> ModuleTraining:
        return ModuleTraining(
            name,
            contestant,
            self.folder,
            total_steps=self.total_steps,
            every_n_steps=self.every_n_steps,
            seed=derive_seed(self.seed, name) % 2**32,
            logger=self._logger,
            accelerator=self.accelerator,
            device=number % self.devices,
        )


def _load(predictor: str | Path | None) -> SnapshotPredictor | None:
    return None if predictor is None else load_checkpoint(Path(predictor), SnapshotPredictor)
