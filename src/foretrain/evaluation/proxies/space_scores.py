"""Scores of many architectures of a space: jobs of a few networks each, whose rows are on disk at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import Field
from torch import Tensor

from foretrain.errors import ConfigError
from foretrain.proxies.passes import guarded
from foretrain.proxies.scores import Scores, Unavailable, average
from foretrain.proxies.scoring import score, without_value
from foretrain.proxies.table import PROXIES
from foretrain.runtime.files import atomic_path
from foretrain.runtime.parallel import ParallelMap, Record
from foretrain.runtime.seeding import derive_seed
from foretrain.spaces.base import SearchSpace
from foretrain.training.data import TrainingBatches
from foretrain.training.images import ImageSet, open_images_once

Labelled = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class ScoringData:
    """The images that networks are scored on: batches as in training, moved, mirrored and normalised.

    All networks see the same batches, so that their scores differ by the networks only.

    Attributes:
        image: The image data.
        root: Folder of the image files, where the data are not built in.
        train_images: Draw from so many training images only, or from all (None).
        batch_size: Images in a batch.
        shift: Images are moved by up to so many pixels.
        flip: Whether a random half is mirrored.
        batches: Number of batches; all but the first are for zico.
        cache: Folder of the finished rows.
    """

    image: Literal["digits", "cifar10", "cifar100"]
    root: str | None = None
    train_images: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=2)] = 64
    shift: Annotated[int, Field(ge=0)] = 0
    flip: bool = False
    batches: Annotated[int, Field(ge=1)] = 1
    cache: str = "cache"

    @property
    def images(self) -> ImageSet:
        """The image data, on the CPU."""
        return open_images_once(self.image, self.root, self.train_images)

    def draw(self, seed: int) -> list[Labelled]:
        """Draws the batches."""
        loader = TrainingBatches(self.images, self.batch_size, shift=self.shift, flip=self.flip, seed=seed)
        if len(loader) < self.batches:
            allowed = f"at most {len(self.images.train)} images in all"
            raise ConfigError("data.batches", f"batches of {self.batch_size} are too many", self.batches, allowed)
        return list(islice(loader, self.batches))


@dataclass(frozen=True)
class ScoringPlan:
    """How every network of a space is scored.

    Attributes:
        space: The space, in the skeleton that is scored.
        data: The images.
        proxies: Names of the proxies.
        repeats: Initialisations that are averaged over.
        seed: Seed of weights, batches and noise.
    """

    space: SearchSpace[Any]
    data: ScoringData
    proxies: tuple[str, ...]
    repeats: int
    seed: int

    @property
    def folder(self) -> Path:
        """Where finished rows are kept, named after all that decides them."""
        described = {
            "space": {"name": self.space.name, **vars(self.space)},
            "images": self.data.images.fingerprint,
            "data": {name: value for name, value in asdict(self.data).items() if name not in ("root", "cache")},
            "proxies": self.proxies,
            "repeats": self.repeats,
            "seed": self.seed,
        }
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]
        return Path(self.data.cache) / f"scores-{self.space.name}-{digest}"


@dataclass(frozen=True)
class Work:
    """How the networks are shared out.

    Attributes:
        block: Networks in a job, whose rows are on disk together.
        share: Number of this machine, from 0, where several with a common cache share the work.
        shares: Number of such machines; a run with one, when all are done, collects their rows.
        accelerator: ``cpu``, ``cuda``, or ``auto`` for GPUs where there are any; jobs take several GPUs in turn.

    Raises:
        ConfigError: There is no such share.
    """

    block: Annotated[int, Field(ge=1)] = 8
    share: Annotated[int, Field(ge=0)] = 0
    shares: Annotated[int, Field(ge=1)] = 1
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        if self.share >= self.shares:
            raise ConfigError("work.share", "machines are counted from 0", self.share, f"0 to {self.shares - 1}")

    def blocks(self, archs: Sequence[str]) -> list[tuple[str, ...]]:
        """Returns this machine's part of the architectures, in blocks."""
        blocks = [tuple(archs[start : start + self.block]) for start in range(0, len(archs), self.block)]
        return blocks[self.share :: self.shares]


