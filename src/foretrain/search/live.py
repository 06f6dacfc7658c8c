"""Contenders that are really trained on the way, a few steps at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

import joblib
import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from foretrain.errors import DataError
from foretrain.search.agent import FloatArray, IndexArray
from foretrain.snapshots.batches import SnapshotBatch
from foretrain.snapshots.module import SnapshotPredictor
from foretrain.snapshots.recorder import SnapshotRecorder, Snapshots
from foretrain.snapshots.storage import compress


class Training(Protocol):
    """A training that can be paused: of a candidate of a space, or of any LightningModule."""

    total_steps: int

    @property
    def steps_done(self) -> int:
        """Optimiser steps done so far."""

    def advance(self, steps: int) -> None:
        """Trains so many more steps and pauses."""


class StoredTraining(Training, Protocol):
    """A training whose state is in a file, so that another process can go on with it."""

    @property
    def metrics(self) -> Mapping[int, Mapping[str, float]]:
        """What was logged, by optimiser step."""

    def reload(self) -> None:
        """Takes over what the file says."""


class TrainedContenders(ABC):
    """Networks in training, of which the ones that are still alive are trained on.

    The others stay paused where they were dropped. Trainings that were begun before are not trained again as far as
    they got: with a folder for each, a selection that was killed makes the same choices when it is run anew, and soon
    goes on where it was.

    Args:
        trainings: The trainings.
        unit_steps: Optimiser steps of one unit.
        workers: Number of processes that train; 1 trains in this one, more need trainings with files.
    """

    def __init__(self, trainings: Sequence[Training], unit_steps: int, workers: int = 1) -> None:
        self._trainings = list(trainings)
        self._unit_steps = unit_steps
        self._workers = workers
        self._units = np.zeros(len(self._trainings), dtype=np.intp)

    @property
    def max_units(self) -> int:
        """Units until the first network is trained to its end."""
        return min(training.total_steps // self._unit_steps for training in self._trainings)

    def __len__(self) -> int:
        return len(self._trainings)

    def advance(self, alive: IndexArray, units: int) -> None:
        """Trains the networks on."""
        self._units[alive] += units
        missing = {
            int(position): int(self._units[position]) * self._unit_steps - self._trainings[position].steps_done
            for position in alive
        }
        train_on(self._trainings, {position: steps for position, steps in missing.items() if steps > 0}, self._workers)

    @abstractmethod
    def scores(self, alive: IndexArray) -> FloatArray:
        """Returns how good the networks seem by now, ``float64[len(alive)]``; higher is better."""


class LiveContenders(TrainedContenders):
    """Networks in training that a predictor judges by their snapshots so far.

    A snapshot goes through the same rounding as on disk, so that the choice is the one that a replay of recorded
    trainings makes.

    Args:
        trainings: The trainings.
        recorders: The recorder of each training, which is among its callbacks. All have the same ``every_n_steps``: the
            steps of one unit.
        predictor: Foresees the final accuracy; it is put into evaluation mode.
        workers: Number of processes that train; 1 trains in this one, more need trainings with files.

    Raises:
        ValueError: Trainings and recorders do not fit together.
    """

    def __init__(
        self,
        trainings: Sequence[Training],
        recorders: Sequence[SnapshotRecorder],
        predictor: SnapshotPredictor,
        workers: int = 1,
    ) -> None:
        if len(trainings) != len(recorders):
            raise ValueError(f"{len(trainings)} trainings have {len(recorders)} recorders. Give one for each")
        intervals = {recorder.every_n_steps for recorder in recorders}
        if len(intervals) != 1:
            raise ValueError(f"recorders with every_n_steps {sorted(intervals)} count in different units")
        super().__init__(trainings, intervals.pop(), workers)
        self._recorders = list(recorders)
        self._predictor = predictor.eval()

    @property
    def max_units(self) -> int:
        """Units until the first network is trained to its end or has all its snapshots."""
        return min(super().max_units, *(recorder.max_snapshots for recorder in self._recorders))

    def scores(self, alive: IndexArray) -> FloatArray:
        """Returns the foreseen final accuracies in percent, ``float64[len(alive)]``."""
        snapshots = [_first(self._recorders[position].snapshots(), int(self._units[position])) for position in alive]
        foreseen: FloatArray = self._predictor(_as_batch(snapshots, alive))[:, -1].double().cpu().numpy()
        return foreseen


class MeasuredContenders(TrainedContenders):
    """Networks in training that are judged by a metric that they log: halving, and every baseline, on real training.

    Args:
        trainings: The trainings.
        unit_steps: Optimiser steps of one unit; at the end of each the metric is logged.
        metric: Name of the metric, e.g. ``val/loss``.
        mode: Whether a higher (``max``) or a lower (``min``) metric is better.
        workers: Number of processes that train; 1 trains in this one.
    """

    def __init__(
        self,
        trainings: Sequence[StoredTraining],
        unit_steps: int,
        metric: str,
        mode: Literal["min", "max"],
        workers: int = 1,
    ) -> None:
        super().__init__(trainings, unit_steps, workers)
        self._measured = list(trainings)
        self._metric = metric
        self._sign = 1.0 if mode == "max" else -1.0

    def scores(self, alive: IndexArray) -> FloatArray:
        """Returns the metric after the units so far, signed so that higher is better."""
        return np.array([self._score(self._measured[position], int(self._units[position])) for position in alive])

    def _score(self, training: StoredTraining, units: int) -> float:
        step = units * self._unit_steps
        logged = training.metrics.get(step, {})
        if self._metric not in logged:
            known = ", ".join(sorted(logged)) or "nothing"
            problem = f"was not logged at step {step}, where there is {known}"
            remedy = "Log it in validation_step, or choose another metric"
            raise DataError(f"metric '{self._metric}'", problem, remedy)
        return self._sign * logged[self._metric]


def train_on(trainings: Sequence[Any], steps: Mapping[int, int], workers: int = 1) -> None:
    """Trains some of the trainings by so many steps each.

    Args:
        trainings: All trainings.
        steps: Position to steps.
        workers: Number of processes; with one they train one after the other in this process.
    """
    if workers == 1:
        for position, count in steps.items():
            trainings[position].advance(count)
        return
    jobs = (joblib.delayed(_advance)(trainings[position], count) for position, count in steps.items())
    joblib.Parallel(n_jobs=workers, backend="loky")(jobs)
    for position in steps:
        trainings[position].reload()


def _advance(training: Training, steps: int) -> None:
    training.advance(steps)


def _first(snapshots: Snapshots, count: int) -> Snapshots:
    """The first ``count`` snapshots; a training that was begun before may have more."""
    return replace(snapshots, features=snapshots.features[:count], steps=snapshots.steps[:count])


def _as_batch(snapshots: Sequence[Snapshots], arch_id: IndexArray) -> SnapshotBatch:
    """Puts equally many snapshots of each network into one batch, layers padded to the deepest."""
    depth = max(len(item.rows) for item in snapshots)
    maps = [F.pad(compress(item.features), (0, 0, 0, 0, 0, depth - len(item.rows))) for item in snapshots]
    return SnapshotBatch(
        maps=torch.stack(maps),
        rows=pad_sequence([item.rows for item in snapshots], batch_first=True),
        lengths=torch.tensor([len(item.steps) for item in snapshots]),
        target=torch.full((len(snapshots),), torch.nan),
        arch_id=torch.as_tensor(arch_id.astype(np.int64)),
    )
