"""The GCN on batches of PyTorch Geometric."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from foretrain.predictors.gcn.network import GCN

if TYPE_CHECKING:
    from torch_geometric.data import Batch


class SparseGCN(nn.Module):
    """The same function as a :class:`.network.GCN`, with its weights, on graphs of any size.

    Args:
        gcn: Whose weights are used, and trained where this module is.
    """

    def __init__(self, gcn: GCN) -> None:
        super().__init__()
        self.gcn = gcn

    def forward(self, batch: Batch) -> Tensor:
        """Returns the scores ``float[n]``.

        Args:
            batch: ``x`` one-hot labels ``[vertices, labels]``, ``edge_index`` ``[2, edges]`` (source, target),
                ``batch`` ``[vertices]`` the graph of each vertex, ``ptr`` ``[n + 1]`` where each graph begins.
        """
        own = torch.arange(len(batch.x), device=batch.x.device)
        # A vertex sums over itself and its successors: messages run from the target of an edge to its source
        receiver, sender = torch.cat([batch.edge_index, own.expand(2, -1)], dim=1)
        scale = torch.bincount(receiver, minlength=len(own)).to(batch.x.dtype).rsqrt()
        weight = scale[receiver] if self.gcn.normalization == "one_sided" else scale[receiver] * scale[sender]
        features = batch.x
        for layer in self.gcn.weights:
            messages = (features @ layer)[sender] * weight[:, None]
            features = functional.relu(messages.new_zeros(len(own), layer.shape[1]).index_add(0, receiver, messages))
        sizes = batch.ptr.diff()
        pooled = features.new_zeros(len(sizes), features.shape[1]).index_add(0, batch.batch, features)
        return self.gcn.read_out(pooled / sizes[:, None])
