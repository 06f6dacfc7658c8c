"""Which vertices of many graphs look alike from where they stand, so that a GCN computes each such view once.

After g layers a vertex knows its label and those of its successors, theirs, and so on to g steps (the colours of
Weisfeiler and Leman). The 2.97 million vertices of NAS-Bench-101's cells have far fewer different views than that, and
equal views have equal features: the GCN's scores of all cells follow exactly from one computation per view.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from foretrain.predictors.gcn.network import GCN
from foretrain.spaces.encodings.graph import GraphBatch

_VIEWS_AT_ONCE = 1 << 12
_HASH_SEEDS = (1, 2, 3)


class Views(NamedTuple):
    """The different views of one layer.

    Attributes:
        members: ``int64[views, 1 + s]``: of a vertex that has the view, its own view one layer below and those of its
            successors; the rest is filled with the number of views below.
        scale: ``float32[views]``: 1 over the root of one plus the number of successors.
    """

    members: Tensor
    scale: Tensor


@dataclass(frozen=True)
class Neighbourhoods:
    """The views of all vertices of n graphs, as a GCN tells them apart.

    Attributes:
        labels: ``float32[k, labels]``: features of the views of layer 0. With symmetric normalisation they are a label
            and a number of successors, else a label.
        layers: The views of each layer.
        graphs: ``int64[n, v]``: the last layer's view of each vertex; padding has the number of views.
        sizes: ``float32[n]``: number of vertices of each graph.
    """

    labels: Tensor
    layers: tuple[Views, ...]
    graphs: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, graphs: GraphBatch, gcn: GCN) -> Neighbourhoods:
        """Finds the views of graphs that this GCN (or one of its form) will score."""
        graph, vertex = graphs.mask.nonzero().unbind(1)
        place = torch.full(graphs.mask.shape, len(graph), device=graphs.device)
        place[graph, vertex] = torch.arange(len(graph), device=graphs.device)
        edges = graphs.adjacency[graph, vertex] > 0
        degree = edges.sum(1)
        successors = torch.where(edges, place[graph], len(graph)).sort(1).values[:, : int(degree.amax())]
        labels = graphs.vertices[graph, vertex]
        told_apart = labels.argmax(1) * len(labels) + degree * (gcn.normalization == "symmetric")
        kinds, view = torch.unique(told_apart, return_inverse=True)
        example = torch.empty_like(kinds).scatter_(0, view, torch.arange(len(view), device=view.device))
        layers, count = [], len(kinds)
        for _ in gcn.weights:
            views, view = _next_views(view, successors, count, labels.dtype)
            layers.append(views)
            count = len(views.scale)
        by_vertex = torch.cat([view, view.new_tensor([count])])
        features = labels[example] * _inner_scale(gcn, _scale(degree[example], labels.dtype))
        return cls(features, tuple(layers), by_vertex[place], graphs.mask.sum(1).to(labels.dtype))

    def score(self, gcn: GCN) -> Tensor:
        """Returns the scores ``float[n]`` that the GCN gives the graphs; gradients flow."""
        features = self.labels
        *inner, last = self.layers
        *weights, last_weight = gcn.weights
        for weight, views in zip(weights, inner, strict=True):
            features = _combine(_with_padding(features @ weight), views) * _inner_scale(gcn, views.scale)
        below = _with_padding(features @ last_weight)
        outputs = [_combine(below, part) @ gcn.output.weight[0] for part in _split(last)]
        by_view = functional.pad(torch.cat(outputs), (0, 1))
        return by_view[self.graphs].sum(1) / self.sizes + gcn.output.bias

    def to(self, device: torch.device | str) -> Neighbourhoods:
        """Moves all to a device."""
        layers = tuple(Views(*(column.to(device) for column in views)) for views in self.layers)
        return Neighbourhoods(self.labels.to(device), layers, self.graphs.to(device), self.sizes.to(device))


def _next_views(view: Tensor, successors: Tensor, count: int, dtype: torch.dtype) -> tuple[Views, Tensor]:
    """Returns the views one layer up and that of each vertex.

    Args:
        view: ``int64[vertices]``, views of this layer.
        successors: ``int64[vertices, s]``, places in ``view``; its length stands for none.
        count: Number of views of this layer.
        dtype: Of the features.

    Raises:
        RuntimeError: Hashes of 64 bits gave different rows one key, several times in a row.
    """
    padded = torch.cat([view, view.new_tensor([count])])
    members = torch.cat([view[:, None], padded[successors].sort(1).values], dim=1)
    for seed in _HASH_SEEDS:
        keys, upper = torch.unique(_hash(members, count, seed), return_inverse=True)
        example = torch.empty_like(keys).scatter_(0, upper, torch.arange(len(upper), device=upper.device))
        rows = members[example]
        if torch.equal(rows[upper], members):
            return Views(rows, _scale((rows[:, 1:] != count).sum(1), dtype)), upper
    raise RuntimeError(f"{len(_HASH_SEEDS)} hashes in a row gave different neighbourhoods one key")


def _scale(degree: Tensor, dtype: torch.dtype) -> Tensor:
    return (1 + degree).to(dtype).rsqrt()


def _inner_scale(gcn: GCN, scale: Tensor) -> Tensor | float:
    """What a view weighs in the sums one layer up, as a column."""
    return scale[:, None] if gcn.normalization == "symmetric" else 1.0


def _hash(members: Tensor, count: int, seed: int) -> Tensor:
    """``int64[vertices]``, equal for equal rows, and for different ones hardly ever."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randint(-(2**63), 2**63 - 1, (2, count + 1), generator=generator).to(members.device)
    return numbers[0][members[:, 0]] + numbers[1][members[:, 1:]].sum(1)


def _combine(below: Tensor, views: Views) -> Tensor:
    """The features ``float[views, d]`` of one layer from the mapped ones of the layer below."""
    return functional.relu(functional.embedding_bag(views.members, below, mode="sum") * views.scale[:, None])


def _with_padding(features: Tensor) -> Tensor:
    return functional.pad(features, (0, 0, 0, 1))


def _split(views: Views) -> Iterator[Views]:
    """So many views at a time that their features stay in the processor's cache."""
    for start in range(0, len(views.scale), _VIEWS_AT_ONCE):
        part = slice(start, start + _VIEWS_AT_ONCE)
        yield Views(views.members[part], views.scale[part])
