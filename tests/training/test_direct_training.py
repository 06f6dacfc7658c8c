"""The bare training loop: the same training as under the Trainer."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch

from foretrain.errors import ConfigError
from foretrain.spaces.nasbench101 import NASBench101
from foretrain.training.candidate import CandidateTraining, TrainingPlan
from foretrain.training.direct import train_directly
from foretrain.training.images import ImageSet
from foretrain.training.population import Candidate

SGD = Candidate("net-0000", "4-1", "sgd", learning_rate=0.05, momentum=0.9, weight_decay=1e-4, cosine=True, seed=7)
ADAM = replace(SGD, optimizer="adam", learning_rate=0.01, momentum=0.0, cosine=False)
PLAN = TrainingPlan(epochs=3, batch_size=20, eval_every_n_steps=4, shift=1, label_smoothing=0.1, accelerator="cpu")


@pytest.mark.parametrize("candidate", [SGD, ADAM], ids=["sgd", "adam"])
def test_equals_the_training_under_the_trainer(candidate: Candidate, space, digits: ImageSet):
    reference = CandidateTraining(candidate, space, digits, PLAN)
    reference.finish()
    finished = train_directly(candidate, space, digits, PLAN)
    expected, measured = asdict(reference.records), asdict(finished.records)
    assert measured["step"] == expected["step"] == [4, 8, 12, 15]
    assert measured == expected
    assert finished.test_accuracy == reference.final_test_accuracy


def test_is_the_same_to_the_last_bit_when_done_again(digits: ImageSet):
    small = NASBench101(stem_channels=8, stacks=2, cells_per_stack=1, batch_norm_momentum=0.1)
    cell = replace(SGD, arch=small.format(small.sample(1, torch.Generator().manual_seed(0)))[0])
    first, second = (train_directly(cell, small, digits, PLAN) for _ in range(2))
    assert first.records == second.records
    assert first.test_accuracy == second.test_accuracy
    assert train_directly(replace(cell, seed=8), small, digits, PLAN).records != first.records


def test_leaves_the_random_state_of_the_caller(space, digits: ImageSet):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_directly(SGD, space, digits, PLAN)
    assert torch.equal(torch.rand(3), expected)


def test_a_batch_larger_than_the_data_is_refused(space, digits: ImageSet):
    with pytest.raises(ConfigError, match=r"data\.plan\.batch_size"):
        train_directly(SGD, space, digits, replace(PLAN, batch_size=101))
