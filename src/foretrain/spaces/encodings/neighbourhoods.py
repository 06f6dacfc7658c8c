"""Each vertex with what stands before or after it: the neighbourhoods that a Weisfeiler-Leman kernel counts."""

from __future__ import annotations

import torch
from torch import Tensor

from foretrain.spaces.encodings.graph import GraphBatch

_PADDING = -1
_MASK = 2**63 - 1


def neighbourhoods(graphs: GraphBatch) -> Tensor:
    """Returns ``int64[n, 2 v]``: numbers that are equal for equal neighbourhoods, in all batches; -1 for padding.

    The neighbourhood of a vertex is its label with the labels of all its successors (first v columns), or with those of
    all its predecessors (last v columns): the colours of Shervashidze et al., "Weisfeiler-Lehman Graph Kernels", JMLR
    2011, after one round, on either side. Where 62 bits hold all there can be, different neighbourhoods have different
    numbers; in larger graphs a number is a hash of 63 bits.
    """
    v, labels = graphs.vertices.shape[1:]
    of_neighbour, of_own = torch.split(_multipliers(v, labels).to(graphs.device), labels)
    own = of_own[graphs.vertices.argmax(2)]
    codes = []
    for side, adjacency in enumerate((graphs.adjacency, graphs.adjacency.mT)):
        around = (adjacency @ graphs.vertices).long() @ of_neighbour
        codes.append(torch.where(graphs.mask, (2 * (own + around) + side) & _MASK, _PADDING))
    return torch.cat(codes, dim=1)


def _multipliers(v: int, labels: int) -> Tensor:
    """``int64[2 labels]``: what each neighbour's label adds, then what each own label adds."""
    radix = v + 1
    if labels * radix**labels < _MASK // 2:
        places = [radix**place for place in range(labels)]
        return torch.tensor(places + [own * radix**labels for own in range(labels)])
    generator = torch.Generator().manual_seed(labels)
    return torch.randint(2**62, (2 * labels,), generator=generator)
