"""Networks trained on the way: the choice is that of the replay of their recorded trainings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from foretrain.runtime.seeding import derive_seed
from foretrain.search.agent import SelectionRule, select
from foretrain.search.live import LiveContenders, _as_batch
from foretrain.search.replay import RecordedContenders
from foretrain.snapshots.module import SnapshotPredictor
from foretrain.snapshots.recorder import SnapshotRecorder
from foretrain.spaces.nasbench101 import NASBench101
from foretrain.training.candidate import CandidateTraining, TrainingPlan
from foretrain.training.images import open_images
from foretrain.training.population import Recipe, sample_population

UNIT_STEPS, UNITS, NETWORKS = 2, 4, 6
RULE = SelectionRule(first_units=1, interval_units=2, cut=0.4, cut_decay=1.0, final_size=2)


@dataclass
class Population:
    trainings: list[CandidateTraining]
    recorders: list[SnapshotRecorder]


def new_population(max_snapshots: int = UNITS, folder: Path | None = None) -> Population:
    space = NASBench101(stem_channels=4, stacks=1, cells_per_stack=1)
    images = open_images("digits", train_images=100)
    plan = TrainingPlan(epochs=3, batch_size=25, eval_every_n_steps=UNIT_STEPS, accelerator="cpu")
    candidates = sample_population(space, NETWORKS, Recipe(), seed=0)
    recorders = [
        SnapshotRecorder(UNIT_STEPS, max_snapshots, seed=derive_seed(item.seed, "rows")) for item in candidates
    ]
    trainings = [
        CandidateTraining(
            item, space, images, plan, callbacks={"snapshots": recorder}, folder=folder and folder / item.key
        )
        for item, recorder in zip(candidates, recorders, strict=True)
    ]
    return Population(trainings, recorders)


@pytest.fixture(scope="module")
def predictor() -> SnapshotPredictor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SnapshotPredictor(widths=[8, 8, 8], hidden=8)


@pytest.fixture(scope="module")
def recorded_scores(predictor: SnapshotPredictor) -> np.ndarray:
    """What the predictor foresees of the same networks after each unit of an undisturbed training."""
    population = new_population()
    for training in population.trainings:
        training.finish()
    snapshots = [recorder.snapshots() for recorder in population.recorders]
    return predictor.eval()(_as_batch(snapshots, np.arange(NETWORKS))).double().numpy()


def test_live_selection_is_that_of_the_replay(predictor: SnapshotPredictor, recorded_scores: np.ndarray) -> None:
    assert recorded_scores.shape == (NETWORKS, UNITS)
    assert np.diff(np.sort(recorded_scores, axis=0), axis=0).min() > 1e-4, "no near ties that rounding could decide"
    live = LiveContenders(*vars(new_population()).values(), predictor)
    found, expected = select(live, RULE), select(RecordedContenders(recorded_scores), RULE)
    assert found.kept.tolist() == expected.kept.tolist()
    assert found.resources == expected.resources
    for ours, theirs in zip(found.history, expected.history, strict=True):
        assert ours.dropped.tolist() == theirs.dropped.tolist()


def test_scores_are_those_of_the_record(predictor: SnapshotPredictor, recorded_scores: np.ndarray) -> None:
    live = LiveContenders(*vars(new_population()).values(), predictor)
    alive = np.array([1, 4])
    for unit in (0, 1):
        live.advance(alive, 1)
        np.testing.assert_allclose(live.scores(alive), recorded_scores[alive, unit], rtol=1e-6)


def test_only_those_alive_are_trained(predictor: SnapshotPredictor) -> None:
    population = new_population()
    live = LiveContenders(population.trainings, population.recorders, predictor)
    live.advance(np.array([0, 5]), 1)
    live.advance(np.array([5]), 1)
    assert [training.steps_done for training in population.trainings] == [2, 0, 0, 0, 0, 4]
    assert [len(recorder.snapshots().steps) for recorder in population.recorders] == [1, 0, 0, 0, 0, 2]


def test_a_killed_selection_goes_on_with_the_same_choices(
    predictor: SnapshotPredictor, recorded_scores: np.ndarray, tmp_path: Path
) -> None:
    killed = new_population(folder=tmp_path)
    killed.trainings[0].advance(7)
    killed.trainings[3].advance(1)
    del killed
    population = new_population(folder=tmp_path)
    assert [training.steps_done for training in population.trainings] == [7, 0, 0, 1, 0, 0]
    found = select(LiveContenders(population.trainings, population.recorders, predictor), RULE)
    expected = select(RecordedContenders(recorded_scores), RULE)
    assert found.kept.tolist() == expected.kept.tolist()
    assert found.resources == expected.resources
    units = [sum(iteration.units for iteration in found.history if p in iteration.alive) for p in range(NETWORKS)]
    steps = [training.steps_done for training in population.trainings]
    assert steps == [max(7, UNIT_STEPS * units[0]), *(UNIT_STEPS * done for done in units[1:])]


def test_units_end_with_the_training_or_with_the_snapshots(predictor: SnapshotPredictor) -> None:
    assert LiveContenders(*vars(new_population(max_snapshots=99)).values(), predictor).max_units == 12 // UNIT_STEPS
    assert LiveContenders(*vars(new_population(max_snapshots=3)).values(), predictor).max_units == 3


def test_what_does_not_fit_together_is_refused(predictor: SnapshotPredictor) -> None:
    population = new_population()
    trainings, recorders = population.trainings, population.recorders
    with pytest.raises(ValueError, match="6 trainings have 5 recorders"):
        LiveContenders(trainings, recorders[1:], predictor)
    with pytest.raises(ValueError, match="different units"):
        LiveContenders(trainings, [SnapshotRecorder(9), *recorders[1:]], predictor)
