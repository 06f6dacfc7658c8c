"""Contenders that are really trained on the way, a few steps at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from foretrain.search.agent import FloatArray, IndexArray
from foretrain.snapshots.batches import SnapshotBatch
from foretrain.snapshots.module import SnapshotPredictor
from foretrain.snapshots.recorder import SnapshotRecorder, Snapshots
from foretrain.snapshots.storage import compress
from foretrain.training.candidate import CandidateTraining


class LiveContenders:
    """Networks in training that a predictor judges by their snapshots so far.

    Only the networks that are still alive are trained, the others stay paused where they were dropped. A snapshot goes
    through the same rounding as on disk, so that the choice is the one that a replay of recorded trainings makes.

    Trainings that were begun before are not trained again as far as they got: with a folder for each, a selection that
    was killed makes the same choices when it is run anew, and soon goes on where it was.

    Args:
        trainings: The trainings.
        recorders: The recorder of each training, which is among its callbacks. All have the same ``every_n_steps``: the
            steps of one unit.
        predictor: Foresees the final accuracy; it is put into evaluation mode.

    Raises:
        ValueError: Trainings and recorders do not fit together.
    """

    def __init__(
        self,
        trainings: Sequence[CandidateTraining],
        recorders: Sequence[SnapshotRecorder],
        predictor: SnapshotPredictor,
    ) -> None:
        if len(trainings) != len(recorders):
            raise ValueError(f"{len(trainings)} trainings have {len(recorders)} recorders. Give one for each")
        intervals = {recorder.every_n_steps for recorder in recorders}
        if len(intervals) != 1:
            raise ValueError(f"recorders with every_n_steps {sorted(intervals)} count in different units")
        self._trainings = list(trainings)
        self._recorders = list(recorders)
        self._predictor = predictor.eval()
        self._unit_steps = intervals.pop()
        self._units = np.zeros(len(trainings), dtype=np.intp)

    @property
    def max_units(self) -> int:
        """Units until the first network is trained to its end or has all its snapshots."""
        whole_units = min(training.total_steps // self._unit_steps for training in self._trainings)
        return min(whole_units, *(recorder.max_snapshots for recorder in self._recorders))

    def __len__(self) -> int:
        return len(self._trainings)

    def advance(self, alive: IndexArray, units: int) -> None:
        """Trains the networks on, one after the other."""
        self._units[alive] += units
        for position in alive:
            training = self._trainings[position]
            training.advance(max(0, int(self._units[position]) * self._unit_steps - training.steps_done))

    def scores(self, alive: IndexArray) -> FloatArray:
        """Returns the foreseen final accuracies in percent, ``float64[len(alive)]``."""
        snapshots = [_first(self._recorders[position].snapshots(), int(self._units[position])) for position in alive]
        foreseen: FloatArray = self._predictor(_as_batch(snapshots, alive))[:, -1].double().cpu().numpy()
        return foreseen


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
