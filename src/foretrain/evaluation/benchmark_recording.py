"""The recording of a benchmark: the cells of a space, really trained by one recipe, epoch by epoch."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from foretrain.benchmarks.contents import (
    ACCURACY,
    FLOPS,
    LOSS,
    PARAMETERS,
    TRAINING_SECONDS,
    Contents,
    Description,
    Series,
)
from foretrain.errors import ConfigError
from foretrain.runtime.parallel import ParallelMap, Record
from foretrain.runtime.seeding import derive_seed
from foretrain.spaces.base import SearchSpace
from foretrain.training.candidate import TrainingPlan
from foretrain.training.cost import count_costs
from foretrain.training.direct import train_directly
from foretrain.training.images import ImageSet, open_images_once
from foretrain.training.population import Candidate, Recipe, sample_population

FloatArray = NDArray[np.float64]
_CURVES = {
    ("train", ACCURACY): "train_accuracy",
    ("train", LOSS): "train_loss",
    ("valid", ACCURACY): "val_accuracy",
    ("valid", LOSS): "val_loss",
}


@dataclass(frozen=True)
class SharedTraining:
    """How all networks of a benchmark are trained: SGD with momentum, the learning rate falls to zero along a cosine.

    Args:
        epochs: Epochs of the training; each ends with an evaluation on all validation images.
        batch_size: Images in a training batch.
        learning_rate: Learning rate at the start.
        momentum: Momentum of SGD.
        weight_decay: L2 regularisation; 0 for none.
        shift: Training images are moved by up to so many pixels.
    """

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    shift: Annotated[int, Field(ge=0)] = 0

    @property
    def recipe(self) -> Recipe:
        """The recipe whose every draw is this one."""
        return Recipe(("sgd",), (self.learning_rate,), momentum=self.momentum, weight_decays=(self.weight_decay,))

    def plan(self, images: ImageSet) -> TrainingPlan:
        """Returns the plan with an evaluation at the end of each epoch.

        Raises:
            ConfigError: No batch can be filled.
        """
        steps = len(images.train) // self.batch_size
        if steps == 0:
            allowed = f"1 to {len(images.train)} (the training images)"
            raise ConfigError("data.training.batch_size", "no batch can be filled", self.batch_size, allowed)
        return TrainingPlan(self.epochs, self.batch_size, eval_every_n_steps=steps, shift=self.shift)


@dataclass(frozen=True)
class BenchmarkRecording:
    """The networks of a benchmark, how they are trained, and where finished trainings are kept.

    No two networks have the same canonical key. All are trained with seed 0, the first ``repeated`` of them, which are
    a random sample like all the others, also with seeds 1, 2, ...; weights and batches of any two trainings are drawn
    independently.

    The folder of finished trainings is named after all that decides their results but the number of networks and of
    seeds, so that an interrupted recording goes on and a larger one reuses a smaller one.

    Attributes:
        name: Name of the benchmark.
        title: What it is, in one line.
        space: Where the architectures come from and what skeleton they are built in.
        training: How all of them are trained.
        image: The image data.
        networks: Number of networks.
        repeated: How many of them are trained with all seeds.
        seeds: Number of seeds.
        root: Folder of the image files, where the data are not built in.
        train_images: Train on so many images only, or on all (None).
        seed: Seed of the recording.
        cache: Folder of the finished trainings.

    Raises:
        ConfigError: More networks are repeated than there are.
    """

    name: str
    title: str
    space: SearchSpace[Any]
    training: SharedTraining
    image: Literal["digits", "cifar10", "cifar100"]
    networks: Annotated[int, Field(ge=1)]
    repeated: Annotated[int, Field(ge=0)]
    seeds: Annotated[int, Field(ge=1)] = 3
    root: str | None = None
    train_images: Annotated[int, Field(ge=1)] | None = None
    seed: int = 0
    cache: str = "cache"

    def __post_init__(self) -> None:
        if self.repeated > self.networks:
            raise ConfigError("data.repeated", "more than there are", self.repeated, f"0 to {self.networks}")

    @property
    def images(self) -> ImageSet:
        """The image data, on the CPU."""
        return open_images_once(self.image, self.root, self.train_images)

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The networks, with the seed that those of their trainings are derived from."""
        return sample_population(self.space, self.networks, self.training.recipe, self.seed)

    @property
    def places(self) -> list[tuple[int, int]]:
        """All trainings as pairs of row and seed, the first seed of all networks first."""
        repetitions = itertools.product(range(1, self.seeds), range(self.repeated))
        return [(row, 0) for row in range(self.networks)] + [(row, seed) for seed, row in repetitions]

    @property
    def folder(self) -> Path:
        """Where the finished trainings are kept."""
        described = {
            "space": {"name": self.space.name, **vars(self.space)},
            "images": self.images.fingerprint,
            "training": asdict(self.training),
            "seed": self.seed,
        }
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]
        return Path(self.cache) / f"{self.name}-{digest}"

    def record(self, parallel: ParallelMap) -> list[Record]:
        """Does the trainings that are not done yet and returns the records of all, in the order of ``places``."""
        items = {f"{self.candidates[row].key}-{seed}": self._training(row, seed) for row, seed in self.places}
        job = partial(
            record_training,
            space=self.space,
            training=self.training,
            image=self.image,
            root=self.root,
            train_images=self.train_images,
        )
        return list(parallel(job, items, self.folder, f"training {self.name}").values())

    def contents(self, records: Sequence[Record]) -> Contents:
        """Returns the benchmark that the records, in the order of ``places``, make."""
        return Contents(self._description, [candidate.arch for candidate in self.candidates], self._series(records))

    def _training(self, row: int, seed: int) -> Candidate:
        candidate = self.candidates[row]
        return replace(candidate, seed=derive_seed(candidate.seed, "repetition", seed))

    @property
    def _description(self) -> Description:
        kind = type(self.space)
        return Description(
            name=self.name,
            title=self.title,
            space=f"{kind.__module__}.{kind.__qualname__}",
            source=f"recorded by foretrain: python train.py experiment={self.name}",
            licence="Apache-2.0",
            skeleton=dict(vars(self.space)),
        )

    def _series(self, records: Sequence[Record]) -> dict[Series, FloatArray]:
        epochs, seeds = self.training.epochs, tuple(range(self.seeds))
        series = {
            Series("curve", metric, self.image, split, epochs, seeds): self._array(records, name, epochs)
            for (split, metric), name in _CURVES.items()
        }
        for split, name in (("valid", "final_val_accuracy"), ("test", "test_accuracy")):
            series[Series("final", ACCURACY, self.image, split, epochs, seeds)] = self._array(records, name)
        seconds = Series("cost", TRAINING_SECONDS, self.image, epochs=epochs, seeds=seeds)
        series[seconds] = self._array(records, "seconds")
        for name in (PARAMETERS, FLOPS):
            series[Series("cost", name, self.image)] = self._array(records, name)[:, :1]
        return series

    def _array(self, records: Sequence[Record], name: str, *item_shape: int) -> FloatArray:
        """``float64[n, seeds, ...]`` of one field of the records; NaN for what was not trained."""
        values = np.full((self.networks, self.seeds, *item_shape), np.nan)
        rows, seeds = np.array(self.places).T
        values[rows, seeds] = [record[name] for record in records]
        return values


def record_training(
    candidate: Candidate,
    space: SearchSpace[Any],
    training: SharedTraining,
    image: str,
    root: str | None,
    train_images: int | None,
) -> Record:
    """Trains one network to its end and returns what was measured; accuracies in percent, one value an epoch."""
    images = open_images_once(image, root, train_images)
    finished = train_directly(candidate, space, images, training.plan(images))
    return {
        "architecture": candidate.arch,
        **asdict(finished.records),
        "final_val_accuracy": finished.records.val_accuracy[-1],
        "test_accuracy": finished.test_accuracy,
        "seconds": finished.seconds,
        **count_costs(space, candidate.arch, images),
    }
