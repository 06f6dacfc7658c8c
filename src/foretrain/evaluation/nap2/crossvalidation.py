"""Every network foreseen by a predictor that never saw it, and one predictor fitted on all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from foretrain.evaluation.nap2.folds import Fold
from foretrain.evaluation.nap2.judging import FloatArray
from foretrain.runtime.checkpoints import save_checkpoint
from foretrain.runtime.parallel import Record
from foretrain.runtime.seeding import derive_seed
from foretrain.runtime.study import RunContext, TrainerFactory
from foretrain.snapshots.forecasting import forecast_accuracy
from foretrain.snapshots.storage import SnapshotFolder
from foretrain.snapshots.training import AutoencoderSettings, PredictorSettings, fit_snapshot_predictor


@dataclass(frozen=True)
class FoldJob:
    """All that a worker needs to fit one fold.

    Attributes:
        fold: The fold.
        snapshots: The folder of the recorded population.
        keys: The networks, in the order of the fold's positions.
        truth: ``[n]``, their final accuracies in percent.
        autoencoder: Settings of the autoencoders.
        predictor: Settings of the LSTM.
        trainer: Makes the Trainers.
        fits: Where the stages are kept.
        checkpoint: The file that the fitted predictor is written to.
        seed: The fold's seed.
    """

    fold: Fold
    snapshots: Path
    keys: list[str]
    truth: FloatArray
    autoencoder: AutoencoderSettings
    predictor: PredictorSettings
    trainer: TrainerFactory
    fits: Path
    checkpoint: Path
    seed: int


class OutOfFold(NamedTuple):
    """What comes out of a cross-validation.

    Attributes:
        forecast: ``[n, t]``, of each network after each snapshot, in percent, from the fold that tests on it.
        seconds: Mean processor seconds that the fit of a fold took; NaN without folds to test on.
    """

    forecast: FloatArray
    seconds: float


def cross_validate(
    context: RunContext,
    recorded: SnapshotFolder,
    index: pd.DataFrame,
    folds: Sequence[Fold],
    autoencoder: AutoencoderSettings,
    predictor: PredictorSettings,
) -> OutOfFold:
    """Fits a predictor for each fold and leaves them as ``checkpoints/<fold>.ckpt``.

    The folds with a test set run through the parallel map; a predictor without one (``final``) is fitted in this
    process, where the Trainer may use all devices.

    Args:
        context: The run.
        recorded: The recorded population.
        index: The index of its networks.
        folds: The folds.
        autoencoder: Settings of the autoencoders.
        predictor: Settings of the LSTM.
    """
    fits = context.folder.path / "fits"
    jobs = {
        fold.name: FoldJob(
            fold=fold,
            snapshots=recorded.path,
            keys=index["key"].to_list(),
            truth=np.array(index["test_accuracy"], dtype=np.float64),
            autoencoder=autoencoder,
            predictor=predictor,
            trainer=context.trainer.on_one_device() if len(fold.test) else context.trainer,
            fits=fits / fold.name,
            checkpoint=context.folder.checkpoints / f"{fold.name}.ckpt",
            seed=derive_seed(context.seed, fold.name),
        )
        for fold in folds
    }
    tested = {name: job for name, job in jobs.items() if len(job.fold.test)}
    records = context.parallel(fit_fold, tested, fits, "fitting folds")
    for name in jobs.keys() - tested.keys():
        fit_fold(jobs[name], progress=True)
    lengths = index["step"].map(len).to_numpy()
    forecast = np.full((len(index), lengths.max()), np.nan)
    for name, record in records.items():
        forecast[jobs[name].fold.test] = np.array(record["forecast"], dtype=np.float64)
    seconds = [record["seconds"] for record in records.values()]
    return OutOfFold(forecast, float(np.mean(seconds)) if seconds else np.nan)


def fit_fold(job: FoldJob, *, progress: bool = False) -> Record:
    """Fits one fold, saves its checkpoint and returns its forecasts ``[tested networks][snapshots]`` and seconds."""
    started = time.process_time()
    maps, rows, lengths = SnapshotFolder(job.snapshots).load_all(job.keys)
    model = fit_snapshot_predictor(
        maps,
        rows,
        lengths,
        job.truth,
        job.fold.train,
        job.fold.validation,
        autoencoder=job.autoencoder,
        predictor=job.predictor,
        trainer=job.trainer,
        folder=job.fits,
        seed=job.seed,
        progress=progress,
    )
    save_checkpoint(job.checkpoint, model)
    seconds = time.process_time() - started
    test = job.fold.test
    return {"forecast": forecast_accuracy(model, maps[test], rows[test], lengths[test]).tolist(), "seconds": seconds}
