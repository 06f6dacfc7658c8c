"""The fitted predictor: it ranks unseen networks, learns from training networks only, resumes and reloads exactly."""

from __future__ import annotations

import functools
import shutil
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from scipy.stats import spearmanr

from foretrain.errors import ConfigError, DataError
from foretrain.runtime.checkpoints import load_checkpoint, save_checkpoint
from foretrain.runtime.config import build, check
from foretrain.runtime.seeding import make_generator
from foretrain.runtime.study import TrainerFactory
from foretrain.runtime.tables import IndexLoader
from foretrain.snapshots import module as room
from foretrain.snapshots.batches import CodeBatch, SnapshotBatch
from foretrain.snapshots.data import CodeData, FeatureMapData, choose_snapshots
from foretrain.snapshots.module import SnapshotPredictor
from foretrain.snapshots.training import AutoencoderSettings, PredictorSettings, fit_snapshot_predictor

TRAIN, VAL, TEST = np.arange(24), np.arange(24, 32), np.arange(32, 52)
STEPS, LAYERS = 6, 4
TRAINER = TrainerFactory(
    functools.partial(
        Trainer,
        accelerator="cpu",
        devices=1,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    ),
    callbacks={},
)
AUTOENCODER = AutoencoderSettings((16, 16, 8), max_epochs=8, patience=4, batch_size=32, learning_rate=3e-3)
PREDICTOR = PredictorSettings(hidden=16, dropout=0.1, max_epochs=25, patience=10, batch_size=8, learning_rate=1e-2)