@dataclass(frozen=True)
class Block:
    """Architectures that one job scores.

    Attributes:
        archs: Their published string form.
        device: Where: ``cpu``, ``cuda:0``, ...
    """

    archs: tuple[str, ...]
    device: str


def score_space(plan: ScoringPlan, archs: Sequence[str], parallel: ParallelMap, work: Work) -> pd.DataFrame:
    """Scores this machine's part of some architectures and returns one row for each, in their order.

    Each job leaves a Parquet file in the cache; a call with the same cache does the jobs that are missing. The scores
    of a network depend on the plan and its string only: not on its block, the other networks or the number of workers.

    Args:
        plan: How they are scored.
        archs: The architectures.
        parallel: Runs the jobs.
        work: How they are shared out.
    """
    devices, folder = _devices(work.accelerator), plan.folder
    items = {
        _key(members): Block(members, devices[number % len(devices)])
        for number, members in enumerate(work.blocks(archs))
    }
    parallel(partial(score_block, plan=plan), items, folder, f"scoring {plan.space.name}")
    parts = [pq.read_table(folder / f"{key}.parquet", use_threads=False) for key in items]
    table: pd.DataFrame = pa.concat_tables(parts).to_pandas()
    return table


def score_block(block: Block, plan: ScoringPlan) -> Record:
    """Scores the networks of a block and writes their rows; returns how many they are."""
    rows = [_row(arch, plan, torch.device(block.device)) for arch in block.archs]
    with atomic_path(plan.folder / f"{_key(block.archs)}.parquet") as temporary:
        pq.write_table(pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False), temporary)
    return {"networks": len(rows)}


def score_architecture(arch: str, plan: ScoringPlan, device: torch.device) -> Scores:
    """Builds and scores one architecture, with as many initialisations as planned."""
    images = plan.data.images
    parsed = plan.space.parse([arch])
    repetitions = []
    for repetition in range(plan.repeats):
        seed = derive_seed(plan.seed, "network", arch, repetition)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                network = guarded(plan.space.build, parsed, images.channels, images.num_classes).to(device)
            except Unavailable as reason:
                return without_value(plan.proxies, reason)
        first, *further = _batches(plan, repetition)
        repetitions.append(score(network, first, proxies=plan.proxies, seed=seed, batches=further))
    return average(repetitions)


def _row(arch: str, plan: ScoringPlan, device: torch.device) -> dict[str, Any]:
    """One row: value, reason and seconds of every proxy; the reason is empty where there is a value."""
    row: dict[str, Any] = {"architecture": arch}
    scores = score_architecture(arch, plan, device)
    for name, found in scores.items():
        row |= {name: found.value, f"{name}_reason": found.reason or "", f"{name}_seconds": found.seconds}
        if plan.repeats > 1:
            row[f"{name}_error"] = found.standard_error
    return row | {"seconds": scores.seconds}


def _batches(plan: ScoringPlan, repetition: int) -> list[Labelled]:
    return plan.data.draw(derive_seed(plan.seed, "batch", repetition))


def _devices(accelerator: str) -> list[str]:
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if accelerator == "cpu" or (accelerator == "auto" and not gpus):
        return ["cpu"]
    if not gpus:
        raise ConfigError("accelerator", "there is no GPU", accelerator, "cpu or auto")
    return gpus


def _key(archs: Sequence[str]) -> str:
    """A name for a block that only its members decide."""
    return hashlib.sha256("\n".join(archs).encode()).hexdigest()[:16]


def check_proxies(names: Sequence[str], batches: int) -> None:
    """Refuses names that are no proxies.

    Raises:
        ConfigError: There is no such proxy, none is asked for, or zico has a single batch.
    """
    for name in names:
        if name not in PROXIES:
            raise ConfigError("proxies", "no such proxy", name, PROXIES)
    if not names:
        raise ConfigError("proxies", "is empty", allowed=PROXIES)
    if "zico" in names and batches < 2:
        raise ConfigError("data.batches", "zico compares several", batches, ">= 2")
