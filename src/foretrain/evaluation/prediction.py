"""What ``predict.py`` does with a trained predictor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from foretrain.errors import ConfigError
from foretrain.evaluation.tables import checked_target, write_table
from foretrain.runtime.checkpoints import load_checkpoint
from foretrain.runtime.study import Prediction
from foretrain.snapshots.forecasting import forecast_accuracy
from foretrain.snapshots.module import SnapshotPredictor
from foretrain.snapshots.storage import read_snapshots


class PredictSnapshots(Prediction):
    """Forecasts final accuracies from recorded snapshots with a snapshot predictor.

    Args:
        checkpoint: A ``.ckpt`` file, or a run folder; of a run folder the predictor that was refitted on the whole
            population is taken, unless ``fold`` names another.
        input: The folder of a recorded population, the ``.npy`` file of one network, or an ``.npz`` file of many.
        output: The table to write, ``.csv``, ``.parquet`` or ``-`` for standard output: one row a network and number
            of snapshots seen, with columns ``arch_id``, ``snapshots`` and ``mean`` (final accuracy in percent).
        fold: Number of a run folder's fold.

    Raises:
        ConfigError: The output has another ending, or ``fold`` is given beside a file.
    """

    def __init__(self, checkpoint: str, input: str, output: str, fold: int | None = None) -> None:  # noqa: A002
        self.checkpoint = checkpoint_path(Path(checkpoint), fold)
        self.input = Path(input)
        self.output = checked_target(output)

    def run(self) -> None:
        """Reads, forecasts and writes; see :class:`foretrain.runtime.study.Prediction`."""
        model = load_checkpoint(self.checkpoint, SnapshotPredictor)
        table = forecast_table(model, self.input)
        write_table(table, self.output)


def forecast_table(model: SnapshotPredictor, source: Path) -> pd.DataFrame:
    """Returns the forecasts of all networks in a population's folder, or of one network's file.

    Args:
        model: The predictor.
        source: The folder or the file.

    Raises:
        DataError: The input is missing, damaged or has another shape.
    """
    keys, arrays = read_snapshots(source)
    forecast = forecast_accuracy(model, *arrays)
    network, position = np.nonzero(~np.isnan(forecast))
    return pd.DataFrame(
        {"arch_id": np.asarray(keys)[network], "snapshots": position + 1, "mean": forecast[network, position]}
    )


def checkpoint_path(path: Path, fold: int | None = None) -> Path:
    """Returns the checkpoint file: of a run folder the final one, or that of a fold.

    Raises:
        ConfigError: ``fold`` is given beside a file.
    """
    if path.is_dir():
        return path / "checkpoints" / ("final.ckpt" if fold is None else f"fold{fold}.ckpt")
    if fold is not None:
        raise ConfigError("fold", "goes with a run folder, and checkpoint is none", fold, "null")
    return path
