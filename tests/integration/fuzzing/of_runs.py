"""What runs leave: checkpoints, predictors, snapshots, the folder itself, and points to resume from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import Trainer
from matplotlib.image import imsave
from target import Target
from test_fitting import Data, Regression
from test_sweep import Line, Points
from tiny import FACTORIES, SPACES, networks

from foretrain.integrations.report import write_page
from foretrain.predictors.persistence import load_predictor, save_predictor
from foretrain.runtime.checkpoints import load_checkpoint, save_checkpoint
from foretrain.runtime.files import read_json, write_json
from foretrain.runtime.fitting import fit
from foretrain.runtime.folder import RunFolder
from foretrain.runtime.study import TrainerFactory
from foretrain.search.baselines import LocalSearch
from foretrain.search.loop import SampleCount, run_search
from foretrain.search.objectives import TableObjective
from foretrain.search.training import Contestant, ModuleTraining
from foretrain.snapshots.module import SnapshotPredictor
from foretrain.snapshots.recorder import SnapshotRecorder, Snapshots
from foretrain.snapshots.storage import PER_SNAPSHOT, SnapshotFolder, read_snapshots
from foretrain.spaces.finite import FiniteSpace
from foretrain.spaces.nasbench101 import NASBench101
from foretrain.spaces.nasbench201 import NASBench201
from foretrain.training.candidate import CandidateTraining, TrainingPlan
from foretrain.training.images import open_images_once
from foretrain.training.population import Candidate


def make_checkpoint(folder: Path) -> Path:
    save_checkpoint(folder / "model.ckpt", SnapshotPredictor([4, 4, 4], 4))
    return folder / "model.ckpt"


def make_predictor(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        space = SPACES["nasbench201"]
        save_predictor(folder / "predictor.ckpt", FACTORIES[name](space).fit(*networks(space, 20)))
        return folder / "predictor.ckpt"

    return make


def make_snapshots(folder: Path) -> Path:
    recorded = SnapshotFolder(folder / "snapshots")
    recorded.create(1, 2, {}, {}, {})
    snapshots = Snapshots(
        steps=torch.arange(1, 3), features=torch.rand(2, 2, 2, 100, 12), layers=["a", "b"], rows=torch.tensor([3, 100])
    )
    plain = {name: [1.0, 2.0] for name in PER_SNAPSHOT}
    record = {
        "architecture": "x",
        "hyperparameters": {},
        "final_val_accuracy": 1.0,
        "test_accuracy": 2.0,
        "seconds": 1.0,
    }
    recorded.write_index({key: recorded.write(key, snapshots, record | plain) for key in ("one", "two")})
    return recorded.path


def make_npz(folder: Path) -> Path:
    np.savez(folder / "some.npz", one=np.ones((1, 2, 2, 100, 12), np.float16))
    return folder / "some.npz"


def make_json(folder: Path) -> Path:
    write_json(folder / "some.json", {"a": [1, 2, {"b": None}], "c": 1.5})
    return folder / "some.json"


def make_fit(folder: Path) -> Path:
    resume_fit(folder / "last.ckpt", epochs=2)
    return folder / "last.ckpt"


def resume_fit(path: Path, epochs: int = 3) -> None:
    make = partial(Trainer, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False)
    trainer = TrainerFactory(make, {})
    fit(Regression(), Data(), trainer, path.parent, max_epochs=epochs, patience=5, seed=0, save_seconds=0)


def candidate_training(folder: Path) -> CandidateTraining:
    space = NASBench101(stem_channels=4, stacks=1, cells_per_stack=1)
    arch = "011001000:input,conv3x3-bn-relu,output"
    candidate = Candidate("net", arch, "sgd", 0.05, momentum=0.9, weight_decay=1e-4, cosine=True, seed=1)
    plan = TrainingPlan(epochs=2, batch_size=25, eval_every_n_steps=2, accelerator="cpu")
    recorder = {"snapshots": SnapshotRecorder(2, 4, seed=1)}
    return CandidateTraining(candidate, space, open_images_once("digits", train_images=100), plan, recorder, folder)


def make_candidate(folder: Path) -> Path:
    candidate_training(folder / "net").advance(3)
    return folder / "net"


def module_training(folder: Path) -> ModuleTraining:
    contestant = Contestant(Line(0.1), Points())
    return ModuleTraining("net", contestant, folder, total_steps=12, every_n_steps=3, accelerator="cpu")


def make_module(folder: Path) -> Path:
    module_training(folder / "sweep").advance(3)
    return folder / "sweep"


def resume_module(path: Path) -> None:
    module_training(path).load_weights()
    module_training(path).advance(3)


def search_on(path: Path, budget: int) -> None:
    base = NASBench201()
    space = FiniteSpace(base, base.sample(40, torch.Generator().manual_seed(0)))
    objective = TableObjective(space, np.linspace(10, 90, len(space)))
    count = SampleCount(objective.accuracy, np.array([50.0]))
    run_search(LocalSearch(space), objective, budget, seed=1, path=path, count=count)


def make_search(folder: Path) -> Path:
    search_on(folder / "state.pt", budget=9)
    return folder / "state.pt"


def make_run(folder: Path) -> Path:
    run = RunFolder(folder / "run")
    run.write_config(CONFIG)
    run.write_metrics({"a/tau": 0.5, "b": 2.0})
    run.write_timings({"all": 1.0})
    run.write_provenance(1, {"data": "0" * 64})
    run.write_predictions(pd.DataFrame({"arch_id": ["a", "b"], "predicted": [1.0, 2.0], "true": [2.0, 1.0]}))
    run.write_table("table", pd.DataFrame({"method": ["x", "y"], "tau": [0.1, 0.2]}))
    run.write_report("# A run\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n![one](figures/one.png)\n")
    run.figures.mkdir()
    imsave(run.figures / "one.png", np.zeros((4, 4, 3), np.uint8))
    return run.path


CONFIG = {"seed": 1, "study": {"_target_": "os.system", "command": "touch /tmp/harmed"}, "list": [1, 2.5, None]}


def read_run(path: Path) -> None:
    write_page([path], path.parent / "page.html")
    RunFolder(path).write_config(CONFIG)


TARGETS = {
    "checkpoint": Target(make_checkpoint, lambda path: load_checkpoint(path, SnapshotPredictor)),
    "predictor": Target(make_predictor("process"), load_predictor),
    "predictor-network": Target(make_predictor("mlp"), load_predictor),
    "snapshots": Target(make_snapshots, read_snapshots),
    "snapshots-npz": Target(make_npz, read_snapshots),
    "records": Target(make_json, read_json),
    "run-folder": Target(make_run, read_run),
    "fit": Target(make_fit, resume_fit),
    "candidate": Target(make_candidate, lambda path: candidate_training(path).advance(2)),
    "sweep": Target(make_module, resume_module),
    "search": Target(make_search, lambda path: search_on(path, budget=12)),
}
