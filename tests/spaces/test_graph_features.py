"""Graph features against an enumeration of all paths, and what they must not depend on."""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import pytest
import torch

from foretrain.spaces.base import SearchSpace
from foretrain.spaces.darts import DARTS
from foretrain.spaces.darts.encoders import _cell_graph
from foretrain.spaces.encodings.graph import GraphBatch, Vocabulary
from foretrain.spaces.graph_features import graph_feature_names, graph_features
from foretrain.spaces.nasbench101 import NASBench101
from foretrain.spaces.nasbench101.encoders import VOCABULARY as VOCABULARY_101
from foretrain.spaces.nasbench101.encoders import to_graph as to_graph_101
from foretrain.spaces.nasbench201 import NASBench201


def sampled(space: SearchSpace, n: int = 40) -> object:
    return space.sample(n, torch.Generator().manual_seed(1))


CASES = {
    "nasbench201": (NASBench201().encode(sampled(NASBench201()), "graph"), NASBench201.vocabulary),
    "nasbench101": (to_graph_101(sampled(NASBench101())), VOCABULARY_101),
    "darts": (_cell_graph(sampled(DARTS(), 6), 1), DARTS.vocabulary),
}


def described(graphs: GraphBatch, row: int, vocabulary: Vocabulary) -> dict[str, float]:
    """The features of one graph, from all its paths one by one."""
    labels = [vocabulary.labels[int(v.argmax())] if v.any() else "" for v in graphs.vertices[row]]
    graph = nx.from_numpy_array(graphs.adjacency[row].numpy(), create_using=nx.DiGraph)
    output = labels.index("output")
    inputs = [labels.index(name) for name in vocabulary.inputs]
    passing = [name for name in vocabulary.operations if name not in vocabulary.void]
    every = [path for source in inputs for path in nx.all_simple_paths(graph, source, output)]
    features: dict[str, float] = {}
    for size in range(1, len(passing) + 1):
        for subset in combinations(passing, size):
            name = "+".join(subset)
            lengths = [len(path) - 1 for path in every if all(labels[v] in subset for v in path[1:-1])]
            features[f"paths({name})"] = len(lengths)
            features[f"longest({name})"] = max(lengths, default=0)
            features[f"shortest({name})"] = min(lengths, default=int(graphs.mask[row].sum()))
            ends = {*subset, "output", *vocabulary.inputs}
            for source in inputs:
                features[f"edges_from_{labels[source]}({name})"] = sum(labels[v] in ends for v in graph[source])
            features[f"edges_to_output({name})"] = sum(labels[v] in ends for v in graph.predecessors(output))
    live = [[labels[v] for v in path] for path in every if all(labels[v] in passing for v in path[1:-1])]
    for name in vocabulary.operations:
        features[f"count({name})"] = labels.count(name)
    for name in passing:
        features[f"most_on_path({name})"] = max((path.count(name) for path in live), default=0)
        features[f"fewest_on_path({name})"] = min((path.count(name) for path in live), default=0)
    return features


@pytest.mark.parametrize("case", CASES)
def test_features_are_those_of_all_paths(case: str) -> None:
    graphs, vocabulary = CASES[case]
    names = graph_feature_names(vocabulary)
    computed = graph_features(graphs, vocabulary)
    assert computed.shape == (len(graphs), len(names))
    assert len(set(names)) == len(names)
    for row in range(len(graphs)):
        assert dict(zip(names, computed[row].tolist(), strict=True)) == described(graphs, row, vocabulary)


@pytest.mark.parametrize("case", CASES)
def test_padding_changes_nothing(case: str) -> None:
    graphs, vocabulary = CASES[case]
    pad = torch.nn.functional.pad
    padded = GraphBatch(
        pad(graphs.adjacency, (0, 2, 0, 2)),
        pad(graphs.vertices, (0, 0, 0, 2)),
        pad(graphs.mask, (0, 2)),
        graphs.arch_id,
    )
    assert torch.equal(graph_features(padded, vocabulary), graph_features(graphs, vocabulary))


def test_another_topological_order_changes_nothing() -> None:
    # nodes 1 and 2 of a NAS-Bench-201 cell without the edge between them trade places: edges 0-1 and 0-2, 1-3 and 2-3
    space = NASBench201()
    cells = space.enumerate()
    cells = cells[cells.ops[:, 2] == 0]
    graphs = space.encode(cells, "graph")
    order = torch.tensor([0, 2, 1, 3, 4, 6, 5, 7])
    swapped = GraphBatch(graphs.adjacency, graphs.vertices[:, order], graphs.mask, graphs.arch_id)
    assert not torch.equal(swapped.vertices, graphs.vertices)
    assert torch.equal(graph_features(swapped, space.vocabulary), graph_features(graphs, space.vocabulary))


def test_the_spaces_name_their_features() -> None:
    for space in (NASBench201(), DARTS()):
        assert len(space.feature_names) == space.encode(sampled(space, 2), "graph_features").shape[1]
        assert len(set(space.feature_names)) == len(space.feature_names)
