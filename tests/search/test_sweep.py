"""The agent on one's own modules: choices, pauses, kills, loggers, other methods."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from foretrain.errors import CheckpointError, ConfigError, DataError
from foretrain.search import Contestant, SelectionAgent
from foretrain.search.agent import SelectionRule
from foretrain.search.optuna_pruners import OptunaHalving
from foretrain.search.training import ModuleTraining, _devices
from foretrain.snapshots.module import SnapshotPredictor

STEPS, UNIT = 12, 3
RULE = SelectionRule(first_units=1, interval_units=1, cut=0.5, cut_decay=1.0, final_size=1)


class Line(LightningModule):
    """Learns y = 3x with its own optimiser; the smaller the rate the worse, within so few steps."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rate = rate
        self.body = nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1))

    def training_step(self, batch, batch_idx):
        return (self.body(batch[0]) - batch[1]).square().mean()

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.training_step(batch, batch_idx))

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), self.rate, momentum=0.5)
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9)}


class Points(LightningDataModule):
    """Its own data: 12 points in batches of 4, in order: pauses fall between epochs."""

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__()
        x = torch.linspace(-1, 1, 12)[:, None] + offset
        self.table = TensorDataset(x, 3 * x)

    def train_dataloader(self):
        return DataLoader(self.table, batch_size=4)

    def val_dataloader(self):
        return DataLoader(self.table, batch_size=12)


def networks() -> dict[str, Contestant]:
    rates = {"slow": 1e-4, "good": 0.1, "slower": 1e-5, "fair": 0.02}
    return {name: Contestant(Line(rate), Points(), {"gradient_clip_val": 5.0}) for name, rate in rates.items()}


def agent(folder: Path, rule=RULE, **options) -> SelectionAgent:
    logger = partial(_csv, folder)
    return SelectionAgent(
        folder, total_steps=STEPS, every_n_steps=UNIT, rule=rule, logger=logger, accelerator="cpu", **options
    )


def _csv(folder: Path, name: str) -> CSVLogger:
    return CSVLogger(folder, name=name)


def steps_of(folder: Path) -> dict[str, int]:
    paths = sorted(folder.glob("*.ckpt"))
    return {path.stem: torch.load(path, weights_only=True)["global_step"] for path in paths}


def test_the_promising_are_trained_on_and_the_chosen_to_the_end(tmp_path: Path) -> None:
    population = networks()
    assert agent(tmp_path).select(population) == ["good"]
    assert steps_of(tmp_path) == {"slow": UNIT, "slower": UNIT, "fair": 2 * UNIT, "good": STEPS}
    kept = torch.load(tmp_path / "good.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(kept[name], value) for name, value in population["good"].module.state_dict().items())
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == set(population)


def test_pauses_change_nothing(tmp_path: Path) -> None:
    paused, whole = networks(), networks()
    agent(tmp_path / "paused").select(paused)
    agent(tmp_path / "whole", SelectionRule(4, 1, 0.5, 1.0, 1)).select(whole)
    first, second = (population["good"].module.state_dict() for population in (paused, whole))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_killed_sweep_goes_on(tmp_path: Path) -> None:
    expected = agent(tmp_path / "undisturbed", final_size=2).select(networks())
    agent(tmp_path / "first", SelectionRule(1, 1, 0.5, 1.0, 3)).select(networks())
    killed = tmp_path / "killed"
    shutil.copytree(tmp_path / "first", killed)
    (killed / "fair.ckpt").unlink()
    assert agent(killed, final_size=2).select(networks()) == expected == ["good", "fair"]


def test_several_networks_at_once_give_the_same(tmp_path: Path) -> None:
    population = networks()
    assert agent(tmp_path, devices=2).select(population) == ["good"]
    assert steps_of(tmp_path) == {"slow": UNIT, "slower": UNIT, "fair": 2 * UNIT, "good": STEPS}
    again = networks()
    agent(tmp_path / "again").select(again)
    assert torch.equal(population["good"].module.body[0].weight, again["good"].module.body[0].weight)


def test_a_predictor_judges_by_snapshots(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        predictor = SnapshotPredictor(widths=[8, 8, 8], hidden=8)
    chosen = agent(tmp_path, predictor=predictor, final_size=2).select(networks())
    assert len(chosen) == 2
    assert sorted(steps_of(tmp_path).values()) == [UNIT, UNIT, STEPS, STEPS]


def test_another_method_decides_on_real_training(tmp_path: Path) -> None:
    chosen = agent(tmp_path, OptunaHalving(2), final_size=1).select(networks())
    assert chosen == ["good"]
    assert min(steps_of(tmp_path).values()) < STEPS


def test_one_run_of_wandb_per_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    SelectionAgent(tmp_path, total_steps=STEPS, every_n_steps=UNIT, rule=RULE).select(networks())
    # offline-run-DATE-ID, and a number after it where a run was opened twice in one second
    runs = {path.name.split("-")[3] for path in (tmp_path / "wandb").glob("offline-run-*")}
    assert len(runs) == 4


def test_the_device_is_a_gpu_by_its_number_or_just_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [_devices("auto", number) for number in (0, 1, 2)] == [[0], [1], [0]]
    assert _devices("cpu", 1) == 1
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert _devices("auto", 1) == 1


def test_a_state_that_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    def training() -> ModuleTraining:
        return ModuleTraining("good", networks()["good"], tmp_path, total_steps=STEPS, every_n_steps=UNIT)

    with pytest.raises(CheckpointError, match=r"good.ckpt: does not go on from this state .FileNotFoundError"):
        training().load_weights()
    begun = training()
    begun.advance(UNIT)
    content = torch.load(begun.path, weights_only=True)
    for damaged in (b"PK", content | {"state_dict": {}}, content | {"callbacks": {}}):
        if isinstance(damaged, bytes):
            begun.path.write_bytes(damaged)
        else:
            torch.save(damaged, begun.path)
        with pytest.raises(CheckpointError, match=r"good.ckpt: does not go on from this state"):
            training().load_weights()


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no whole unit"):
        SelectionAgent(tmp_path, total_steps=5, every_n_steps=6, rule=RULE)
    with pytest.raises(ConfigError, match="final_size"):
        SelectionAgent(tmp_path, total_steps=5, every_n_steps=1, rule=OptunaHalving(2))
    with pytest.raises(DataError, match=r"val/f1.*was not logged at step 3, where there is val/loss"):
        agent(tmp_path / "metric", metric="val/f1").select(networks())
    with pytest.raises(CheckpointError, match="another training"):
        SelectionAgent(tmp_path / "metric", total_steps=15, every_n_steps=UNIT, rule=RULE).select(networks())
