"""The encodings of DARTS architectures by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from foretrain.spaces.darts.cells import NUM_CELLS, NUM_INPUTS, NUM_NODES, NUM_SLOTS, OPERATIONS, CellPairs
from foretrain.spaces.encodings.categorical import one_hot
from foretrain.spaces.encodings.graph import GraphBatch, Vocabulary
from foretrain.spaces.encodings.path import paths
from foretrain.spaces.encodings.sequence import sequences, token_position
from foretrain.spaces.graph_features import graph_feature_names, graph_features
from foretrain.spaces.path_features import path_features

VOCABULARY = Vocabulary(
    inputs=("before_last", "last"),
    operations=OPERATIONS,
    weighted=frozenset(name for name in OPERATIONS if name.startswith(("sep_conv", "dil_conv"))),
    identity=frozenset({"skip_connect"}),
)
"""The labels in the graph of one cell."""

FEATURE_NAMES = [f"{cell}.{name}" for cell in ("normal", "reduction") for name in graph_feature_names(VOCABULARY)]

_NUM_EDGES = NUM_NODES * NUM_SLOTS
_PATH_LENGTH = 2


def to_graph(archs: CellPairs) -> GraphBatch:
    """Returns graphs of 22 vertices: the normal cell and, not connected to it, the reduction cell.

    Each cell has 11 vertices: its inputs, its eight operations node by node, its output. An operation leads to those
    that read its node, and to the output. The labels are those of ``VOCABULARY``, for the reduction cell plus ten.
    """
    normal, reduction = (_cell_graph(archs, cell) for cell in range(NUM_CELLS))
    size, labels = normal.vertices.shape[1:]
    adjacency = normal.adjacency.new_zeros(len(archs), 2 * size, 2 * size)
    adjacency[:, :size, :size], adjacency[:, size:, size:] = normal.adjacency, reduction.adjacency
    vertices = adjacency.new_zeros(len(archs), 2 * size, 2 * labels)
    vertices[:, :size, :labels], vertices[:, size:, labels:] = normal.vertices, reduction.vertices
    mask = torch.cat([normal.mask, reduction.mask], dim=1)
    return GraphBatch(adjacency, vertices, mask, normal.arch_id)


def ordinal(archs: CellPairs) -> Tensor:
    """Returns ``float32[n, 32]``: input and operation code of each edge in turn, normal cell first."""
    return torch.stack([archs.inputs, archs.ops], dim=-1).flatten(1).float()


def one_hot_choices(archs: CellPairs) -> Tensor:
    """Returns ``float32[n, 168]``: the inputs (of 2, 3, 4 or 5) and the operations of all edges as unit vectors."""
    inputs = [one_hot(archs.inputs[:, :, node].flatten(1), NUM_INPUTS + node) for node in range(NUM_NODES)]
    return torch.cat([*inputs, one_hot(archs.ops.flatten(1), len(OPERATIONS))], dim=1)


def adjacency_one_hot(archs: CellPairs) -> Tensor:
    """Returns ``float32[n, 224]``: for each of 28 possible edges 1 where it is there, then its operation one-hot.

    Unlike in ``one_hot`` the order in which a node names its two edges does not matter.
    """
    edges, operations = [], []
    for node in range(NUM_NODES):
        sources = torch.arange(NUM_INPUTS + node, device=archs.inputs.device)
        reads = archs.inputs[:, :, node, :, None] == sources
        edges.append(reads.any(2).flatten(1).float())
        operation = torch.where(reads, archs.ops[:, :, node, :, None], -1).amax(2)
        operations.append(one_hot(operation.flatten(1), len(OPERATIONS)))
    return torch.cat([*edges, *operations], dim=1)


def path(archs: CellPairs) -> Tensor:
    """Returns ``float32[n, 224]``: for each cell its paths of one and of two operations (14 + 98) from either input."""
    return _both(archs, lambda graph: paths(graph, VOCABULARY, shortest=1, longest=_PATH_LENGTH))


def sequence(archs: CellPairs) -> Tensor:
    """Returns ``int64[n, 130]``: the tokens, below 12, of the normal cell's graph and then of the reduction cell's."""
    return _both(archs, sequences)


def compact_sequence(archs: CellPairs) -> Tensor:
    """Returns ``int64[n, 96]``: the tokens of ``sequence`` that are not the same in all architectures."""
    return _both(archs, lambda graph: sequences(graph)[:, _VARYING])


def features(archs: CellPairs) -> Tensor:
    """Returns ``float32[n, 1566]``: the graph features of both cells, named by ``FEATURE_NAMES``."""
    return _both(archs, lambda graph: graph_features(graph, VOCABULARY))


def way_features(archs: CellPairs) -> Tensor:
    """Returns ``float32[n, 130]``: the path features of both cells."""
    return _both(archs, lambda graph: path_features(graph, VOCABULARY, longest=NUM_NODES))


ENCODERS: Mapping[str, Callable[[CellPairs], Tensor | GraphBatch]] = {
    "one_hot": one_hot_choices,
    "ordinal": ordinal,
    "adjacency": adjacency_one_hot,
    "path": path,
    "sequence": sequence,
    "compact_sequence": compact_sequence,
    "graph": to_graph,
    "graph_features": features,
    "path_features": way_features,
}


def _varying_positions() -> list[int]:
    """Of each operation's vertex: the edges from the inputs and from operations of earlier nodes, and its label."""
    positions = []
    for edge in range(_NUM_EDGES):
        vertex = NUM_INPUTS + edge
        first_of_node = vertex - edge % NUM_SLOTS
        positions += [token_position(vertex, source) for source in range(first_of_node)] + [token_position(vertex)]
    return positions


_VARYING = _varying_positions()


def _both(archs: CellPairs, encode: Callable[[GraphBatch], Tensor]) -> Tensor:
    return torch.cat([encode(_cell_graph(archs, cell)) for cell in range(NUM_CELLS)], dim=1)


def _cell_graph(archs: CellPairs, cell: int) -> GraphBatch:
    """The graph of eleven vertices of one of the two cells."""
    device = archs.ops.device
    node_of = torch.arange(NUM_INPUTS + _NUM_EDGES, device=device)
    node_of[NUM_INPUTS:] = NUM_INPUTS + (node_of[NUM_INPUTS:] - NUM_INPUTS) // NUM_SLOTS
    reads = archs.inputs[:, cell].flatten(1)
    size = NUM_INPUTS + _NUM_EDGES + 1
    adjacency = torch.zeros(len(archs), size, size, dtype=torch.bool, device=device)
    adjacency[:, :-1, NUM_INPUTS:-1] = node_of[:, None] == reads[:, None, :]
    adjacency[:, NUM_INPUTS:-1, -1] = True
    labels = torch.empty(len(archs), size, dtype=torch.int8, device=device)
    labels[:, :NUM_INPUTS] = torch.arange(NUM_INPUTS, device=device)
    labels[:, NUM_INPUTS:-1] = archs.ops[:, cell].flatten(1) + NUM_INPUTS
    labels[:, -1] = len(VOCABULARY.labels) - 1
    return GraphBatch.of(adjacency, labels, len(VOCABULARY.labels))
