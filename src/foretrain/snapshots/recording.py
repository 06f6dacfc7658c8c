"""Recording of a population: every network is really trained, and its snapshots are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field

from foretrain.errors import ConfigError
from foretrain.runtime.parallel import ParallelMap, Record
from foretrain.runtime.seeding import derive_seed
from foretrain.snapshots.recorder import SnapshotRecorder
from foretrain.snapshots.storage import PER_SNAPSHOT, SnapshotFolder
from foretrain.spaces.base import SearchSpace
from foretrain.training.candidate import CandidateTraining, TrainingPlan
from foretrain.training.cost import count_costs
from foretrain.training.images import ImageSet, open_images_once
from foretrain.training.population import Candidate, Recipe, sample_population


@dataclass(frozen=True)
class SnapshotPopulation:
    """A population of networks, how it is trained, and where its recording is kept.

    The recording's folder is named after all that decides its content but the size, so that a second run finds what
    the first recorded, and a larger population goes on from a smaller one.

    Attributes:
        space: Where the architectures come from and what skeleton they are built in.
        recipe: What the networks' trainings are drawn from.
        plan: How all networks are trained.
        image: The image data.
        population: Number of networks.
        every_n_steps: Mini-batch steps between snapshots.
        max_snapshots: Snapshots of each network.
        root: Folder of the image files, where the data are not built in.
        train_images: Train on so many images only, or on all (None).
        side: Height and width that images are reduced to, or None to keep them.
        seed: Seed of the population.
        cache: Folder of the recordings.

    Raises:
        ConfigError: The training is too short for so many snapshots, or evaluates at other steps.
    """

    space: SearchSpace[Any]
    recipe: Recipe
    plan: TrainingPlan
    image: Literal["digits", "cifar10", "cifar100"]
    population: Annotated[int, Field(ge=1)]
    every_n_steps: Annotated[int, Field(ge=1)] = 100
    max_snapshots: Annotated[int, Field(ge=1)] = 30
    root: str | None = None
    train_images: Annotated[int, Field(ge=1)] | None = None
    side: Annotated[int, Field(ge=1)] | None = None
    seed: int = 0
    cache: str = "cache"

    def __post_init__(self) -> None:
        if self.plan.eval_every_n_steps != self.every_n_steps:
            raise ConfigError(
                "data.plan.eval_every_n_steps",
                "snapshots need an evaluation each",
                self.plan.eval_every_n_steps,
                f"{self.every_n_steps} (data.every_n_steps)",
            )
        if self.max_snapshots * self.every_n_steps > self.total_steps:
            allowed = f"at most {self.total_steps // self.every_n_steps} in {self.total_steps} steps"
            raise ConfigError("data.max_snapshots", "the training is too short", self.max_snapshots, allowed)

    @property
    def images(self) -> ImageSet:
        """The image data, on the CPU."""
        return open_images_once(self.image, self.root, self.train_images, self.side)

    @property
    def total_steps(self) -> int:
        """Mini-batch steps of a whole training."""
        return self.plan.epochs * (len(self.images.train) // self.plan.batch_size)

    @property
    def title(self) -> str:
        """What the networks are, in a few words."""
        return f"{self.population} {self.space.name} networks, {self.image}"

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The networks."""
        return sample_population(self.space, self.population, self.recipe, self.seed)

    @property
    def keys(self) -> list[str]:
        """The networks' names in the recording."""
        return [candidate.key for candidate in self.candidates]

    @property
    def folder(self) -> SnapshotFolder:
        """Where the recording is kept."""
        digest = hashlib.sha256(json.dumps(self._description, sort_keys=True).encode()).hexdigest()[:12]
        return SnapshotFolder(Path(self.cache) / f"{self.image}-{self.space.name}-{digest}")

    def record(self, parallel: ParallelMap) -> SnapshotFolder:
        """Trains and records the networks that are not recorded yet and returns the complete folder."""
        folder = self.folder
        folder.create(**self._description)
        items = {candidate.key: candidate for candidate in self.candidates}
        job = partial(record_network, population=self, folder=folder)
        folder.write_index(parallel(job, items, folder.records_path, "recording networks"))
        return folder

    def index(self) -> pd.DataFrame:
        """Returns the index of the finished recording (see :meth:`.storage.SnapshotFolder.index`) in their order.

        Raises:
            DataError: The recording was not finished, or its index is damaged.
        """
        return self.folder.index().set_index("key").loc[self.keys].reset_index()

    @cached_property
    def _description(self) -> dict[str, Any]:
        """All that decides what a network's recording is, as plain values."""
        images = self.images
        return {
            "every_n_steps": self.every_n_steps,
            "max_snapshots": self.max_snapshots,
            "space": {"name": self.space.name, **vars(self.space)},
            "images": {"name": self.image, "train": len(images.train), "sha256": images.fingerprint},
            "plan": asdict(self.plan) | {"recipe": asdict(self.recipe), "seed": self.seed},
        }


def record_network(candidate: Candidate, population: SnapshotPopulation, folder: SnapshotFolder) -> Record:
    """Trains one network to its end and writes its snapshots; returns its row of the index."""
    images = population.images
    recorder = SnapshotRecorder(
        population.every_n_steps, population.max_snapshots, seed=derive_seed(candidate.seed, "snapshots")
    )
    training = CandidateTraining(candidate, population.space, images, population.plan, {"snapshots": recorder})
    training.finish()
    snapshots = recorder.snapshots()
    records = asdict(training.records)
    positions = [records["step"].index(step) for step in snapshots.steps.tolist()]
    return folder.write(
        candidate.key,
        snapshots,
        {
            "architecture": candidate.arch,
            "hyperparameters": _hyperparameters(candidate),
            **{name: [records[name][position] for position in positions] for name in PER_SNAPSHOT},
            "final_val_accuracy": training.final_validation_accuracy,
            "test_accuracy": training.final_test_accuracy,
            "seconds": training.seconds,
            **count_costs(population.space, candidate.arch, images),
        },
    )


def _hyperparameters(candidate: Candidate) -> Mapping[str, Any]:
    return {name: value for name, value in asdict(candidate).items() if name not in ("key", "arch")}
