"""Graph features: counts, paths and degrees that describe a cell to a tree or a Gaussian process.

After Kadlecova et al., "Surprisingly Strong Performance Prediction with Neural Graph Features", ICML 2024.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations

import torch
from torch import Tensor

from foretrain.spaces.encodings.graph import GraphBatch, Vocabulary

_NO_PATH = float("-inf")


def graph_features(graphs: GraphBatch, vocabulary: Vocabulary) -> Tensor:
    """Returns ``float32[n, features]``, named by :func:`graph_feature_names`.

    For every non-empty subset of the operations that let something pass, over the paths from input to output made of
    them only: the number of paths, the longest and the shortest (in edges of the graph; 0 and the cell's number of
    vertices where there is none), the number of edges out of each input and into the output. Further, how often each
    operation occurs in the cell, and at most and at least on one path that lets something pass (0 where there is none).
    """
    subsets = _subsets(vocabulary).to(graphs.vertices.device)
    allowed = _allowed(graphs, vocabulary, subsets)
    everything = allowed[:, -1:]
    operations = graphs.vertices[..., vocabulary.operation_columns].mT
    passing = operations[:, _passing_columns(vocabulary)]
    step = torch.ones_like(everything, dtype=torch.float)
    columns = (
        _count_paths(graphs, vocabulary, allowed),
        _heaviest_path(graphs, vocabulary, allowed, step).clamp(min=0),
        torch.minimum(-_heaviest_path(graphs, vocabulary, allowed, -step), graphs.mask.sum(1, keepdim=True)),
        _degrees(graphs, vocabulary, allowed),
        operations.sum(2),
        _or_zero(_heaviest_path(graphs, vocabulary, everything, passing)),
        _or_zero(-_heaviest_path(graphs, vocabulary, everything, -passing)),
    )
    return torch.cat(columns, dim=1)


def graph_feature_names(vocabulary: Vocabulary) -> list[str]:
    """Returns what each column of :func:`graph_features` is, e.g. ``paths(skip_connect+nor_conv_3x3)``."""
    passing = [name for name in vocabulary.operations if name not in vocabulary.void]
    subsets = ["+".join(subset) for subset in _name_subsets(vocabulary)]
    ends = [f"edges_from_{name}" for name in vocabulary.inputs] + ["edges_to_output"]
    by_subset = [f"{kind}({subset})" for kind in ("paths", "longest", "shortest", *ends) for subset in subsets]
    counts = [f"count({name})" for name in vocabulary.operations]
    return by_subset + counts + [f"{kind}_on_path({name})" for kind in ("most", "fewest") for name in passing]


def _name_subsets(vocabulary: Vocabulary) -> list[tuple[str, ...]]:
    passing = [name for name in vocabulary.operations if name not in vocabulary.void]
    return [subset for size in range(1, len(passing) + 1) for subset in combinations(passing, size)]


@cache
def _subsets(vocabulary: Vocabulary) -> Tensor:
    """``float32[subsets, operations]``, 1 for the members; the last subset is the whole set."""
    rows = [[float(name in subset) for name in vocabulary.operations] for subset in _name_subsets(vocabulary)]
    return torch.tensor(rows)


def _passing_columns(vocabulary: Vocabulary) -> list[int]:
    return [column for column, name in enumerate(vocabulary.operations) if name not in vocabulary.void]


def _allowed(graphs: GraphBatch, vocabulary: Vocabulary, subsets: Tensor) -> Tensor:
    """``bool[n, subsets, v]``: the inputs, the output and the vertices whose operation is in the subset."""
    ends = graphs.vertices[..., : len(vocabulary.inputs)].sum(2) + graphs.vertices[..., -1]
    members = subsets @ graphs.vertices[..., vocabulary.operation_columns].mT
    return (members + ends[:, None]) > 0


def _count_paths(graphs: GraphBatch, vocabulary: Vocabulary, allowed: Tensor) -> Tensor:
    """``float32[n, subsets]``: number of paths from an input to the output over allowed vertices."""
    is_input = graphs.vertices[..., : len(vocabulary.inputs)].sum(2)
    counts = is_input[:, None] * allowed
    for vertex in range(1, counts.shape[2]):
        arriving = torch.einsum("nsu,nu->ns", counts[..., :vertex], graphs.adjacency[:, :vertex, vertex])
        counts[..., vertex] += arriving * allowed[..., vertex]
    return (counts * graphs.vertices[:, None, :, -1]).sum(2)


def _heaviest_path(graphs: GraphBatch, vocabulary: Vocabulary, allowed: Tensor, weights: Tensor) -> Tensor:
    """Weight of the heaviest path over allowed vertices, the input it starts from not counted.

    Args:
        graphs: The cells.
        vocabulary: Their labels.
        allowed: ``bool[n, s or 1, v]``, which vertices a path may use.
        weights: ``float32[n, s or 1, v]``, what each vertex weighs.

    Returns:
        ``float32[n, s]``; minus infinity where there is no path.
    """
    is_input = graphs.vertices[:, None, :, : len(vocabulary.inputs)].sum(3) > 0
    best = torch.where(is_input & allowed, 0.0, _NO_PATH) + torch.zeros_like(weights)
    for vertex in range(1, best.shape[2]):
        open_edges = (graphs.adjacency[:, None, :vertex, vertex] > 0) & allowed[..., vertex, None]
        arriving = torch.where(open_edges, best[..., :vertex], _NO_PATH).amax(2) + weights[..., vertex]
        best[..., vertex] = torch.maximum(best[..., vertex], arriving)
    is_output = graphs.vertices[:, None, :, -1] > 0
    return torch.where(is_output, best, 0.0).sum(2)


def _or_zero(lengths: Tensor) -> Tensor:
    return torch.where(lengths.isfinite(), lengths, 0.0)


def _degrees(graphs: GraphBatch, vocabulary: Vocabulary, allowed: Tensor) -> Tensor:
    """``float32[n, (inputs + 1) * subsets]``: edges from inputs to allowed vertices, and from those to the output."""
    is_input = graphs.vertices[..., : len(vocabulary.inputs)]
    after_input = torch.einsum("nui,nuv->niv", is_input, graphs.adjacency)
    before_output = torch.einsum("nuv,nv->nu", graphs.adjacency, graphs.vertices[..., -1])
    neighbours = torch.cat([after_input, before_output[:, None]], dim=1)
    return torch.einsum("nev,nsv->nes", neighbours, allowed.float()).flatten(1)
