"""What the README tells people to type is what there is."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch import LightningModule
from torch.utils.data import DataLoader, TensorDataset

from foretrain.runtime.config import check, to_plain
from foretrain.runtime.run import Frame, split_root
from foretrain.runtime.study import Prediction, Study

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
OVERRIDES = {
    script: [shlex.split(c)[2:] for c in COMMANDS if c.startswith(f"python {script}")]
    for script in ("train.py", "predict.py")
}


@pytest.mark.parametrize("overrides", OVERRIDES["train.py"], ids=" ".join)
def test_train_commands_fit_the_schema(overrides):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", [*overrides, "run_dir=runs/test"])
    frame, study = split_root(to_plain(config))
    check(frame, Frame)
    check(study, Study)


@pytest.mark.parametrize("overrides", OVERRIDES["predict.py"], ids=" ".join)
def test_predict_commands_fit_the_schema(overrides):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        check(to_plain(compose("predict", overrides)), Prediction)


def test_make_targets_exist():
    targets = {shlex.split(command)[1] for command in COMMANDS if command.startswith("make ")}
    assert targets
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


class Tiny(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))

    def training_step(self, batch, _):
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_python_block_runs(tmp_path, monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    draw = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randn(320, 4, generator=draw), torch.randint(2, (320,), generator=draw))
    names = {"module": Tiny(), "loader": DataLoader(data, batch_size=16)}
    exec(block, names)
    assert names["recorder"].snapshots().features.shape == (2, 2, 2, 100, 12)
