"""Each vertex with what stands before or after it: the neighbourhoods that a Weisfeiler-Leman kernel counts."""

from __future__ import annotations

import torch
from torch import Tensor

from foretrain.spaces.encodings.graph import GraphBatch

_PADDING = -1


def neighbourhoods(graphs: GraphBatch) -> Tensor:
    """Returns ``int64[n, 2 v]``: numbers equal exactly for equal neighbourhoods; -1 for padding.

    The neighbourhood of a vertex is its label with the labels of all its successors (first v columns), or with those of
    all its predecessors (last v columns): the colours of Shervashidze et al., "Weisfeiler-Lehman Graph Kernels", JMLR
    2011, after one round, on either side. They are numbers of mixed radix, so they mean the same in all batches.

    Raises:
        ValueError: Graphs are so large, or labels so many, that the numbers do not fit into 63 bits.
    """
    v, labels = graphs.vertices.shape[1:]
    radix = v + 1
    if labels * radix**labels >= 2**63:
        raise ValueError(f"neighbourhoods of {labels} labels in graphs of {v} vertices do not fit into 63 bits")
    places = radix ** torch.arange(labels, device=graphs.device)
    own = graphs.vertices.argmax(2) * radix**labels
    codes = []
    for side, adjacency in enumerate((graphs.adjacency, graphs.adjacency.mT)):
        around = (adjacency @ graphs.vertices).long() @ places
        codes.append(torch.where(graphs.mask, 2 * (own + around) + side, _PADDING))
    return torch.cat(codes, dim=1)
