"""A candidate network that is really trained: to the end, or a few steps at a time."""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from pydantic import Field, TypeAdapter

from foretrain.errors import CheckpointError
from foretrain.runtime.checkpoints import SCHEMA_VERSION
from foretrain.runtime.files import atomic_path
from foretrain.runtime.quiet import quiet_lightning
from foretrain.runtime.random_state import RandomState
from foretrain.runtime.resuming import fit_from, going_on_from
from foretrain.runtime.seeding import derive_seed, seed_everything
from foretrain.runtime.tensors import load_tensors
from foretrain.spaces.base import SearchSpace
from foretrain.training.data import ImageDataModule
from foretrain.training.images import ImageSet
from foretrain.training.module import ClassifierModule
from foretrain.training.population import Candidate
from foretrain.training.records import Records

_FILE = "training.ckpt"
PAUSE_KEY = "candidate_training"


@dataclass(frozen=True)
class TrainingPlan:
    """How all candidates of a population are trained.

    Args:
        epochs: Epochs of the whole training.
        batch_size: Images in a training batch.
        eval_every_n_steps: Steps between two evaluations on the validation images; the end is always evaluated.
        shift: Training images are moved by up to so many pixels.
        flip: Whether a random half of the training images is mirrored.
        label_smoothing: Share of each training label that is spread over all classes.
        accelerator: Lightning's name of the device: ``auto``, ``cpu``, ``gpu``, ...
    """

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    eval_every_n_steps: Annotated[int, Field(ge=1)]
    shift: Annotated[int, Field(ge=0)] = 0
    flip: bool = False
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    accelerator: str = "auto"


