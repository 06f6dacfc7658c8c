"""Checkpoints hold primitives and tensors, and are rebuilt by our own names only."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import LightningModule

from foretrain.errors import CheckpointError
from foretrain.runtime import checkpoints
from foretrain.runtime.checkpoints import load_checkpoint, save_checkpoint


class Line(LightningModule):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(width, 1)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A checkpoint of a class that pretends to live in foretrain."""
    monkeypatch.setattr(Line, "__module__", "foretrain.runtime.checkpoints")
    monkeypatch.setattr(checkpoints, "Line", Line, raising=False)
    save_checkpoint(tmp_path / "line.ckpt", Line(width=5))
    return tmp_path / "line.ckpt"


def change(path, **values):
    torch.save(torch.load(path, weights_only=True) | values, path)


def test_round_trip(path):
    first, again = load_checkpoint(path, Line), load_checkpoint(path, LightningModule)
    assert again.hparams == {"width": 5}
    assert not again.training
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schema_version": 99}, "schema version 99, this version of foretrain reads 1"),
        ({"class": "os.system"}, "outside foretrain"),
        ({"class": "foretrain.errors.Nothing"}, "has no foretrain.errors.Nothing"),
        ({"class": "foretrain.errors.DataError"}, "holds a DataError, not a Line"),
        ({"hyperparameters": {"width": 4}}, "does not fit"),
        ({"hyperparameters": {"depth": 4}}, "does not fit"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(path, values, message):
    change(path, **values)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path, Line)


def test_damaged_foreign_and_missing_files_are_refused(path, tmp_path):
    (tmp_path / "half.ckpt").write_bytes(path.read_bytes()[:200])
    torch.save({"model": 1}, tmp_path / "foreign.ckpt")
    torch.save(Line, tmp_path / "pickle.ckpt")
    for name, message in (("half", "not a readable"), ("foreign", "not a checkpoint of"), ("pickle", "not a readable")):
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(tmp_path / f"{name}.ckpt", Line)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.ckpt", Line)
