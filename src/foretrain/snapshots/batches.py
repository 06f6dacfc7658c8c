"""What passes between storage, networks and users: batches of snapshots, of single feature maps and of codes.

A *feature map* describes one snapshot of one network by one kind of values (weights or gradients): ``[l, 100, 12]``,
l layers, row 0 the whole layer and up to 99 rows of its neurons or filters, 12 statistics of each. All values are
signed logarithms, ``sign(x) log1p(|x| / 1e-8)``. ``rows[l]`` counts the valid rows of a layer; a layer with 0 rows is
padding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from foretrain.batches import TensorBatch

KINDS = ("weights", "gradients")


@dataclass(frozen=True, eq=False)
class SnapshotBatch(TensorBatch):
    """The snapshots of b networks, t at most.

    Attributes:
        maps: ``float16[b, t, 2, l, 100, 12]``; kind 0 weights, kind 1 gradients.
        rows: ``int64[b, l]``, valid rows of each layer, 0 for padding.
        lengths: ``int64[b]``, number of snapshots of each network, 1 to t.
        target: ``float32[b]``, final accuracy in percent; NaN where it is unknown.
        arch_id: ``int64[b]``, identifies the network.
    """

    maps: Tensor
    rows: Tensor
    lengths: Tensor
    target: Tensor
    arch_id: Tensor


@dataclass(frozen=True, eq=False)
class FeatureMapBatch(TensorBatch):
    """b feature maps of one kind, each of one snapshot of one network.

    Attributes:
        maps: ``float16[b, l, 100, 12]``.
        rows: ``int64[b, l]``, valid rows of each layer, 0 for padding.
        arch_id: ``int64[b]``, the network the map belongs to.
    """

    maps: Tensor
    rows: Tensor
    arch_id: Tensor


@dataclass(frozen=True, eq=False)
class CodeBatch(TensorBatch):
    """The encoded snapshots of b networks.

    Attributes:
        codes: ``float32[b, t, d]``, the codes of weights and gradients side by side.
        lengths: ``int64[b]``, number of snapshots of each network.
        target: ``float32[b]``, final accuracy in percent.
        arch_id: ``int64[b]``, identifies the network.
    """

    codes: Tensor
    lengths: Tensor
    target: Tensor
    arch_id: Tensor


@dataclass(frozen=True, eq=False)
class LayerBatch(TensorBatch):
    """The snapshots of b networks, layer by layer, with what is known from outside.

    Attributes:
        layers: ``float32[b, t, l, d]``, as of :func:`foretrain.snapshots.summaries.summarize_layers`.
        rows: ``int64[b, l]``, valid rows of each layer, 0 for padding.
        context: ``float32[b, t, c]``, numbers known after each snapshot: losses, accuracies, hyperparameters, ...
        lengths: ``int64[b]``, number of snapshots of each network, 1 to t.
        target: ``float32[b]``, final accuracy in percent; NaN where it is unknown.
        arch_id: ``int64[b]``, identifies the network.
    """

    layers: Tensor
    rows: Tensor
    context: Tensor
    lengths: Tensor
    target: Tensor
    arch_id: Tensor


def valid_steps(lengths: Tensor, steps: int) -> Tensor:
    """Returns ``bool[b, steps]``: whether the network has that snapshot."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]
