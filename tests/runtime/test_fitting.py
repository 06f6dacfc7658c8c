"""Fitting: the best weights come back, and a killed fit ends as an undisturbed one."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from foretrain.errors import CheckpointError
from foretrain.runtime.fitting import fit
from foretrain.runtime.study import TrainerFactory

KILL_EPOCH = 4


class Data(LightningDataModule):
    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        x = torch.randn(64, 4, generator=draw)
        self.set = TensorDataset(x, x.sum(1, keepdim=True) + 0.1 * torch.randn(64, 1, generator=draw))

    def train_dataloader(self):
        return DataLoader(self.set, batch_size=16, num_workers=0)

    def val_dataloader(self):
        return DataLoader(self.set, batch_size=64, num_workers=0)


class Regression(LightningModule):
    """Dropout makes every step depend on the global random state; the learning rate makes late epochs worse."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 1))
        self.validation: list[float] = []

    def training_step(self, batch, _):
        return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    def validation_step(self, batch, _):
        loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
        self.validation.append(loss.item())
        self.log("val/loss", loss)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.05)


class KillMe(Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.current_epoch == KILL_EPOCH:
            os.kill(os.getpid(), signal.SIGKILL)


def trainer_factory(kill: bool = False, **options) -> TrainerFactory:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    make = functools.partial(Trainer, accelerator="cpu", **quiet)
    return TrainerFactory(make, {"kill": KillMe} if kill else {}, **options)


def run(folder: Path, kill: bool = False, patience: int = 20) -> Regression:
    return fit(
        Regression(), Data(), trainer_factory(kill), folder, max_epochs=8, patience=patience, seed=3, save_seconds=0
    )


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_killed_fit_ends_as_an_undisturbed_one(tmp_path):
    undisturbed = run(tmp_path / "whole")
    command = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_fitting as t; "
    command += f"t.run(t.Path({str(tmp_path / 'killed')!r}), kill=True)"
    killed = subprocess.run([sys.executable, "-W", "ignore", "-c", command], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    resumed = run(tmp_path / "killed")
    assert resumed.validation == undisturbed.validation[KILL_EPOCH:]
    for a, b in zip(undisturbed.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_resume_points_are_given_up_and_foreign_ones_refused(tmp_path):
    undisturbed = run(tmp_path / "whole")
    kept = torch.load(tmp_path / "whole" / "last.ckpt", weights_only=True)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "last.ckpt").write_bytes(b"PK")
    assert run(tmp_path / "damaged").validation == undisturbed.validation
    (tmp_path / "foreign").mkdir()
    torch.save(kept | {"state_dict": {"other": torch.zeros(1)}}, tmp_path / "foreign" / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"last.ckpt: does not go on from this state \(RuntimeError.*delete it"):
        run(tmp_path / "foreign")
    (tmp_path / "best").mkdir()
    name = next(name for name in kept["callbacks"] if name.startswith("BestWeights"))
    callbacks = kept["callbacks"] | {name: {"loss": -1.0, "weights": {"other": torch.zeros(1)}}}
    torch.save(kept | {"callbacks": callbacks}, tmp_path / "best" / "last.ckpt")
    with pytest.raises(CheckpointError, match="best weights are those of another network"):
        run(tmp_path / "best")


class Faulty(Regression):
    def on_train_end(self):
        raise RuntimeError("of its own")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_fails_later_is_not_laid_to_the_resume_point(tmp_path):
    fit(Regression(), Data(), trainer_factory(), tmp_path, max_epochs=2, patience=9, seed=0, save_seconds=0)
    with pytest.raises(RuntimeError, match=r"^of its own"):
        fit(Faulty(), Data(), trainer_factory(), tmp_path, max_epochs=4, patience=9, seed=0)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_best_weights_come_back_and_limits_hold(tmp_path):
    module = run(tmp_path, patience=2)
    loss = nn.functional.mse_loss(module.net(Data().set.tensors[0]), Data().set.tensors[1]).item()
    assert loss == pytest.approx(min(module.validation))
    assert not module.training
    limited = fit(Regression(), Data(), trainer_factory(max_epochs=2), tmp_path / "b", max_epochs=8, patience=9, seed=0)
    assert len(limited.validation) == 2
