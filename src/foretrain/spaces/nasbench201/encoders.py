"""The encodings of NAS-Bench-201 cells by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from foretrain.spaces.encodings.categorical import one_hot
from foretrain.spaces.encodings.graph import GraphBatch, Vocabulary
from foretrain.spaces.encodings.path import paths
from foretrain.spaces.encodings.sequence import label_token, sequences, token_position
from foretrain.spaces.graph_features import graph_feature_names, graph_features
from foretrain.spaces.nasbench201.canonical import prune
from foretrain.spaces.nasbench201.cells import EDGES, NONE, NUM_NODES, OPERATIONS, Cells201
from foretrain.spaces.path_features import path_features

VOCABULARY = Vocabulary(
    inputs=("input",),
    operations=OPERATIONS,
    void=frozenset({"none"}),
    weighted=frozenset({"nor_conv_1x1", "nor_conv_3x3"}),
    identity=frozenset({"skip_connect"}),
)

FEATURE_NAMES = graph_feature_names(VOCABULARY)

_OPERATION_VERTICES = range(1, len(EDGES) + 1)
"""The vertices of the graph: the input, the operations in the order of ``EDGES``, the output."""


def to_graph(cells: Cells201) -> GraphBatch:
    """Returns the cells as graphs of eight vertices: input, the six edges' operations, output.

    All cells have the same adjacency; an operation leads to those that start where it ends.
    """
    labels = torch.empty(len(cells), len(EDGES) + 2, dtype=torch.int8, device=cells.ops.device)
    labels[:, 0] = 0
    labels[:, 1:-1] = cells.ops + len(VOCABULARY.inputs)
    labels[:, -1] = len(VOCABULARY.labels) - 1
    adjacency = _adjacency().to(cells.ops.device).repeat(len(cells), 1, 1)
    return GraphBatch.of(adjacency, labels, len(VOCABULARY.labels))


def ordinal(cells: Cells201) -> Tensor:
    """Returns ``float32[n, 6]``: the code of each operation."""
    return cells.ops.float()


def one_hot_operations(cells: Cells201) -> Tensor:
    """Returns ``float32[n, 30]``: each operation, ``none`` included, as a unit vector."""
    return one_hot(cells.ops, len(OPERATIONS))


def adjacency_one_hot(cells: Cells201) -> Tensor:
    """Returns ``float32[n, 30]``: for each edge 1 unless it is ``none``, then the other four operations one-hot."""
    present = (cells.ops != NONE).float()
    return torch.cat([present, one_hot(cells.ops - 1, len(OPERATIONS) - 1)], dim=1)


def path(cells: Cells201) -> Tensor:
    """Returns ``float32[n, 155]``: the operations along the four paths, of 5 + 25 + 125 possible ones."""
    return paths(to_graph(cells), VOCABULARY, shortest=1, longest=NUM_NODES - 1)


def sequence(cells: Cells201) -> Tensor:
    """Returns ``int64[n, 35]``: tokens below 9 of the graph of eight vertices."""
    return sequences(to_graph(cells))


def compact_sequence(cells: Cells201) -> Tensor:
    """Returns ``int64[n, 6]``: the tokens 1, 4, 8, 13, 19 and 26 of ``sequence``, the only ones that ever vary."""
    return sequence(cells)[:, [token_position(vertex) for vertex in _OPERATION_VERTICES]]


def vertex_sequence(cells: Cells201) -> Tensor:
    """Returns ``int64[n, 14]``: of each vertex but the first the token of its last edge and its own.

    Dead operations are left out: cells that differ in them only have the same sequence, unlike those above.
    """
    vertices = range(1, len(EDGES) + 2)
    places = [place for vertex in vertices for place in (token_position(vertex, vertex - 1), token_position(vertex))]
    return sequence(prune(cells))[:, places]


def from_vertex_sequence(tokens: Tensor) -> tuple[Cells201, Tensor]:
    """Returns the cells, of live operations only, of those sequences ``int64[n, 14]`` that describe one, and which."""
    return from_compact_sequence(tokens[:, 1 : 2 * len(EDGES) : 2])


def from_compact_sequence(tokens: Tensor) -> tuple[Cells201, Tensor]:
    """Returns the cells of those sequences ``int64[n, 6]`` that describe one, and which they are (``bool[n]``)."""
    ops = tokens - label_token(len(VOCABULARY.inputs))
    valid = ((ops >= 0) & (ops < len(OPERATIONS))).all(1)
    return Cells201(ops[valid].to(torch.int8)), valid


def features(cells: Cells201) -> Tensor:
    """Returns ``float32[n, 88]``: the graph features, named by ``FEATURE_NAMES``."""
    return graph_features(to_graph(cells), VOCABULARY)


def way_features(cells: Cells201) -> Tensor:
    """Returns ``float32[n, 29]``: the path features."""
    return path_features(to_graph(cells), VOCABULARY, longest=NUM_NODES - 1)


ENCODERS: Mapping[str, Callable[[Cells201], Tensor | GraphBatch]] = {
    "one_hot": one_hot_operations,
    "ordinal": ordinal,
    "adjacency": adjacency_one_hot,
    "path": path,
    "sequence": sequence,
    "compact_sequence": compact_sequence,
    "vertex_sequence": vertex_sequence,
    "graph": to_graph,
    "graph_features": features,
    "path_features": way_features,
}

DECODERS: Mapping[str, Callable[[Tensor], tuple[Cells201, Tensor]]] = {
    "compact_sequence": from_compact_sequence,
    "vertex_sequence": from_vertex_sequence,
}


def _adjacency() -> Tensor:
    """``bool[8, 8]``: which vertex leads to which."""
    ends = [0, *(target for _, target in EDGES)]
    starts = [*(source for source, _ in EDGES), NUM_NODES - 1]
    matrix = torch.zeros(len(EDGES) + 2, len(EDGES) + 2, dtype=torch.bool)
    matrix[:-1, 1:] = torch.tensor(ends)[:, None] == torch.tensor(starts)
    return matrix
