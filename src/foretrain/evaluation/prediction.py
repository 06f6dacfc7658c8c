"""What ``predict.py`` does with a trained predictor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from foretrain.errors import ConfigError
from foretrain.runtime.checkpoints import load_checkpoint
from foretrain.runtime.files import atomic_path
from foretrain.runtime.study import Prediction
from foretrain.snapshots.forecasting import forecast_accuracy
from foretrain.snapshots.module import SnapshotPredictor
from foretrain.snapshots.storage import read_snapshots

WRITERS: dict[str, Callable[..., object]] = {".csv": pd.DataFrame.to_csv, ".parquet": pd.DataFrame.to_parquet}


class PredictSnapshots(Prediction):
    """Forecasts final accuracies from recorded snapshots with a snapshot predictor.

    Args:
        checkpoint: A ``.ckpt`` file, or a run folder; of a run folder the predictor that was refitted on the whole
            population is taken, unless ``fold`` names another.
        input: The folder of a recorded population, or the ``.npy`` file of one network.
        output: The table to write, ``.csv`` or ``.parquet``: one row a network and number of snapshots seen, with
            columns ``arch_id``, ``snapshots`` and ``mean`` (final accuracy in percent).
        fold: Number of a run folder's fold.

    Raises:
        ConfigError: The output has another ending, or ``fold`` is given beside a file.
    """

    def __init__(self, checkpoint: str, input: str, output: str, fold: int | None = None) -> None:  # noqa: A002
        self.checkpoint = _checkpoint_path(Path(checkpoint), fold)
        self.input = Path(input)
        self.output = Path(output)
        if self.output.suffix not in WRITERS:
            raise ConfigError("output", "unknown file ending", output, WRITERS)

    def run(self) -> None:
        """Reads, forecasts and writes; see :class:`foretrain.runtime.study.Prediction`."""
        model = load_checkpoint(self.checkpoint, SnapshotPredictor)
        table = forecast_table(model, self.input)
        with atomic_path(self.output) as temporary:
            WRITERS[self.output.suffix](table, temporary, index=False)


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


def _checkpoint_path(path: Path, fold: int | None) -> Path:
    if path.is_dir():
        return path / "checkpoints" / ("final.ckpt" if fold is None else f"fold{fold}.ckpt")
    if fold is not None:
        raise ConfigError("fold", "goes with a run folder, and checkpoint is none", fold, "null")
    return path
