"""Cells as sentences of tokens, for the recurrent encoders of NAO, SemiNAS and EmProx.

Luo et al., "Neural Architecture Optimization", NeurIPS 2018; the layout is that of the public implementations.
"""

from __future__ import annotations

import torch
from torch import Tensor

from foretrain.spaces.encodings.graph import GraphBatch

START = 0
"""The token a decoder starts from; it also stands for the operation of a vertex that is only padding."""

_NO_EDGE, _FIRST_LABEL = 1, 2


def sequences(graphs: GraphBatch) -> Tensor:
    """Returns ``int64[n, (v - 1)(v + 4) / 2]``: for each vertex but the first what leads to it and what it does.

    Column by column of the adjacency matrix: a token 1 (no edge) or 2 (edge) for each entry above the diagonal, then
    the vertex's label plus 2. Eight vertices of seven labels make 35 tokens below 9.
    """
    edges = graphs.adjacency.long() + _NO_EDGE
    labels = torch.where(graphs.mask, graphs.vertices.argmax(2) + _FIRST_LABEL, START)
    size = labels.shape[1]
    words = [torch.cat([edges[:, :vertex, vertex], labels[:, vertex, None]], dim=1) for vertex in range(1, size)]
    return torch.cat(words, dim=1)


def token_position(vertex: int, source: int | None = None) -> int:
    """Returns where the token of the edge ``source -> vertex`` stands, or (no source) that of the vertex's label."""
    start = (vertex - 1) * (vertex + 2) // 2
    return start + (vertex if source is None else source)


def label_token(column: int) -> int:
    """Returns the token of the label that stands in this column of the vertices' one-hot code."""
    return column + _FIRST_LABEL
