"""What ``train.py`` runs: a study, and what the frame hands to it."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

from lightning.pytorch import Callback, Trainer

from foretrain.runtime.folder import RunFolder
from foretrain.runtime.parallel import ParallelMap


@dataclass(frozen=True)
class TrainerFactory:
    """Makes a Trainer from the config's ``trainer`` options and named callbacks.

    Attributes:
        make: A partial of ``lightning.pytorch.Trainer``.
        callbacks: Partials of further Lightning callbacks by name; each Trainer gets its own instances.
        max_epochs: The limit of ``trainer.max_epochs``, or None where every stage has its own.
    """

    make: Callable[..., Trainer]
    callbacks: dict[str, Callable[..., Callback]]
    max_epochs: int | None = None

    def __call__(self, *, callbacks: list[Callback], **options: object) -> Trainer:
        """Returns a new Trainer; ``options`` win over the config's."""
        extra = [make() for make in self.callbacks.values()]
        return self.make(**{**options, "callbacks": [*callbacks, *extra]})

    def on_one_device(self) -> TrainerFactory:
        """Returns a factory whose Trainers keep to one device, for jobs that run side by side in worker processes."""
        return replace(self, make=functools.partial(self.make, devices=1, num_nodes=1, strategy="auto"))


@dataclass(frozen=True)
class RunContext:
    """What a study works with.

    Attributes:
        folder: Where all results go.
        seed: The run's seed.
        parallel: The parallel map for independent jobs.
        trainer: Makes the Trainers of learned parts.
    """

    folder: RunFolder
    seed: int
    parallel: ParallelMap
    trainer: TrainerFactory


class Study(ABC):
    """One experiment from its data to its report; its constructor's arguments are the config's keys."""

    @abstractmethod
    def run(self, context: RunContext) -> dict[str, float]:
        """Does the work and leaves metrics, predictions, figures and the report in ``context.folder``.

        Returns:
            Seconds by stage, for ``timings.json``.
        """


class Prediction(ABC):
    """What ``predict.py`` runs; its constructor's arguments are the config's keys."""

    @abstractmethod
    def run(self) -> None:
        """Reads the input, forecasts and writes the output."""
