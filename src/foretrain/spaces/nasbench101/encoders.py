"""The encodings of NAS-Bench-101 cells by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from foretrain.spaces.encodings.categorical import one_hot
from foretrain.spaces.encodings.graph import GraphBatch, Vocabulary
from foretrain.spaces.encodings.path import paths
from foretrain.spaces.encodings.sequence import sequences
from foretrain.spaces.graph_features import graph_feature_names, graph_features
from foretrain.spaces.nasbench101.cells import ABSENT, EDGES, MAX_VERTICES, NUM_OPERATIONS, OUTPUT, Cells101
from foretrain.spaces.nasbench101.strings import OPERATION_NAMES
from foretrain.spaces.path_features import path_features

VOCABULARY = Vocabulary(
    inputs=("input",),
    operations=OPERATION_NAMES[:NUM_OPERATIONS],
    weighted=frozenset({"conv3x3-bn-relu", "conv1x1-bn-relu"}),
)
FEATURE_NAMES = graph_feature_names(VOCABULARY)

_COLUMNS = torch.tensor([1, 2, 3, 0, 4, -1], dtype=torch.int8)
"""Column of the label of each operation code; the last place is read by ``ABSENT``."""

_PATH_LENGTH = 3
_CHUNK = 1 << 16
_EDGE_PLACES = [MAX_VERTICES * source + target for source, target in EDGES]


def to_graph(cells: Cells101) -> GraphBatch:
    """Returns the cells as graphs of seven vertices; absent ones come last and are masked out."""
    labels = _COLUMNS.to(cells.ops.device)[cells.ops.long()]
    return GraphBatch.of(cells.adjacency, labels, len(VOCABULARY.labels))


def ordinal(cells: Cells101) -> Tensor:
    """Returns ``float32[n, 26]``: the 21 possible edges, then the operation codes of the five inner vertices."""
    return torch.cat([_edges(cells), _inner_operations(cells).float()], dim=1)


def one_hot_choices(cells: Cells101) -> Tensor:
    """Returns ``float32[n, 41]``: the 21 possible edges, then the inner vertices: absent or one of three operations."""
    return torch.cat([_edges(cells), one_hot(_inner_operations(cells) + 1, NUM_OPERATIONS + 1)], dim=1)


def adjacency_one_hot(cells: Cells101) -> Tensor:
    """Returns ``float32[n, 36]``: the 21 possible edges, then the operations of the vertices that are there one-hot."""
    return torch.cat([_edges(cells), one_hot(_inner_operations(cells), NUM_OPERATIONS)], dim=1)


def path(cells: Cells101) -> Tensor:
    """Returns ``float32[n, 40]``: the paths of 0 to 3 operations (1 + 3 + 9 + 27), as BANANAS truncates them."""
    return _in_chunks(cells, lambda graphs: paths(graphs, VOCABULARY, shortest=0, longest=_PATH_LENGTH))


def sequence(cells: Cells101) -> Tensor:
    """Returns ``int64[n, 27]``: tokens below 7 of the graph of seven vertices."""
    return _in_chunks(cells, sequences)


def features(cells: Cells101) -> Tensor:
    """Returns ``float32[n, 44]``: the graph features, named by ``FEATURE_NAMES``."""
    return _in_chunks(cells, lambda graphs: graph_features(graphs, VOCABULARY))


def way_features(cells: Cells101) -> Tensor:
    """Returns ``float32[n, 30]``: the path features."""
    return _in_chunks(cells, lambda graphs: path_features(graphs, VOCABULARY, longest=MAX_VERTICES - 2))


ENCODERS: Mapping[str, Callable[[Cells101], Tensor | GraphBatch]] = {
    "one_hot": one_hot_choices,
    "ordinal": ordinal,
    "adjacency": adjacency_one_hot,
    "path": path,
    "sequence": sequence,
    "graph": to_graph,
    "graph_features": features,
    "path_features": way_features,
}


def _edges(cells: Cells101) -> Tensor:
    return cells.adjacency.flatten(1)[:, _EDGE_PLACES].float()


def _inner_operations(cells: Cells101) -> Tensor:
    """``int8[n, 5]``: codes of vertices 1 to 5; the output of a smaller cell, which may lie there, counts as absent."""
    inner = cells.ops[:, 1:-1]
    return torch.where(inner == OUTPUT, ABSENT, inner)


def _in_chunks(cells: Cells101, encode: Callable[[GraphBatch], Tensor]) -> Tensor:
    """Encodes so many cells at a time that what is needed in between stays small beside the result."""
    return torch.cat(
        [encode(to_graph(cells[start : start + _CHUNK])) for start in range(0, max(len(cells), 1), _CHUNK)]
    )
