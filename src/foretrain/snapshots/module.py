"""Training of the autoencoders and of the LSTM under Lightning, and the whole predictor for use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from foretrain.batches import TensorBatch
from foretrain.snapshots.attention import LayerAttentionPredictor, LayerStandardizer, scoring_loss
from foretrain.snapshots.autoencoder import FeatureMapAutoencoder, FeatureMapEncoder
from foretrain.snapshots.batches import KINDS, CodeBatch, FeatureMapBatch, LayerBatch, SnapshotBatch, valid_steps
from foretrain.snapshots.normalizer import FeatureNormalizer
from foretrain.snapshots.predictor import SequencePredictor

Batch = TypeVar("Batch", bound=TensorBatch)

_CHUNK = 128  # feature maps encoded at once: 40 MB as float32 at 65 layers


class LossModule(LightningModule, ABC, Generic[Batch]):
    """Trains by Adam on a loss and logs it as ``train/loss`` and ``val/loss``.

    A subclass has the hyperparameters ``learning_rate`` and ``weight_decay``.
    """

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Returns the loss of a batch."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Returns the loss of a batch."""
        loss = self.loss(batch)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=batch.batch_size, sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Logs the loss of a batch."""
        self.log("val/loss", self.loss(batch), batch_size=batch.batch_size, sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns Adam over all parameters."""
        options = self.hparams
        return torch.optim.Adam(self.parameters(), lr=options["learning_rate"], weight_decay=options["weight_decay"])


class AutoencoderModule(LossModule[FeatureMapBatch]):
    """Trains the autoencoder of one kind of feature maps; logs ``train/loss`` and ``val/loss``.

    Args:
        widths: Channels of the encoder's three layers.
        learning_rate: Learning rate of Adam.
        weight_decay: Weight decay of Adam.
    """

    def __init__(self, widths: Sequence[int], learning_rate: float = 1e-3, weight_decay: float = 0.0) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.normalizer = FeatureNormalizer()
        self.autoencoder = FeatureMapAutoencoder(widths)

    def loss(self, batch: FeatureMapBatch) -> Tensor:
        """Returns the loss of a batch."""
        return self.autoencoder.loss(self.normalizer(batch.maps, batch.rows), batch.rows)