class CandidateTraining:
    """Trains one candidate under a silent Lightning Trainer, with pauses where the caller wants them.

    Weights, records and the states of the callbacks after n steps do not depend on the pauses before: not on their
    number, their place, or whether they ended the process. They depend on the candidate, the images and the plan, and
    to the last digit on the machine and its number of threads. The caller's global random state is left as it was.

    A paused training holds no memory but its records: the network, the optimiser, the random states and the position
    in the data are in one file, replaced as a whole at each pause. With a ``folder`` that file outlives the process,
    and a new object of the same candidate goes on from it.

    Args:
        candidate: The network and its hyperparameters.
        space: The space that reads and builds its architecture.
        images: The data set; put it on the device once (``images.to(device)``) for many trainings.
        plan: How long and on what.
        callbacks: Further Lightning callbacks by name. What they keep over a pause is their ``state_dict``. They must
            go by steps (``trainer.global_step``): Lightning counts an epoch that a pause cuts in its own way.
        folder: Where the state is kept; without one it is in a temporary folder that ends with this object.

    Raises:
        ConfigError: The plan does not fit the images.
        DataError: The folder holds another training, or a damaged one.
    """

    def __init__(
        self,
        candidate: Candidate,
        space: SearchSpace[Any],
        images: ImageSet,
        plan: TrainingPlan,
        callbacks: Mapping[str, Callback] | None = None,
        folder: str | Path | None = None,
    ) -> None:
        self.candidate = candidate
        self.plan = plan
        self._space = space
        self._images = images
        self._callbacks = list((callbacks or {}).values())
        self.total_steps = plan.epochs * len(self._make_data().train_dataloader())
        self._path = Path(tempfile.mkdtemp(prefix="foretrain-") if folder is None else folder) / _FILE
        self._temporary: weakref.finalize[..., Any] | None = None
        if folder is None:
            self._temporary = weakref.finalize(self, shutil.rmtree, self._path.parent, ignore_errors=True)
        self._progress = self._restore() if self._path.exists() else _Progress()

    @property
    def steps_done(self) -> int:
        """Optimiser steps done so far."""
        return self._progress.step

    @property
    def finished(self) -> bool:
        """Whether the last step is done."""
        return self.steps_done == self.total_steps

    @property
    def records(self) -> Records:
        """The evaluations so far."""
        return self._progress.records

    @property
    def seconds(self) -> float:
        """Wall-clock seconds spent on training and evaluating so far."""
        return self._progress.seconds

    @property
    def final_validation_accuracy(self) -> float | None:
        """Accuracy on the validation images after the last step, percent; None before."""
        return self.records.val_accuracy[-1] if self.finished else None

    @property
    def final_test_accuracy(self) -> float | None:
        """Accuracy on the test images after the last step, percent; None before."""
        return self._progress.test_accuracy

    def finish(self) -> None:
        """Trains to the last step and measures the final accuracies."""
        self.advance(self.total_steps - self.steps_done)

    def advance(self, steps: int) -> None:
        """Trains so many more steps and pauses; where fewer are left it ends as :meth:`finish` does."""
        target = min(self.steps_done + steps, self.total_steps)
        if target > self.steps_done:
            with isolate_rng(), quiet_lightning():
                self._train(target)
            for callback in self._callbacks:
                _detach(callback)

    def _train(self, target: int) -> None:
        started = time.perf_counter()
        data, module = self._make_data(), self._make_module()
        trainer = self._make_trainer(target, started)
        seed_everything(derive_seed(self.candidate.seed, "training"))
        pause = self._path if self.steps_done else None
        fit_from(pause, trainer, module, data)
        if target == self.total_steps:
            self._end(trainer, module, data, started)
        else:
            self._progress = self._measure(started, module)

    def _end(self, trainer: Trainer, module: ClassifierModule, data: ImageDataModule, started: float) -> None:
        """Measures the final accuracies; of the file only what the results need is kept."""
        if module.last_record_step < self.total_steps:
            trainer.validate(module, datamodule=data, verbose=False)
        trainer.test(module, datamodule=data, verbose=False)
        self._progress = replace(self._measure(started, module), test_accuracy=module.test_accuracy)
        if self._temporary is not None:
            self._temporary()
            return
        callbacks = {callback.state_key: callback.state_dict() for callback in self._callbacks}
        with atomic_path(self._path) as temporary:
            torch.save({PAUSE_KEY: self._state(self._progress), "callbacks": callbacks}, temporary)

    def _make_data(self) -> ImageDataModule:
        return candidate_data(self.candidate, self._images, self.plan)

    def _make_module(self) -> ClassifierModule:
        return candidate_module(self.candidate, self._space, self._images, self.plan, self.total_steps)

    def _make_trainer(self, target: int, started: float) -> Trainer:
        """Makes a Trainer that stops at step ``target``, and writes the pause there unless it is the end."""
        callbacks: list[Callback] = [RandomState(), *self._callbacks]
        interval = self.plan.eval_every_n_steps
        if target < self.total_steps:
            describe = partial(self._describe, started)
            callbacks.append(Pause(self._path, target, describe, evaluated=target % interval == 0))
        return Trainer(
            accelerator=self.plan.accelerator,
            devices=1,
            # A candidate is one process on one device, also inside a job that a cluster launched with several.
            plugins=[LightningEnvironment()],
            max_steps=target,
            max_epochs=-1,
            check_val_every_n_epoch=None,
            val_check_interval=interval,
            num_sanity_val_steps=0,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    def _measure(self, started: float, module: ClassifierModule) -> _Progress:
        seconds = self.seconds + time.perf_counter() - started
        return _Progress(module.trainer.global_step, seconds, module.records)

    def _describe(self, started: float, module: ClassifierModule) -> dict[str, Any]:
        return self._state(self._measure(started, module))

    def _state(self, progress: _Progress) -> dict[str, Any]:
        """What the file says about this training besides Lightning's own states: primitives only."""
        return {"identity": self._identity(), "progress": asdict(progress)}

    def _identity(self) -> dict[str, Any]:
        plan = asdict(self.plan)
        del plan["accelerator"]  # the training may go on elsewhere
        return {
            "schema_version": SCHEMA_VERSION,
            "candidate": asdict(self.candidate),
            "plan": plan,
            "images": self._images.fingerprint,
        }

    def _restore(self) -> _Progress:
        """Reads the state of the folder, gives the callbacks theirs, and returns the progress."""
        with going_on_from(self._path):
            return self._take_over(load_pause(self._path))

    def _take_over(self, content: Mapping[str, Any]) -> _Progress:
        identity, ours = content[PAUSE_KEY]["identity"], self._identity()
        if different := sorted(key for key in ours if identity.get(key) != ours[key]):
            raise CheckpointError(
                self._path,
                f"the state of another training (not the same {', '.join(different)})",
                "Choose another folder, or delete this one",
            )
        for callback in self._callbacks:
            if state := content["callbacks"].get(callback.state_key):
                callback.load_state_dict(state)
        return _PROGRESS.validate_python(content[PAUSE_KEY]["progress"])


def candidate_data(candidate: Candidate, images: ImageSet, plan: TrainingPlan) -> ImageDataModule:
    """Returns the batches that the candidate is trained and evaluated on.

    Raises:
        ConfigError: The plan does not fit the images.
    """
    seed = derive_seed(candidate.seed, "data")
    return ImageDataModule(images, plan.batch_size, shift=plan.shift, flip=plan.flip, seed=seed)


def candidate_module(
    candidate: Candidate, space: SearchSpace[Any], images: ImageSet, plan: TrainingPlan, total_steps: int
) -> ClassifierModule:
    """Builds the candidate, untrained; seeds the global random state for its weights.

    Its activations lie in memory with the channels last, which makes poolings of few channels four times as fast on
    the CPU and is what mixed precision wants on a GPU.
    """
    seed_everything(derive_seed(candidate.seed, "weights"))
    network = space.build(space.parse([candidate.arch]), images.channels, images.num_classes)
    return ClassifierModule(
        # torch's stubs lack the memory format.
        network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        optimizer=candidate.optimizer,
        learning_rate=candidate.learning_rate,
        total_steps=total_steps,
        weight_decay=candidate.weight_decay,
        momentum=candidate.momentum,
        cosine=candidate.cosine,
        label_smoothing=plan.label_smoothing,
    )


@dataclass(frozen=True)
class _Progress:
    """How far a training is, as the file has it."""

    step: int = 0
    seconds: float = 0.0
    records: Records = field(default_factory=lambda: Records([], [], [], [], []))
    test_accuracy: float | None = None


_PROGRESS = TypeAdapter(_Progress)


class Pause(Callback):
    """Writes the checkpoint of a pause, after everything else that happens at its step.

    It is written while the Trainer is still in its epoch: after ``fit`` the epoch that the pause cuts counts as ended.

    Args:
        path: The file.
        step: The step of the pause.
        describe: Gives what is to be kept about the training, as primitives.
        evaluated: Whether the step ends with an evaluation, which the checkpoint must come after.
    """

    def __init__(self, path: Path, step: int, describe: Callable[[Any], dict[str, Any]], *, evaluated: bool) -> None:
        self._path = path
        self._step = step
        self._describe = describe
        self._evaluated = evaluated

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Writes where no evaluation follows."""
        if not self._evaluated:
            self._write(trainer)

    def on_validation_end(self, trainer: Trainer, *_: object) -> None:
        """Writes after the evaluation."""
        if self._evaluated:
            self._write(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Adds what is kept about the training."""
        checkpoint[PAUSE_KEY] = self._describe(pl_module)

    def _write(self, trainer: Trainer) -> None:
        if trainer.global_step == self._step:
            with atomic_path(self._path) as temporary:
                trainer.save_checkpoint(temporary)


def load_pause(path: Path) -> dict[str, Any]:
    """Reads what was kept about a training and the states of its callbacks, under ``PAUSE_KEY`` and ``callbacks``.

    Raises:
        CheckpointError: The file is no such state, or damaged.
    """
    with going_on_from(path):
        content = load_tensors(path)
        return {key: content[key] for key in (PAUSE_KEY, "callbacks")}


def _detach(callback: Callback) -> None:
    """Takes from a callback the methods of the module that the Trainer gave it: they would keep the network alive."""
    for name in ("log", "log_dict"):
        vars(callback).pop(name, None)
