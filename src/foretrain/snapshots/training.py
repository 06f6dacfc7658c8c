"""Fits the snapshot predictor: normalisation, two autoencoders, codes, LSTM; every finished stage is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from foretrain.errors import DataError
from foretrain.runtime.checkpoints import load_checkpoint, save_checkpoint
from foretrain.runtime.files import read_json, write_json
from foretrain.runtime.fitting import fit
from foretrain.runtime.progress import Advance, progress_bar
from foretrain.runtime.quiet import quiet_lightning
from foretrain.runtime.seeding import derive_seed, seed_everything
from foretrain.runtime.study import TrainerFactory
from foretrain.snapshots.batches import KINDS, CodeBatch, SnapshotBatch
from foretrain.snapshots.data import CodeData, FeatureMapData
from foretrain.snapshots.module import AutoencoderModule, SequencePredictorModule, SnapshotPredictor

Module = TypeVar("Module", bound=LightningModule)
Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class AutoencoderSettings:
    """How the two autoencoders are built and trained.

    Attributes:
        widths: Channels of the encoder's three layers; the last is the length of a code.
        max_epochs: At most so many epochs.
        patience: Epochs without improvement on the validation networks before training stops.
        batch_size: Feature maps in a batch.
        learning_rate: Learning rate of Adam.
        weight_decay: Weight decay of Adam.
        snapshots_per_network: So many random snapshots of each network are learned from, or all (None).
    """

    widths: Annotated[Sequence[Positive], Field(min_length=3, max_length=3)] = (512, 256, 128)
    max_epochs: Positive = 300
    patience: Positive = 20
    batch_size: Annotated[int, Field(ge=2)] = 128
    learning_rate: Rate = 1e-3
    weight_decay: Decay = 0.0
    snapshots_per_network: Positive | None = None


@dataclass(frozen=True)
class PredictorSettings:
    """How the LSTM is built and trained.

    Attributes:
        hidden: Width of the LSTM.
        dropout: Dropout of its output.
        max_epochs: At most so many epochs.
        patience: Epochs without improvement on the validation networks before training stops.
        batch_size: Networks in a batch.
        learning_rate: Learning rate of Adam.
        weight_decay: Weight decay of Adam.
        train_lengths: It learns from the first 1, 2, ..., ``train_lengths`` snapshots and from all.
    """

    hidden: Positive = 128
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    max_epochs: Positive = 150
    patience: Positive = 20
    batch_size: Positive = 32
    learning_rate: Rate = 1e-3
    weight_decay: Decay = 0.0
    train_lengths: Positive = 10


Settings = AutoencoderSettings | PredictorSettings
Prepare = Callable[[int], tuple[Module, LightningDataModule]]


def fit_snapshot_predictor(
    maps: NDArray[np.float16],
    rows: NDArray[np.int64],
    lengths: NDArray[np.int64],
    targets: NDArray[np.floating[Any]],
    train_index: NDArray[np.int64],
    val_index: NDArray[np.int64],
    *,
    autoencoder: AutoencoderSettings,
    predictor: PredictorSettings,
    trainer: TrainerFactory,
    folder: str | Path,
    seed: int,
    progress: bool = False,
) -> SnapshotPredictor:
    """Fits normalizers, autoencoders and LSTM (NAP2, sections 3.2 and 3.3).

    Only training networks are learned from, in every stage; validation networks decide when to stop. The folder
    receives a subfolder per stage (``weights``, ``gradients``, ``sequence``). A stage that is finished is loaded and
    not trained again, an interrupted one goes on where it was.

    Args:
        maps: ``float16[n, t, 2, l, 100, 12]``, signed logarithms.
        rows: ``int64[n, l]``, valid rows of each layer, 0 for padding.
        lengths: ``int64[n]``, snapshots of each network.
        targets: ``[n]``, final accuracies in percent; only those of training and validation networks are looked at.
        train_index: The training networks.
        val_index: The validation networks.
        autoencoder: Settings of both autoencoders.
        predictor: Settings of the LSTM.
        trainer: Makes the Trainer of each stage.
        folder: Where the stages are kept; one folder holds one fit.
        seed: Decides initial weights, the choice of snapshots, the order of batches and dropout.
        progress: Shows a progress bar over the epochs of each stage; leave it off inside a parallel map.

    Returns:
        The fitted predictor, in evaluation mode on the CPU.

    Raises:
        DataError: The networks cannot be learned from, or the folder holds the fit of other ones or other settings.
    """
    population = _as_batch(maps, rows, lengths, targets)
    run = _Run(
        population, torch.as_tensor(train_index), torch.as_tensor(val_index), trainer, Path(folder), seed, progress
    )
    run.check()
    run.claim(autoencoder, predictor)
    model = SnapshotPredictor(list(autoencoder.widths), predictor.hidden)
    for kind in KINDS:
        fitted = _fit_autoencoder(run, kind, autoencoder)
        model.normalizers[kind].load_state_dict(fitted.normalizer.state_dict())
        model.encoders[kind].load_state_dict(fitted.autoencoder.encoder.state_dict())
    sequence = _fit_sequence(run, model.eval(), predictor)
    model.predictor.load_state_dict(sequence.predictor.state_dict())
    return model


@dataclass(frozen=True)
class _Run:
    """What all stages share: the networks, how to train and where to keep it."""

    population: SnapshotBatch
    train: Tensor
    val: Tensor
    trainer: TrainerFactory
    folder: Path
    seed: int
    progress: bool

    def check(self) -> None:
        """Raises a DataError where the networks cannot be learned from."""
        source = "training and validation networks"
        if len(self.train) < 2 or len(self.val) < 1:
            problem = f"{len(self.train)} and {len(self.val)}, but at least 2 and 1 are needed"
            raise DataError(source, problem, "Record more networks or use fewer folds")
        used = torch.cat((self.train, self.val))
        if len(torch.unique(used)) < len(used):
            raise DataError(source, "a network occurs twice", "Split the networks into disjoint sets")
        unknown = ~self.population.target[used].isfinite()
        empty = (self.population.rows[used] == 0).all(1) | (self.population.lengths[used] < 1)
        for faulty, problem in ((unknown, "has no finite target"), (empty, "has no layers or no snapshots")):
            if faulty.any():
                raise DataError(f"network {int(used[faulty][0])}", problem, "Leave it out or record it again")

    def claim(self, *settings: Settings) -> None:
        """Marks the folder as that of this fit, or makes sure that it is."""
        used = self.population[torch.cat((self.train, self.val))]
        plan = {
            "seed": self.seed,
            "max_epochs": self.trainer.max_epochs,
            "settings": [_plain(item) for item in settings],
            "split": _digest(self.train, self.val),
            "networks": _digest(used.rows, used.lengths, used.target),
        }
        path = self.folder / "plan.json"
        if not path.exists():
            write_json(path, plan)
        kept = read_json(path)
        known = kept if isinstance(kept, dict) else {}
        if changed := [name for name, value in plan.items() if known.get(name) != value]:
            problem = f"holds a fit with other {', '.join(changed)}"
            raise DataError(self.folder, problem, "Delete it or choose another folder")

    def stage(self, name: str, expected: type[Module], prepare: Prepare[Module], settings: Settings) -> Module:
        """Loads a finished stage, or prepares module and data from the stage's seed, trains and keeps the module."""
        folder = self.folder / name
        finished = folder / "fitted.ckpt"
        if finished.exists():
            return load_checkpoint(finished, expected)
        seed = derive_seed(self.seed, name)
        seed_everything(seed)
        module, data = prepare(seed)
        limits = {"max_epochs": settings.max_epochs, "patience": settings.patience}
        with self._progress(f"learning {name}", settings.max_epochs) as trainer:
            fit(module, data, trainer, folder, **limits, seed=seed)
        save_checkpoint(finished, module)
        return module

    def device(self) -> torch.device:
        """The device on which the trainer trains."""
        with quiet_lightning():
            return self.trainer(callbacks=[], logger=False, enable_checkpointing=False).strategy.root_device

    @contextmanager
    def _progress(self, description: str, epochs: int) -> Iterator[TrainerFactory]:
        """Gives the trainer, where wanted with a bar that moves by an epoch at a time."""
        if not self.progress:
            yield self.trainer
            return
        with progress_bar(description, epochs) as advance:
            callbacks: dict[str, Callable[..., Callback]] = {"epoch_bar": partial(_EpochBar, advance)}
            yield replace(self.trainer, callbacks=self.trainer.callbacks | callbacks)


