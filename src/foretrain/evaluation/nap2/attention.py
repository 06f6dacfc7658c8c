"""The attention predictor out of fold: every network foreseen by an ensemble that never saw it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from foretrain.evaluation.nap2.crossvalidation import OutOfFold
from foretrain.evaluation.nap2.folds import Fold
from foretrain.evaluation.nap2.judging import FloatArray
from foretrain.runtime.parallel import Record
from foretrain.runtime.seeding import derive_seed
from foretrain.runtime.study import RunContext, TrainerFactory
from foretrain.snapshots.attention_training import AttentionSettings, fit_attention_predictor
from foretrain.snapshots.batches import LayerBatch
from foretrain.snapshots.storage import Integers, Maps
from foretrain.snapshots.summaries import summarize_layers


@dataclass(frozen=True)
class _Job:
    table: LayerBatch
    fold: Fold
    settings: AttentionSettings
    trainer: TrainerFactory
    folder: Path
    seed: int


def layer_table(maps: Maps, rows: Integers, lengths: Integers, *, seen: FloatArray, truth: FloatArray) -> LayerBatch:
    """Returns networks layer by layer, with what is seen from outside.

    Args:
        maps: ``float16[n, t, 2, l, 100, 12]``, signed logarithms as stored.
        rows: ``int64[n, l]``, valid rows of each layer, 0 for padding.
        lengths: ``int64[n]``, snapshots of each network.
        seen: ``[n, t, c]``, the context.
        truth: ``[n]``, final accuracies in percent.
    """
    deepest = int(np.flatnonzero(rows.any(axis=0)).max()) + 1
    return LayerBatch(
        layers=torch.from_numpy(summarize_layers(maps[:, :, :, :deepest], rows[:, :deepest])),
        rows=torch.from_numpy(rows[:, :deepest]),
        context=torch.from_numpy(seen).float(),
        lengths=torch.from_numpy(lengths),
        target=torch.tensor(truth, dtype=torch.float32),
        arch_id=torch.arange(len(rows)),
    )


def forecast_by_attention(
    context: RunContext, table: LayerBatch, folds: Sequence[Fold], settings: AttentionSettings
) -> OutOfFold:
    """Fits an ensemble for each fold with a test set, through the parallel map.

    Args:
        context: The run.
        table: The networks.
        folds: The folds.
        settings: Settings of the ensembles.
    """
    fits = context.folder.path / "fits" / "attention"
    jobs = {
        fold.name: _Job(
            table,
            fold,
            settings,
            context.trainer.on_one_device(),
            fits / fold.name,
            derive_seed(context.seed, "attention", fold.name),
        )
        for fold in folds
        if len(fold.test)
    }
    records = context.parallel(_fit_fold, jobs, fits, "fitting attention")
    forecast = np.full(table.context.shape[:2], np.nan)
    for name, record in records.items():
        forecast[jobs[name].fold.test] = np.array(record["forecast"], dtype=np.float64)
    return OutOfFold(forecast, float(np.mean([record["seconds"] for record in records.values()])))


def _fit_fold(job: _Job) -> Record:
    started = time.process_time()
    module = fit_attention_predictor(
        job.table,
        torch.from_numpy(job.fold.train),
        torch.from_numpy(job.fold.validation),
        settings=job.settings,
        trainer=job.trainer,
        folder=job.folder,
        seed=job.seed,
    )
    seconds = time.process_time() - started
    forecast = module.cpu()(job.table[torch.from_numpy(job.fold.test)])
    return {"forecast": forecast.double().tolist(), "seconds": seconds}
