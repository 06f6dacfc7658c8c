"""A tiny candidate that is trained to its end in one go.

What a Trainer does around a step costs more than the step of a network with a few thousand weights. This is the bare
loop around the same module, the same batches and the same seeds as :class:`.candidate.CandidateTraining`, which is for
trainings that are paused, watched by callbacks, or long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from foretrain.runtime.random_state import random_state, set_random_state
from foretrain.runtime.seeding import derive_seed, seed_everything
from foretrain.spaces.base import SearchSpace
from foretrain.training.candidate import TrainingPlan, candidate_data, candidate_module
from foretrain.training.data import Batch, ImageDataModule
from foretrain.training.images import ImageSet
from foretrain.training.module import ClassifierModule
from foretrain.training.population import Candidate
from foretrain.training.records import Records


@dataclass(frozen=True)
class FinishedTraining:
    """What a whole training measured.

    Attributes:
        records: The evaluations.
        test_accuracy: Accuracy on the test images after the last step, percent.
        seconds: Processor seconds of this process, from building the network to the last evaluation; on an idle
            machine and with one thread the same as wall-clock seconds.
    """

    records: Records
    test_accuracy: float
    seconds: float


def train_directly(
    candidate: Candidate, space: SearchSpace[Any], images: ImageSet, plan: TrainingPlan
) -> FinishedTraining:
    """Trains a candidate to its end on the device that the images lie on (``plan.accelerator`` plays no role).

    The results are those of :class:`.candidate.CandidateTraining`. The caller's global random state is left as it was.

    Args:
        candidate: The network and its hyperparameters.
        space: The space that reads and builds its architecture.
        images: The data set.
        plan: How long and on what.

    Raises:
        ConfigError: The plan does not fit the images.
    """
    started = time.process_time()
    before = random_state()
    try:
        data = candidate_data(candidate, images, plan)
        module = candidate_module(candidate, space, images, plan, plan.epochs * len(data.train_dataloader()))
        module.network.to(images.train.labels.device)
        seed_everything(derive_seed(candidate.seed, "training"))
        _fit(module, data, plan)
        _measure(module, module.test_step, data.test_dataloader())
    finally:
        set_random_state(before)
    return FinishedTraining(module.records, module.test_accuracy, time.process_time() - started)


def _fit(module: ClassifierModule, data: ImageDataModule, plan: TrainingPlan) -> None:
    """Takes all steps, with an evaluation every few steps and at the end."""
    optimizer, schedule = _optimization(module)
    batches, validation = data.train_dataloader(), list(data.val_dataloader())
    step = 0
    for _ in range(plan.epochs):
        for batch in batches:
            torch.autograd.backward(module.training_step(batch, step))
            optimizer.step()
            optimizer.zero_grad()
            if schedule is not None:
                schedule.step()
            step += 1
            if step % plan.eval_every_n_steps == 0 or step == module.total_steps:
                _measure(module, module.validation_step, validation)
                module.close_record(step)


def _optimization(module: ClassifierModule) -> tuple[Optimizer, LRScheduler | None]:
    """The module's optimiser and, where its learning rate decays, the schedule to step after it."""
    configured = module.configure_optimizers()
    if isinstance(configured, Optimizer):
        return configured, None
    parts = cast("dict[str, Any]", configured)
    return parts["optimizer"], parts["lr_scheduler"]["scheduler"]


@torch.inference_mode()
def _measure(module: ClassifierModule, step: Callable[[Batch, int], None], batches: Iterable[Batch]) -> None:
    """Hands batches to an evaluating step of the module, in evaluation mode."""
    module.eval()
    for number, batch in enumerate(batches):
        step(batch, number)
    module.train()