def make_population(seed: int = 0) -> dict[str, Any]:
    """Networks whose variances and norms grow faster the better they will be; depths and lengths differ."""
    n, draw = len(TRAIN) + len(VAL) + len(TEST), np.random.default_rng(seed)
    quality = draw.uniform(-1, 1, n)
    rows = draw.integers(5, 101, (n, LAYERS))
    rows[np.arange(LAYERS) >= draw.integers(2, LAYERS + 1, n)[:, None]] = 0
    lengths = draw.integers(STEPS // 2, STEPS + 1, n)
    maps = draw.normal(size=(n, STEPS, 2, LAYERS, 100, 12)).astype(np.float32)
    progress = quality[:, None] * np.linspace(0.5, 2, STEPS)
    maps[..., [1, 2, 10, 11]] += progress[:, :, None, None, None, None].astype(np.float32)
    maps += 5 * draw.normal(size=12).astype(np.float32)
    maps *= (np.arange(100) < rows[..., None])[:, None, None, ..., None]
    maps *= (np.arange(STEPS) < lengths[:, None])[:, :, None, None, None, None]
    targets = 60 + 30 * quality + draw.normal(size=n)
    return {"maps": maps.astype(np.float16), "rows": rows, "lengths": lengths, "targets": targets}


def fit(folder: Path, trainer: TrainerFactory = TRAINER, **changes: Any) -> SnapshotPredictor:
    arguments = make_population() | {"train_index": TRAIN, "val_index": VAL, "seed": 3}
    arguments |= {"autoencoder": AUTOENCODER, "predictor": PREDICTOR} | changes
    return fit_snapshot_predictor(**arguments, trainer=trainer, folder=folder)


def make_batch(population: dict[str, Any], index: np.ndarray) -> SnapshotBatch:
    maps, rows, lengths, targets = (torch.from_numpy(population[name][index]) for name in population)
    return SnapshotBatch(maps, rows, lengths, targets.float(), torch.from_numpy(index))


def assert_equal(first: torch.nn.Module, second: torch.nn.Module) -> None:
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.fixture(scope="module")
def fitted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted")
    fit(folder, progress=True)
    return folder


@pytest.fixture(scope="module")
def fitted(fitted_folder: Path) -> SnapshotPredictor:
    return fit(fitted_folder)


@pytest.fixture(scope="module")
def batch() -> SnapshotBatch:
    return make_batch(make_population(), TEST)


def test_it_ranks_networks_it_never_saw(fitted: SnapshotPredictor, batch: SnapshotBatch):
    accuracy = fitted(batch)
    for step in (0, 2):
        assert spearmanr(accuracy[:, step], batch.target).statistic > 0.7
    error = (accuracy[:, 2] - batch.target).abs().mean()
    assert error < 0.6 * (batch.target - batch.target.mean()).abs().mean()


def test_same_seed_same_predictor_whatever_the_other_networks(fitted: SnapshotPredictor, tmp_path: Path):
    changed = make_population()
    changed["maps"][TEST] += 1
    changed["targets"][TEST] = np.nan
    assert_equal(fit(tmp_path, **changed), fitted)


def test_finished_stages_are_loaded(fitted_folder: Path, fitted: SnapshotPredictor):
    def refuse(**_: object) -> Trainer:
        raise AssertionError("a finished stage was trained again")

    assert_equal(fit(fitted_folder, replace(TRAINER, make=refuse)), fitted)


class Interrupt(Callback):
    """Stops the process, as it were, in the middle of an epoch of the chosen stage."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        if trainer.current_epoch == 3 and Path(trainer.default_root_dir).name == self.stage:
            raise InterruptedError


@pytest.mark.parametrize("stage", ["gradients", "sequence"])
def test_an_interrupted_fit_ends_as_an_undisturbed_one(stage: str, fitted: SnapshotPredictor, tmp_path: Path):
    with pytest.raises(InterruptedError):
        fit(tmp_path, replace(TRAINER, callbacks={"interrupt": functools.partial(Interrupt, stage)}))
    assert (tmp_path / "weights" / "fitted.ckpt").exists()
    assert not (tmp_path / stage / "fitted.ckpt").exists()
    assert_equal(fit(tmp_path), fitted)


def test_every_stage_logs_its_losses(fitted_folder: Path, fitted: SnapshotPredictor):
    for stage in ("weights", "gradients", "sequence"):
        losses = pd.read_csv(next(fitted_folder.glob(f"{stage}/*/metrics.csv")))[["train/loss", "val/loss"]]
        assert losses.notna().any().all()
        assert losses["val/loss"].min() < losses["val/loss"].dropna().iloc[0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 4}, "other seed"),
        ({"predictor": replace(PREDICTOR, hidden=17)}, "other settings"),
        ({"val_index": VAL[1:]}, "other split, networks"),
        ({"targets": np.linspace(0, 100, 52)}, "other networks"),
    ],
)
def test_a_folder_holds_one_fit(change: dict[str, Any], named: str, fitted_folder: Path, fitted: SnapshotPredictor):
    with pytest.raises(DataError, match=named):
        fit(fitted_folder, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_index": TRAIN[:1]}, "at least 2"),
        ({"val_index": VAL[:0]}, "at least 2 and 1"),
        ({"val_index": TRAIN[5:7]}, "occurs twice"),
        ({"targets": np.where(np.arange(52) == 7, np.nan, 50.0)}, "network 7: has no finite target"),
        ({"lengths": np.where(np.arange(52) == 26, 0, STEPS)}, "network 26: has no layers or no snapshots"),
    ],
)
def test_networks_that_cannot_be_learned_from(change: dict[str, Any], message: str, tmp_path: Path):
    with pytest.raises(DataError, match=message):
        fit(tmp_path / "fit", **change)
    assert not (tmp_path / "fit").exists()


def test_the_checkpoint_predicts_the_same(fitted: SnapshotPredictor, batch: SnapshotBatch, tmp_path: Path):
    save_checkpoint(tmp_path / "model.ckpt", fitted)
    restored = load_checkpoint(tmp_path / "model.ckpt", SnapshotPredictor)
    assert torch.equal(restored(batch).nan_to_num(-1), fitted(batch).nan_to_num(-1))


def test_predictions_end_with_the_snapshots(fitted: SnapshotPredictor, batch: SnapshotBatch):
    missing = torch.arange(STEPS) >= batch.lengths[:, None]
    accuracy = fitted(batch)
    assert missing.any()
    assert torch.equal(accuracy.isnan(), missing)
    assert ((accuracy > 0) & (accuracy < 100))[~missing].all()


def test_early_predictions_do_not_know_later_snapshots(fitted: SnapshotPredictor, batch: SnapshotBatch):
    early = SnapshotBatch(batch.maps[:, :2], batch.rows, batch.lengths.clamp(max=2), batch.target, batch.arch_id)
    torch.testing.assert_close(fitted(early), fitted(batch)[:, :2])


def test_predictions_do_not_depend_on_batch_padding_or_chunks(
    fitted: SnapshotPredictor, batch: SnapshotBatch, monkeypatch: pytest.MonkeyPatch
):
    together = fitted(batch)
    monkeypatch.setattr(room, "_CHUNK", 3)
    torch.testing.assert_close(fitted(batch), together, equal_nan=True)
    for position in range(3):
        single = batch[torch.tensor([position])]
        depth, length = int((single.rows > 0).sum()), int(single.lengths)
        trimmed = SnapshotBatch(
            single.maps[:, :length, :, :depth], single.rows[:, :depth], single.lengths, single.target, single.arch_id
        )
        torch.testing.assert_close(fitted(trimmed)[0], together[position, :length])


def test_codes_stand_side_by_side_each_from_its_own_encoder(fitted: SnapshotPredictor, batch: SnapshotBatch):
    codes = fitted.encode(batch)
    for position, kind in enumerate(("weights", "gradients")):
        maps, rows = batch.maps[:, 0, position], batch.rows
        expected = fitted.encoders[kind](fitted.normalizers[kind](maps, rows), rows)
        torch.testing.assert_close(codes[:, 0, 8 * position : 8 * (position + 1)], expected)
    assert not codes[torch.arange(STEPS) >= batch.lengths[:, None]].any()


@pytest.mark.filterwarnings("ignore:.*treespec")  # within Lightning
def test_the_trainer_predicts(fitted: SnapshotPredictor, batch: SnapshotBatch, tmp_path: Path):
    runner = TRAINER(callbacks=[], logger=False, default_root_dir=tmp_path)
    (accuracy,) = runner.predict(fitted, IndexLoader(batch, lambda: [torch.arange(batch.batch_size)]))
    torch.testing.assert_close(accuracy, fitted(batch), equal_nan=True)


def test_snapshots_are_chosen_among_those_that_exist():
    lengths = torch.tensor([1, 4, 6])
    everything = choose_snapshots(lengths, None, torch.Generator())
    assert everything.sum(1).tolist() == [1, 4, 6]
    draws = [choose_snapshots(lengths, 3, make_generator(seed)) for seed in range(40)]
    assert all(draw.sum(1).tolist() == [1, 3, 3] for draw in draws)
    assert not any((draw & ~everything).any() for draw in draws)
    assert torch.equal(torch.stack(draws).any(0), everything)


def test_feature_map_tables_hold_what_they_should():
    population = make_population()
    data = FeatureMapData(
        make_batch(population, np.arange(52)),
        "gradients",
        torch.from_numpy(TRAIN),
        torch.from_numpy(VAL),
        32,
        2,
        seed=0,
    )
    assert data.train.batch_size == 2 * len(TRAIN)
    assert data.train.maps.dtype == torch.float16
    assert set(data.val.arch_id.tolist()) == set(VAL)
    for maps, rows, network in zip(*data.train.tensors(), strict=True):
        candidates = torch.from_numpy(population["maps"][network, : population["lengths"][network], 1])
        assert (candidates == maps).flatten(1).all(1).sum() == 1
        assert rows.tolist() == population["rows"][network].tolist()


def code_data(n: int, batch_size: int, rank: int = 0, ranks: int = 1) -> CodeData:
    table = CodeBatch(torch.zeros(n, 1, 1), torch.ones(n, dtype=torch.int64), torch.zeros(n), torch.arange(n))
    data = CodeData(table, torch.arange(n), torch.arange(3), batch_size, seed=5)
    data.trainer = SimpleNamespace(current_epoch=0, global_rank=rank, world_size=ranks)  # type: ignore[assignment]
    return data


def epoch_of(data: CodeData, epoch: int) -> list[list[int]]:
    data.trainer.current_epoch = epoch  # type: ignore[union-attr]
    return [batch.arch_id.tolist() for batch in data.train_dataloader()]


def test_each_epoch_is_its_own_order_of_all_samples():
    data = code_data(21, batch_size=4)
    epochs = [epoch_of(data, epoch) for epoch in (0, 1, 0)]
    assert all(sorted(chain.from_iterable(epoch)) == list(range(21)) for epoch in epochs)
    assert epochs[0] == epochs[2] != epochs[1]
    assert [len(batch) for batch in epochs[0]] == [4, 4, 4, 4, 5]
    assert len(data.train_dataloader()) == 5
    assert [batch.arch_id.tolist() for batch in data.val_dataloader()] == [[0, 1, 2]]


def test_devices_share_an_epoch():
    shares = [list(chain.from_iterable(epoch_of(code_data(21, 4, rank, 2), 1))) for rank in (0, 1)]
    assert [len(share) for share in shares] == [10, 10]
    assert len(set(shares[0]) | set(shares[1])) == 20


def test_settings_are_checked_as_config_nodes():
    path = "foretrain.snapshots.training."
    node = {"_target_": path + "AutoencoderSettings", "widths": [8, 8, 4], "snapshots_per_network": None}
    check(node, AutoencoderSettings)
    assert build(node) == AutoencoderSettings([8, 8, 4])
    check({"_target_": path + "PredictorSettings", "dropout": 0.5}, PredictorSettings)
    wrong = {"widths": [8, 8], "max_epochs": 0, "batch_size": 1, "snapshots_per_network": 0, "learning_rate": 0.0}
    for name, value in wrong.items():
        with pytest.raises(ConfigError, match=name):
            check({"_target_": path + "AutoencoderSettings", name: value})


def test_a_plan_that_is_none_belongs_to_no_fit(fitted_folder: Path, fitted: SnapshotPredictor, tmp_path: Path):
    shutil.copytree(fitted_folder, tmp_path / "fit")
    (tmp_path / "fit" / "plan.json").write_text("[]")
    with pytest.raises(DataError, match="holds a fit with other seed"):
        fit(tmp_path / "fit")
