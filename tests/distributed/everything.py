"""Trains every learned module, foresees and measures, on as many devices as torchrun starts; writes what came out."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from learned import LEARNED, make
from lightning.pytorch import Trainer

from foretrain.metrics.classes import Kendall, Spearman
from foretrain.runtime.predictions import PredictionTable
from foretrain.runtime.quiet import quiet_lightning
from foretrain.runtime.ranks import part
from foretrain.runtime.study import TrainerFactory
from foretrain.runtime.tables import TableData
from foretrain.snapshots.batches import SnapshotBatch
from foretrain.snapshots.module import SnapshotPredictor
from foretrain.snapshots.training import AutoencoderSettings, PredictorSettings, fit_snapshot_predictor

NETWORKS, STEPS, LAYERS = 29, 4, 3
TRAIN, VAL, TEST = np.arange(16), np.arange(16, 20), np.arange(20, NETWORKS)
Results = dict[str, Any]


def trainer_factory(**options: Any) -> TrainerFactory:
    devices = int(os.environ.get("WORLD_SIZE", "1"))
    fixed = {"num_sanity_val_steps": 0, "enable_progress_bar": False, "enable_model_summary": False}
    strategy = "ddp" if devices > 1 else "auto"
    make = functools.partial(Trainer, accelerator="cpu", devices=devices, strategy=strategy, **fixed, **options)
    return TrainerFactory(make, {})


def train(name: str) -> dict[str, Any]:
    """The weights that a module ends with, and what it says with them."""
    learned = make(name)
    with quiet_lightning():
        runner = trainer_factory()(
            callbacks=[], max_epochs=learned.epochs, logger=False, enable_checkpointing=False, limit_val_batches=0
        )
        runner.fit(learned.module, learned.data)
    learned.module.eval()
    with torch.no_grad():
        says = learned.says()
    return {"weights": {key: value.clone() for key, value in learned.module.state_dict().items()}, "says": says}


def population() -> dict[str, Any]:
    """Snapshots that tell how good a network will be."""
    draw = np.random.default_rng(0)
    quality = draw.uniform(-1, 1, NETWORKS)
    maps = draw.normal(size=(NETWORKS, STEPS, 2, LAYERS, 100, 12))
    maps[..., [1, 2, 10, 11]] += 4 * quality[:, None, None, None, None, None]
    rows, lengths = np.full((NETWORKS, LAYERS), 100), np.full(NETWORKS, STEPS)
    return {"maps": maps.astype(np.float16), "rows": rows, "lengths": lengths, "targets": 60 + 30 * quality}


def fit_snapshots(folder: Path) -> SnapshotPredictor:
    return fit_snapshot_predictor(
        **population(),
        train_index=TRAIN,
        val_index=VAL,
        autoencoder=AutoencoderSettings((8, 8, 4), max_epochs=6, batch_size=16, learning_rate=1e-2),
        predictor=PredictorSettings(hidden=8, max_epochs=30, batch_size=8, learning_rate=1e-2),
        trainer=trainer_factory(),
        folder=folder,
        seed=1,
    )


def foresee(model: SnapshotPredictor, folder: Path) -> None:
    columns = [torch.from_numpy(column[TEST]) for column in population().values()]
    test = SnapshotBatch(*columns[:3], columns[3].float(), torch.from_numpy(TEST))
    data = TableData(test, test, batch_size=2, seed=0, test=test)
    table = PredictionTable(folder / "forecasts.parquet", TEST.tolist())
    with quiet_lightning():
        runner = trainer_factory()(callbacks=[table], logger=False, enable_checkpointing=False)
        runner.predict(model, data, return_predictions=False)


def rank_metrics() -> dict[str, float]:
    """Two devices of which each saw networks of the other too, as padding makes them."""
    draw = np.random.default_rng(0)
    truth, score = torch.tensor(draw.normal(size=(2, 11)))
    rank, ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    seen = torch.arange(11)[rank::ranks]
    seen = torch.cat((seen, torch.tensor([3, 3, 4])))
    values = {}
    for metric in (Spearman(), Kendall()):
        metric.update(score[seen], truth[seen], seen)
        values[type(metric).__name__] = float(metric.compute())
    return values


def run(folder: Path) -> Results:
    model = fit_snapshots(folder / "fit")
    columns = [torch.from_numpy(column[TEST]) for column in population().values()]
    foresee(model, folder)
    results = {
        "snapshots": model(SnapshotBatch(*columns[:3], columns[3].float(), torch.from_numpy(TEST))),
        "learned": {name: train(name) for name in LEARNED},
        "rank_metrics": rank_metrics(),
    }
    if int(os.environ.get("RANK", "0")) == 0:
        torch.save(results, folder / "results.pt")
    return results


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]))
    part()