class SequencePredictorModule(LossModule[CodeBatch]):
    """Trains the LSTM on encoded snapshots; logs ``train/loss`` and ``val/loss``.

    Args:
        inputs: Entries of a snapshot's code.
        hidden: Width of the LSTM.
        dropout: Dropout of the LSTM's output.
        train_lengths: Longest of the short training sequences.
        learning_rate: Learning rate of Adam.
        weight_decay: Weight decay of Adam.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int = 128,
        dropout: float = 0.0,
        train_lengths: int = 10,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.predictor = SequencePredictor(inputs, hidden, dropout)

    def loss(self, batch: CodeBatch) -> Tensor:
        """Returns the loss of a batch."""
        return self.predictor.loss(batch.codes, batch.lengths, batch.target, self.hparams["train_lengths"])


class AttentionModule(LossModule[LayerBatch]):
    """An ensemble of attention predictors, trained together end to end; logs ``train/loss`` and ``val/loss``.

    Each member learns from its own error; the validation loss, which decides when to stop, is that of their mean.

    Args:
        tokens: Numbers of a layer.
        context: Numbers known from outside.
        members: Networks of the ensemble.
        hidden: Width of each.
        heads: Attention heads of each.
        dropout: Dropout of each.
        ranking: Weight of the pairwise ranking loss beside the regression.
        learning_rate: Learning rate of AdamW.
        weight_decay: Weight decay of AdamW.
    """

    def __init__(
        self,
        tokens: int,
        context: int,
        members: int = 5,
        hidden: int = 24,
        heads: int = 2,
        dropout: float = 0.3,
        ranking: float = 1.0,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.1,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.standardizer = LayerStandardizer(tokens, context)
        self.members = nn.ModuleList(
            LayerAttentionPredictor(tokens, context, hidden, heads, dropout) for _ in range(members)
        )

    def loss(self, batch: LayerBatch) -> Tensor:
        """Returns the members' mean loss in training, else the loss of their mean."""
        scores = self._scores(batch)
        scores = scores if self.training else scores.mean(dim=0, keepdim=True)
        target = self.standardizer.scaled_target(batch.target)
        exists = valid_steps(batch.lengths, batch.layers.shape[1])
        return torch.stack([scoring_loss(own, target, exists, self.hparams["ranking"]) for own in scores]).mean()

    @torch.no_grad()
    def forward(self, batch: LayerBatch) -> Tensor:
        """Returns the foreseen final accuracy in percent after each snapshot, ``[b, t]``; NaN beyond a length."""
        accuracy = self.standardizer.percent(self._scores(batch).mean(dim=0))
        return accuracy.masked_fill(~valid_steps(batch.lengths, batch.layers.shape[1]), torch.nan)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns AdamW over all parameters."""
        options = self.hparams
        return torch.optim.AdamW(self.parameters(), lr=options["learning_rate"], weight_decay=options["weight_decay"])

    def _scores(self, batch: LayerBatch) -> Tensor:
        """Scores of each member, ``[members, b, t]``."""
        layers, context = self.standardizer(batch)
        return torch.stack([member(layers, batch.rows, context) for member in self.members])


class SnapshotPredictor(LightningModule):
    """Foresees final accuracies from snapshots: two normalizers, two encoders and the LSTM in one checkpoint.

    It is put together from trained parts by :func:`foretrain.snapshots.training.fit_snapshot_predictor`.

    Args:
        widths: Channels of the encoders' three layers.
        hidden: Width of the LSTM.
    """

    def __init__(self, widths: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.normalizers = nn.ModuleDict({kind: FeatureNormalizer() for kind in KINDS})
        self.encoders = nn.ModuleDict({kind: FeatureMapEncoder(widths) for kind in KINDS})
        self.predictor = SequencePredictor(len(KINDS) * widths[-1], hidden)

    @torch.no_grad()
    def forward(self, batch: SnapshotBatch) -> Tensor:
        """Returns the foreseen final accuracy in percent after each snapshot, ``[b, t]``; NaN beyond a length."""
        accuracy: Tensor = 100 * self.predictor(self.encode(batch))
        missing = ~valid_steps(batch.lengths, batch.maps.shape[1]).to(self.device)
        return accuracy.masked_fill(missing, torch.nan)

    def predict_step(self, batch: SnapshotBatch, batch_idx: int) -> Tensor:
        """Returns what :meth:`forward` gives."""
        return self.forward(batch)

    @torch.no_grad()
    def encode(self, batch: SnapshotBatch) -> Tensor:
        """Encodes the snapshots that exist, some at a time; the batch may lie on another device.

        Returns:
            ``float32[b, t, d]`` on this module's device, weights' codes first, zero beyond a network's length.
        """
        exists = valid_steps(batch.lengths, batch.maps.shape[1])
        parts = zip(*(torch.split(index, _CHUNK) for index in exists.nonzero(as_tuple=True)), strict=True)
        codes = torch.cat([self._encode(batch, network, step) for network, step in parts])
        exists = exists.to(self.device)
        return codes.new_zeros(*exists.shape, codes.shape[-1]).masked_scatter(exists[..., None], codes)

    def _encode(self, batch: SnapshotBatch, network: Tensor, step: Tensor) -> Tensor:
        """Encodes k snapshots, ``[k, d]``."""
        rows = batch.rows[network].to(self.device)
        codes = []
        for kind, name in enumerate(KINDS):
            maps = batch.maps[network, step, kind].to(self.device)
            codes.append(self.encoders[name](self.normalizers[name](maps, rows), rows))
        return torch.cat(codes, dim=-1)
