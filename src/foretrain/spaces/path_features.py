"""Path features: how much of what lies on the ways from input to output of a cell.

What a network can compute depends on the ways through it more than on its edges: these columns say how many ways
there are and how many operations of some group each of them passes. Operations that no way passes play no part, so
two cells that are the same network have the same features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from foretrain.spaces.encodings.graph import GraphBatch, Vocabulary

_WEIGHTED = "weighted"


def path_features(graphs: GraphBatch, vocabulary: Vocabulary, longest: int) -> Tensor:
    """Returns ``float32[n, features]``.

    The groups are each operation but identity, those with weights, and all but identity. For each group: its
    operations summed over all ways, the most and the fewest on one way (0 and ``longest + 1`` where there is none), and
    the number of ways that pass at least one. For those with weights also the number of ways that pass exactly 0, 1,
    ..., ``longest`` of them. Further the number of ways, and how often each operation lies on any way.

    Args:
        graphs: The cells.
        vocabulary: Their labels.
        longest: Most operations on a way.
    """
    members = _membership(vocabulary).to(graphs.vertices.device)
    ways = count_ways(graphs, vocabulary, members, longest)
    numbers = torch.arange(longest + 1, device=ways.device, dtype=ways.dtype)
    some = ways > 0
    statistics = (
        (ways * numbers).sum(2),
        torch.where(some, numbers, 0.0).amax(2),
        torch.where(some, numbers, float(longest + 1)).amin(2),
        ways[..., 1:].sum(2),
    )
    by_weighted = ways[:, list(_groups(vocabulary)).index(_WEIGHTED)]
    return torch.cat([*statistics, by_weighted, by_weighted.sum(1, keepdim=True), _on_ways(graphs, vocabulary)], dim=1)


def count_ways(graphs: GraphBatch, vocabulary: Vocabulary, members: Tensor, longest: int) -> Tensor:
    """Returns ``float32[n, g, longest + 1]``: the ways from an input to the output by how many members they pass.

    Args:
        graphs: The cells.
        vocabulary: Their labels.
        members: ``float32[g, operations]``, 1 for the operations of each group.
        longest: Most operations on a way.
    """
    operations = graphs.vertices[..., vocabulary.operation_columns]
    counts = torch.einsum("go,nvo->ngv", members, operations)[..., None]
    inputs = graphs.vertices[..., : len(vocabulary.inputs)].sum(2)
    open_to = _passable(graphs, vocabulary)
    ways = inputs.new_zeros(len(graphs), len(members), inputs.shape[1], longest + 1)
    ways[..., 0] = inputs[:, None]
    for vertex in range(1, inputs.shape[1]):
        arriving = torch.einsum("nguk,nu->ngk", ways[:, :, :vertex], graphs.adjacency[:, :vertex, vertex])
        shifted = torch.nn.functional.pad(arriving[..., :-1], (1, 0))
        passed = torch.where(counts[:, :, vertex] > 0, shifted, arriving)
        ways[:, :, vertex] += passed * open_to[:, None, vertex, None]
    return torch.einsum("ngvk,nv->ngk", ways, graphs.vertices[..., -1])


def _groups(vocabulary: Vocabulary) -> dict[str, tuple[str, ...]]:
    """The groups of operations by name, each once."""
    acting = tuple(name for name in vocabulary.passing if name not in vocabulary.identity)
    weighted = tuple(name for name in acting if name in vocabulary.weighted)
    return {name: (name,) for name in acting} | {_WEIGHTED: weighted, "acting": acting}


def _membership(vocabulary: Vocabulary) -> Tensor:
    return torch.tensor(
        [[float(name in group) for name in vocabulary.operations] for group in _groups(vocabulary).values()]
    )


def _passable(graphs: GraphBatch, vocabulary: Vocabulary) -> Tensor:
    """``float32[n, v]``: 1 for the vertices that let something pass, ends included."""
    void = [vocabulary.labels.index(name) for name in vocabulary.void]
    return graphs.mask.float() - graphs.vertices[..., void].sum(2)


def _on_ways(graphs: GraphBatch, vocabulary: Vocabulary) -> Tensor:
    """``float32[n, passing]``: how often each operation lies on a way from an input to the output."""
    passable = _passable(graphs, vocabulary)
    size = passable.shape[1]
    reached = graphs.vertices[..., : len(vocabulary.inputs)].sum(2)
    needed = graphs.vertices[..., -1].clone()
    for vertex in range(1, size):
        arriving = torch.einsum("nu,nu->n", reached[:, :vertex], graphs.adjacency[:, :vertex, vertex])
        reached[:, vertex] = torch.maximum(reached[:, vertex], ((arriving > 0) * passable[:, vertex]))
    for vertex in range(size - 2, -1, -1):
        leaving = torch.einsum("nu,nu->n", needed[:, vertex + 1 :], graphs.adjacency[:, vertex, vertex + 1 :])
        needed[:, vertex] = torch.maximum(needed[:, vertex], ((leaving > 0) * passable[:, vertex]))
    columns = [vocabulary.labels.index(name) for name in vocabulary.passing]
    return torch.einsum("nv,nvo->no", reached * needed, graphs.vertices[..., columns])
