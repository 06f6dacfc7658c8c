"""Real training of a candidate: pauses change nothing, a folder outlives the process, the caller is left alone."""

from __future__ import annotations

import gc
import random
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightning.pytorch import Callback, LightningModule, Trainer

from foretrain.errors import CheckpointError, ConfigError
from foretrain.training.candidate import CandidateTraining, TrainingPlan
from foretrain.training.images import ImageSet, open_images
from foretrain.training.population import Candidate

SGD = Candidate(
    "net-0000", "4-1", "sgd", learning_rate=0.05, momentum=0.9, weight_decay=1e-4, cosine=True, seed=7
)  # fmt: skip
ADAM = replace(SGD, optimizer="adam", learning_rate=0.01, momentum=0.0, cosine=False)
PLAN = TrainingPlan(epochs=3, batch_size=20, eval_every_n_steps=4, shift=1, accelerator="cpu")
STEPS = 15
NOTED = ("steps", "rates", "gradients", "evaluated", "weights")


class Probe(Callback):
    """Notes what a training does, and keeps it over pauses."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.rates: list[float] = []
        self.gradients: list[torch.Tensor] = []
        self.evaluated: list[int] = []
        self.weights: dict[str, torch.Tensor] = {}

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        self.steps.append(trainer.global_step)
        self.rates.append(optimizer.param_groups[0]["lr"])
        self.gradients.append(torch.cat([parameter.grad.flatten() for parameter in pl_module.parameters()]))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.evaluated.append(trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.weights = {name: value.clone() for name, value in pl_module.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name).copy() for name in NOTED}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update({name: value.copy() for name, value in state_dict.items()})


def new_training(
    space: Any, images: ImageSet, candidate: Candidate = SGD, folder: Path | None = None, plan: TrainingPlan = PLAN
) -> tuple[CandidateTraining, Probe]:
    probe = Probe()
    return CandidateTraining(candidate, space, images, plan, {"probe": probe}, folder), probe


def assert_same(found: tuple[CandidateTraining, Probe], expected: tuple[CandidateTraining, Probe]) -> None:
    (training, probe), (other, reference) = found, expected
    assert training.records == other.records
    assert training.final_test_accuracy == other.final_test_accuracy
    assert training.final_validation_accuracy == other.final_validation_accuracy
    assert (probe.steps, probe.rates) == (reference.steps, reference.rates)
    assert probe.evaluated == reference.evaluated
    assert len(probe.gradients) == len(reference.gradients)
    assert all(map(torch.equal, probe.gradients, reference.gradients))
    assert probe.weights.keys() == reference.weights.keys()
    assert all(torch.equal(value, reference.weights[name]) for name, value in probe.weights.items())


@pytest.fixture
def undisturbed(tiny_space: Any, digits: ImageSet) -> dict[Candidate, tuple[CandidateTraining, Probe]]:
    found = {candidate: new_training(tiny_space, digits, candidate) for candidate in (SGD, ADAM)}
    for training, _ in found.values():
        training.finish()
    return found


def test_a_training_runs_through(undisturbed: Any) -> None:
    training, probe = undisturbed[SGD]
    assert training.finished
    assert training.steps_done == training.total_steps == STEPS
    assert probe.steps == list(range(STEPS))
    assert training.records.step == probe.evaluated == [4, 8, 12, 15], "the end is evaluated, too"
    assert training.final_validation_accuracy == training.records.val_accuracy[-1]
    assert 0 < training.final_test_accuracy < 100
    assert training.seconds > 0


def test_networks_learn(space: Any) -> None:
    plan = replace(PLAN, epochs=12, batch_size=50, eval_every_n_steps=100)
    candidate = replace(SGD, arch="16-2", learning_rate=0.1)
    training, _ = new_training(space, open_images("digits"), candidate, plan=plan)
    training.finish()
    assert training.records.step == [100, 180]
    assert training.records.train_loss[1] < 0.7 * training.records.train_loss[0]
    assert training.final_test_accuracy > 85


@pytest.mark.parametrize("candidate", [SGD, ADAM], ids=["sgd", "adam"])
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(pauses=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_pauses_change_nothing(
    undisturbed: Any, tiny_space: Any, digits: ImageSet, candidate: Candidate, pauses: list[int]
) -> None:
    training, probe = new_training(tiny_space, digits, candidate)
    for steps in pauses:
        training.advance(steps)
    training.finish()
    assert_same((training, probe), undisturbed[candidate])


def test_a_pause_at_every_step_changes_nothing(undisturbed: Any, space: Any, digits: ImageSet) -> None:
    training, probe = new_training(space, digits)
    for step in range(STEPS):
        assert training.steps_done == step
        assert (training.final_test_accuracy, training.final_validation_accuracy) == (None, None)
        assert training.records.step == [done for done in (4, 8, 12) if done <= step]
        training.advance(1)
    assert_same((training, probe), undisturbed[SGD])


@pytest.mark.parametrize("stops", [[3, 2, 6], [4, 1, 5], [14]])
def test_a_killed_process_goes_on_from_the_folder(
    undisturbed: Any, space: Any, digits: ImageSet, tmp_path: Path, stops: list[int]
) -> None:
    for steps in stops:
        training, probe = new_training(space, digits, folder=tmp_path)
        before = len(probe.steps)
        training.advance(steps)
        assert len(probe.steps) == before + steps == training.steps_done
    training, probe = new_training(space, digits, folder=tmp_path)
    assert probe.steps == list(range(sum(stops))), "callbacks have their states before training goes on"
    assert training.records.step == [step for step in (4, 8, 12) if step <= sum(stops)]
    training.finish()
    assert_same((training, probe), undisturbed[SGD])


def test_a_finished_training_is_not_trained_again(
    undisturbed: Any, digits: ImageSet, tmp_path: Path, space: Any
) -> None:
    new_training(space, digits, folder=tmp_path)[0].finish()
    built = space.built
    again = new_training(space, digits, folder=tmp_path)
    again[0].advance(3)
    again[0].finish()
    assert space.built == built
    assert_same(again, undisturbed[SGD])
    assert [path.name for path in tmp_path.iterdir()] == ["training.ckpt"]


def test_trainings_may_take_turns(undisturbed: Any, space: Any, digits: ImageSet) -> None:
    first, second = (new_training(space, digits, candidate) for candidate in (SGD, ADAM))
    for steps in (5, 4, 99):
        first[0].advance(steps)
        second[0].advance(steps)
    assert_same(first, undisturbed[SGD])
    assert_same(second, undisturbed[ADAM])


def test_only_the_seed_of_the_candidate_counts(undisturbed: Any, space: Any, digits: ImageSet) -> None:
    torch.manual_seed(123)
    random.seed(5)
    same = new_training(space, digits)
    same[0].finish()
    assert_same(same, undisturbed[SGD])
    other, probe = new_training(space, digits, replace(SGD, seed=8))
    other.finish()
    assert not torch.equal(probe.gradients[0], same[1].gradients[0])


def test_the_random_numbers_of_the_caller_are_left_alone(space: Any, digits: ImageSet) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), np.random.random(), float(torch.rand(()))  # noqa: NPY002

    for pauses in ([], [3]):
        random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002
        expected = draw(), draw()
        random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002
        first = draw()
        training, _ = new_training(space, digits)
        for steps in pauses:
            training.advance(steps)
        training.finish()
        assert (first, draw()) == expected


def test_nothing_is_said_and_nothing_left(
    space: Any, digits: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    training, _ = new_training(space, digits)
    training.advance(5)
    paused, _ = new_training(space, digits)
    paused.advance(2)
    assert len(list(tmp_path.iterdir())) == 2
    training.finish()
    del paused
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert not list(recwarn)


def test_a_pause_holds_no_network(space: Any, digits: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = []
    build = space.build

    def watched(*arguments: Any) -> torch.nn.Module:
        network = build(*arguments)
        networks.append(weakref.ref(network))
        return network

    monkeypatch.setattr(space, "build", watched)
    training, probe = new_training(space, digits)
    training.advance(2)
    gc.collect()
    assert [reference() for reference in networks] == [None]
    assert probe.steps == [0, 1]


def test_a_pause_is_plain_data(space: Any, digits: ImageSet, tmp_path: Path) -> None:
    training, _ = new_training(space, digits, folder=tmp_path)
    for steps in (5, 99):
        training.advance(steps)
        assert torch.load(tmp_path / "training.ckpt", weights_only=True)["candidate_training"]["identity"] == {
            "schema_version": 1,
            "candidate": vars(SGD),
            "plan": {name: value for name, value in vars(PLAN).items() if name != "accelerator"},
            "images": digits.fingerprint,
        }


def test_the_state_of_another_training_is_refused(space: Any, digits: ImageSet, tmp_path: Path) -> None:
    new_training(space, digits, folder=tmp_path)[0].advance(2)
    content = (tmp_path / "training.ckpt").read_bytes()
    with pytest.raises(CheckpointError, match=r"training.ckpt: .*another training \(not the same candidate\)"):
        new_training(space, digits, replace(SGD, seed=8), tmp_path)
    with pytest.raises(CheckpointError, match=r"not the same images, plan\)"):
        new_training(space, open_images("digits", train_images=99), folder=tmp_path, plan=replace(PLAN, epochs=4))
    assert (tmp_path / "training.ckpt").read_bytes() == content
    new_training(space, digits, folder=tmp_path, plan=replace(PLAN, accelerator="auto"))


@pytest.mark.parametrize("content", [b"", b"garbage", "half", "other"])
def test_a_damaged_state_is_refused(space: Any, digits: ImageSet, tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "training.ckpt"
    new_training(space, digits, folder=tmp_path)[0].advance(2)
    if content == "half":
        content = path.read_bytes()[: path.stat().st_size // 2]
    if content == "other":
        torch.save({"state_dict": {}}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"training.ckpt: does not go on from this state .* delete it"):
        new_training(space, digits, folder=tmp_path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("candidate_training", "progress", "step"), "two"),
        (("candidate_training", "progress", "records"), None),
        (("random_state", "torch"), torch.zeros(3)),
        (("optimizer_states",), [{}]),
        (("state_dict", "network.0.weight"), torch.zeros(2)),
        (("loops", "fit_loop"), 3),
    ],
)
def test_a_state_that_somebody_changed_is_refused(
    space: Any, digits: ImageSet, tmp_path: Path, place: tuple[str, ...], value: object
) -> None:
    path = tmp_path / "training.ckpt"
    new_training(space, digits, folder=tmp_path)[0].advance(2)
    content = node = torch.load(path, weights_only=True)
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"training.ckpt: does not go on from this state"):
        new_training(space, digits, folder=tmp_path)[0].advance(1)


def test_a_plan_that_does_not_fit_the_images_is_refused(space: Any, digits: ImageSet) -> None:
    with pytest.raises(ConfigError, match=r"batch_size"):
        new_training(space, digits, plan=replace(PLAN, batch_size=200))
    with pytest.raises(ConfigError, match=r"flip"):
        new_training(space, digits, plan=replace(PLAN, flip=True))