class _EpochBar(Callback):
    """Moves a progress bar by an epoch at a time."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._advance(trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._advance()


def _fit_autoencoder(run: _Run, kind: str, settings: AutoencoderSettings) -> AutoencoderModule:
    def prepare(seed: int) -> tuple[AutoencoderModule, FeatureMapData]:
        module = AutoencoderModule(list(settings.widths), settings.learning_rate, settings.weight_decay)
        limits = (settings.batch_size, settings.snapshots_per_network)
        data = FeatureMapData(run.population, kind, run.train, run.val, *limits, seed)
        module.normalizer.fit(data.train.maps, data.train.rows)
        return module, data

    return run.stage(kind, AutoencoderModule, prepare, settings)


def _fit_sequence(run: _Run, model: SnapshotPredictor, settings: PredictorSettings) -> SequencePredictorModule:
    def prepare(seed: int) -> tuple[SequencePredictorModule, CodeData]:
        codes = model.to(run.device()).encode(run.population).cpu()
        model.cpu()
        population = run.population
        table = CodeBatch(codes, population.lengths, population.target, population.arch_id)
        module = SequencePredictorModule(
            codes.shape[-1],
            settings.hidden,
            settings.dropout,
            settings.train_lengths,
            settings.learning_rate,
            settings.weight_decay,
        )
        module.predictor.start_from(table.target[run.train])
        return module, CodeData(table, run.train, run.val, settings.batch_size, seed)

    return run.stage("sequence", SequencePredictorModule, prepare, settings)


def _as_batch(maps: NDArray[Any], rows: NDArray[Any], lengths: NDArray[Any], targets: NDArray[Any]) -> SnapshotBatch:
    """The population as tensors, cut to its longest network, without a copy of the feature maps."""
    layers = int(np.flatnonzero(rows.any(axis=0)).max(initial=0)) + 1
    return SnapshotBatch(
        maps=torch.as_tensor(maps[:, :, :, :layers]),
        rows=torch.as_tensor(rows[:, :layers]),
        lengths=torch.as_tensor(lengths),
        target=torch.as_tensor(targets, dtype=torch.float32),
        arch_id=torch.arange(len(rows)),
    )


def _plain(settings: Settings) -> dict[str, Any]:
    """Settings as JSON gives them back."""
    return {name: list(value) if isinstance(value, Sequence) else value for name, value in asdict(settings).items()}


def _digest(*tensors: Tensor) -> str:
    """SHA-256 of the tensors' values."""
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors)).hexdigest()
