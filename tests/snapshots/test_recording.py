"""Populations are recorded as they were trained, and their folder is named after what decides the content."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from foretrain.errors import ConfigError
from foretrain.runtime.parallel import ParallelMap
from foretrain.runtime.seeding import derive_seed
from foretrain.snapshots.forecasting import forecast_accuracy
from foretrain.snapshots.module import SnapshotPredictor
from foretrain.snapshots.recorder import SnapshotRecorder
from foretrain.snapshots.recording import SnapshotPopulation
from foretrain.snapshots.storage import compress
from foretrain.spaces.nasbench101 import NASBench101
from foretrain.training.candidate import CandidateTraining, TrainingPlan
from foretrain.training.cost import count_costs
from foretrain.training.population import Recipe

SPACE = NASBench101(stem_channels=5, stacks=1, cells_per_stack=1, batch_norm_momentum=0.1)
PLAN = TrainingPlan(epochs=2, batch_size=20, eval_every_n_steps=3, shift=1)


def population(cache, **changes) -> SnapshotPopulation:
    options = {"image": "digits", "population": 3, "every_n_steps": 3, "max_snapshots": 2, "train_images": 80}
    return SnapshotPopulation(SPACE, Recipe(), PLAN, **options | {"cache": str(cache)} | changes)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    made = population(tmp_path_factory.mktemp("cache"))
    return made, made.record(ParallelMap(workers=1))


def test_a_recording_is_what_a_recorder_sees(recorded):
    made, folder = recorded
    candidate = made.candidates[1]
    recorder = SnapshotRecorder(3, 2, seed=derive_seed(candidate.seed, "snapshots"))
    training = CandidateTraining(candidate, SPACE, made.images, PLAN, {"snapshots": recorder})
    training.finish()
    snapshots = recorder.snapshots()
    assert np.array_equal(folder.load(candidate.key), compress(snapshots.features).numpy())
    row = folder.index().set_index("key").loc[candidate.key]
    assert row["test_accuracy"] == training.final_test_accuracy
    assert row["step"].tolist() == [3, 6]
    assert row["val_accuracy"].tolist() == training.records.val_accuracy[:2]
    assert row["architecture"] == candidate.arch
    assert json.loads(row["hyperparameters"])["optimizer"] == candidate.optimizer
    network = SPACE.build(SPACE.parse([candidate.arch]), 1, 10)
    assert row["parameters"] == sum(parameter.numel() for parameter in network.parameters())


def test_flops_of_a_known_network(recorded):
    """Input -> output alone: the stem, one 1x1 projection and the classifier; two operations a multiply-accumulate."""
    made, _ = recorded
    costs = count_costs(SPACE, "0100:input,output", made.images)
    assert costs["flops"] == 2 * (64 * 9 * 5 + 64 * 5 * 5 + 5 * 10)
    assert costs["parameters"] == (9 * 5 + 10) + (25 + 10) + (50 + 10)


def test_the_folder_depends_on_content_not_on_size_or_place(tmp_path):
    name = population(tmp_path).folder.path.name
    assert population(tmp_path / "elsewhere", population=9).folder.path.name == name
    for change in ({"seed": 1}, {"train_images": 100}, {"max_snapshots": 1}):
        assert population(tmp_path, **change).folder.path.name != name


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"every_n_steps": 2}, "data.plan.eval_every_n_steps"), ({"max_snapshots": 3}, "data.max_snapshots")],
)
def test_plans_that_do_not_go_together_are_refused(tmp_path, changes, key):
    with pytest.raises(ConfigError) as caught:
        population(tmp_path, **changes)
    assert caught.value.key == key


def test_forecasts_do_not_depend_on_the_batch(recorded):
    _, folder = recorded
    torch.manual_seed(0)
    model = SnapshotPredictor([4, 4, 3], 5).eval()
    arrays = folder.load_all(folder.index()["key"].tolist())
    together, alone = forecast_accuracy(model, *arrays), forecast_accuracy(model, *arrays, batch_size=1)
    assert together.shape == (3, 2)
    assert np.allclose(together, alone, atol=1e-5)
    assert ((together > 0) & (together < 100)).all()
