"""The encodings of all spaces: what they say, that they lose nothing, and the types they come in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import networkx as nx
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch

from foretrain.errors import ConfigError
from foretrain.spaces.darts import DARTS
from foretrain.spaces.darts.encoders import ENCODERS as ENCODERS_DARTS
from foretrain.spaces.encodings.graph import GraphBatch, Vocabulary
from foretrain.spaces.encodings.path import paths
from foretrain.spaces.nasbench101 import Cells101, NASBench101
from foretrain.spaces.nasbench101.encoders import ENCODERS as ENCODERS_101
from foretrain.spaces.nasbench101.encoders import VOCABULARY as VOCABULARY_101
from foretrain.spaces.nasbench201 import EDGES, OPERATIONS, NASBench201
from foretrain.spaces.nasbench201.encoders import ENCODERS as ENCODERS_201

SPACE_201, SPACE_DARTS = NASBench201(), DARTS()
ALL_201 = SPACE_201.enumerate()
SOME_101 = NASBench101().sample(200, torch.Generator().manual_seed(0))
SOME_DARTS = SPACE_DARTS.sample(200, torch.Generator().manual_seed(0))
SETS = {
    "nasbench201": (ENCODERS_201, ALL_201[::77]),
    "nasbench101": (ENCODERS_101, SOME_101),
    "darts": (ENCODERS_DARTS, SOME_DARTS),
}
EVERY = [(space, kind) for space, (encoders, _) in SETS.items() for kind in encoders]
VECTORS = [(space, kind) for space, kind in EVERY if kind != "graph"]
WIDTHS = {
    "nasbench201": {
        "one_hot": 30,
        "ordinal": 6,
        "adjacency": 30,
        "path": 155,
        "sequence": 35,
        "compact_sequence": 6,
        "vertex_sequence": 14,
        "graph_features": 88,
        "path_features": 29,
    },
    "nasbench101": {
        "one_hot": 41,
        "ordinal": 26,
        "adjacency": 36,
        "path": 40,
        "sequence": 27,
        "graph_features": 44,
        "path_features": 30,
    },
    "darts": {
        "one_hot": 168,
        "ordinal": 32,
        "adjacency": 224,
        "path": 224,
        "sequence": 130,
        "compact_sequence": 96,
        "graph_features": 1566,
        "path_features": 90,
    },
}


def encode(space: str, kind: str) -> Tensor:
    encoders, archs = SETS[space]
    encoded = encoders[kind](archs)
    assert isinstance(encoded, Tensor)
    return encoded


@pytest.mark.parametrize(("space", "kind"), VECTORS)
def test_vectors_have_the_documented_width_and_type(space: str, kind: str) -> None:
    encoded = encode(space, kind)
    assert encoded.shape == (len(SETS[space][1]), WIDTHS[space][kind])
    assert encoded.dtype == (torch.int64 if "sequence" in kind else torch.float32)


@pytest.mark.parametrize(("space", "kind"), EVERY)
def test_an_architecture_is_encoded_alike_alone_and_in_a_batch(space: str, kind: str) -> None:
    encoders, archs = SETS[space]
    whole, alone, nothing = encoders[kind](archs), encoders[kind](archs[3]), encoders[kind](archs[:0])
    if isinstance(whole, GraphBatch):
        assert torch.equal(whole.adjacency[3:4], alone.adjacency)
        assert torch.equal(whole.vertices[3:4], alone.vertices)
        assert nothing.batch_size == 0
    else:
        assert torch.equal(whole[3:4], alone)
        assert nothing.shape == (0, whole.shape[1])


@pytest.mark.parametrize("kind", ["one_hot", "ordinal", "adjacency", "sequence", "compact_sequence"])
def test_cells_of_nasbench201_stay_different(kind: str) -> None:
    encoded = SPACE_201.encode(ALL_201, kind)
    assert isinstance(encoded, Tensor)
    assert len(encoded.unique(dim=0)) == len(ALL_201)


@pytest.mark.parametrize("kind", ["one_hot", "ordinal", "adjacency", "sequence"])
def test_cells_of_nasbench101_stay_different(kind: str, foretrain_data: Path) -> None:
    table = pd.read_parquet(foretrain_data / "nasbench101" / "cells_test_accuracy.parquet").iloc[::50]
    cells = Cells101.from_table(table.edge_bits, table.n, table[["op1", "op2", "op3", "op4", "op5"]])
    encoded = ENCODERS_101[kind](cells)
    assert isinstance(encoded, Tensor)
    assert len(encoded.unique(dim=0)) == len(cells)


def test_one_hot_and_ordinal_of_a_cell() -> None:
    cell = SPACE_201.parse(["|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|nor_conv_3x3~1|skip_connect~2|"])
    codes = [4, 2, 1, 0, 3, 1]
    assert SPACE_201.encode(cell, "ordinal").tolist() == [codes]
    assert SPACE_201.encode(cell, "one_hot").reshape(6, 5).argmax(1).tolist() == codes
    adjacency = SPACE_201.encode(cell, "adjacency")[0]
    assert adjacency[:6].tolist() == [1, 1, 1, 0, 1, 1]
    assert adjacency[6:].reshape(6, 4).sum(1).tolist() == [1, 1, 1, 0, 1, 1]
    assert adjacency[6:].reshape(6, 4)[4].tolist() == [0, 0, 1, 0]


def test_order_of_edges_does_not_matter_to_the_adjacency_of_darts() -> None:
    swapped = type(SOME_DARTS)(SOME_DARTS.inputs.flip(3), SOME_DARTS.ops.flip(3))
    adjacency = SPACE_DARTS.encode(SOME_DARTS, "adjacency")
    assert torch.equal(SPACE_DARTS.encode(swapped, "adjacency"), adjacency)
    assert not torch.equal(SPACE_DARTS.encode(swapped, "one_hot"), SPACE_DARTS.encode(SOME_DARTS, "one_hot"))
    assert (adjacency.sum(1) == 2 * 2 * 8).all()


def test_paths_of_nasbench201() -> None:
    # the four paths, by the positions of their edges in the architecture string
    routes = [(3,), (0, 4), (1, 5), (0, 2, 5)]
    for route in routes:
        steps = [EDGES[edge] for edge in route]
        assert (steps[0][0], steps[-1][1]) == (0, 3)
    first = {1: 0, 2: 5, 3: 5 + 25}
    encoded = SPACE_201.encode(ALL_201[::131], "path")
    for row, ops in zip(encoded, ALL_201[::131].ops.tolist(), strict=True):
        expected = set()
        for route in routes:
            digits = "".join(str(ops[edge]) for edge in route)
            expected.add(first[len(route)] + int(digits, 5))
        assert set(row.nonzero().flatten().tolist()) == expected


@pytest.mark.parametrize(
    ("graphs", "vocabulary", "shortest", "longest"),
    [
        (ENCODERS_101["graph"](SOME_101), VOCABULARY_101, 0, 5),
        (ENCODERS_101["graph"](SOME_101), VOCABULARY_101, 1, 2),
        (ENCODERS_201["graph"](ALL_201[::300]), SPACE_201.vocabulary, 2, 3),
    ],
)
def test_paths_are_those_of_the_graph(graphs: GraphBatch, vocabulary: Vocabulary, shortest: int, longest: int) -> None:
    operations = vocabulary.operations
    widths = [len(operations) ** length for length in range(shortest, longest + 1)]
    encoded = paths(graphs, vocabulary, shortest, longest)
    assert encoded.shape[1] == sum(widths)
    for row in range(len(graphs)):
        labels = [vocabulary.labels[int(vertex.argmax())] for vertex in graphs.vertices[row][graphs.mask[row]]]
        graph = nx.from_numpy_array(graphs.adjacency[row].numpy(), create_using=nx.DiGraph)
        expected = set()
        for path in nx.all_simple_paths(graph, 0, labels.index("output")):
            codes = [operations.index(labels[vertex]) for vertex in path[1:-1]]
            if shortest <= len(codes) <= longest:
                number = sum(code * len(operations) ** place for place, code in enumerate(reversed(codes)))
                expected.add(sum(widths[: len(codes) - shortest]) + number)
        assert set(encoded[row].nonzero().flatten().tolist()) == expected


def test_sequence_of_a_nasbench201_cell() -> None:
    cell = SPACE_201.parse(["|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|nor_conv_3x3~1|skip_connect~2|"])
    tokens = SPACE_201.encode(cell, "sequence")[0].tolist()
    # labels: input 0, operations 1 to 5, output 6; edges into each vertex, then its label
    operations = [code + 1 for code in (4, 2, 1, 0, 3, 1)]
    edges = [[0], [0], [1], [0], [1], [2, 3], [4, 5, 6]]
    expected = []
    for vertex, (sources, label) in enumerate(zip(edges, [*operations, 6], strict=True), start=1):
        expected += [2 if source in sources else 1 for source in range(vertex)] + [label + 2]
    assert tokens == expected
    assert len(tokens) == 35
    assert max(tokens) == SPACE_201.vocabulary.num_tokens - 1 == 8


@pytest.mark.parametrize(
    ("space", "archs"),
    [(SPACE_201, ALL_201), (SPACE_DARTS, SPACE_DARTS.sample(3000, torch.Generator().manual_seed(1)))],
)
def test_the_compact_sequence_holds_what_varies(space: NASBench201 | DARTS, archs: object) -> None:
    whole, compact = space.encode(archs, "sequence"), space.encode(archs, "compact_sequence")
    varying = [place for place in range(whole.shape[1]) if len(whole[:, place].unique()) > 1]
    assert torch.equal(whole[:, varying], compact)
    if space is SPACE_201:
        assert varying == [1, 4, 8, 13, 19, 26]


def test_the_vertex_sequence_is_that_of_the_live_part() -> None:
    found = SPACE_201.encode(ALL_201, "vertex_sequence")
    assert torch.equal(found, SPACE_201.encode(SPACE_201.prune(ALL_201), "vertex_sequence"))
    operations = SPACE_201.encode(SPACE_201.prune(ALL_201), "compact_sequence")
    assert torch.equal(found[:, 1:-1:2], operations)


@pytest.mark.parametrize("space", SETS)
def test_sequences_stay_in_the_vocabulary_and_can_be_read_back(space: str) -> None:
    encoders, archs = SETS[space]
    vocabulary = {"nasbench201": SPACE_201, "darts": SPACE_DARTS}.get(space)
    num_tokens = vocabulary.vocabulary.num_tokens if vocabulary else VOCABULARY_101.num_tokens
    tokens = encode(space, "sequence")
    assert tokens.min() >= 0
    assert tokens.max() == num_tokens - 1
    if space == "darts":
        return
    graphs = encoders["graph"](archs)
    assert isinstance(graphs, GraphBatch)
    start = 0
    for vertex in range(1, graphs.mask.shape[1]):
        assert torch.equal(tokens[:, start : start + vertex] - 1, graphs.adjacency[:, :vertex, vertex].long())
        label = tokens[:, start + vertex] - 2
        assert torch.equal(label >= 0, graphs.mask[:, vertex])
        assert torch.equal(label[label >= 0], graphs.vertices[:, vertex].argmax(1)[graphs.mask[:, vertex]])
        start += vertex + 1
    assert start == tokens.shape[1]


@pytest.mark.parametrize("space", SETS)
def test_graphs_are_well_formed(space: str) -> None:
    encoders, archs = SETS[space]
    graphs = encoders["graph"](archs)
    assert isinstance(graphs, GraphBatch)
    assert graphs.batch_size == len(graphs) == len(archs)
    assert not graphs.adjacency.tril().any()
    assert torch.equal(graphs.vertices.sum(2), graphs.mask.float())
    ends = graphs.mask[:, :, None] & graphs.mask[:, None, :]
    assert not graphs.adjacency[~ends].any()
    chosen = graphs[[5, 2]]
    assert chosen.arch_id.tolist() == [5, 2]
    assert torch.equal(chosen.vertices, graphs.vertices[[5, 2]])
    assert graphs.to("meta").mask.is_meta


def test_graph_of_a_nasbench201_cell_joins_operations_that_meet() -> None:
    graphs = SPACE_201.encode(ALL_201[4321], "graph")
    starts = {vertex + 1: edge[0] for vertex, edge in enumerate(EDGES)} | {7: 3}
    ends = {vertex + 1: edge[1] for vertex, edge in enumerate(EDGES)} | {0: 0}
    for source in range(8):
        for target in range(8):
            joined = source in ends and target in starts and ends[source] == starts[target]
            assert bool(graphs.adjacency[0, source, target]) == joined
    labels = [SPACE_201.vocabulary.labels[label] for label in graphs.vertices[0].argmax(1)]
    assert labels == ["input", *(OPERATIONS[op] for op in ALL_201[4321].ops[0]), "output"]


def test_graphs_of_darts_keep_the_two_cells_apart() -> None:
    graphs = SPACE_DARTS.encode(SOME_DARTS, "graph")
    assert not graphs.adjacency[:, :11, 11:].any()
    assert not graphs.vertices[:, :11, 10:].any()
    assert not graphs.vertices[:, 11:, :10].any()
    mirrored = type(SOME_DARTS)(SOME_DARTS.inputs.flip(1), SOME_DARTS.ops.flip(1))
    other = SPACE_DARTS.encode(mirrored, "graph")
    assert torch.equal(other.adjacency[:, :11, :11], graphs.adjacency[:, 11:, 11:])
    # an operation of node 1 reads an input, or both operations of node 0
    into = graphs.adjacency[:, :10, 4]
    reads = SOME_DARTS.inputs[:, 0, 1, 0].long()
    expected = torch.zeros_like(into)
    for row, source in enumerate(reads.tolist()):
        expected[row, [source] if source < 2 else [2, 3]] = 1
    assert torch.equal(into, expected)


@pytest.mark.parametrize("space", SETS)
def test_pyg_batches_hold_the_same_graphs(space: str) -> None:
    encoders, archs = SETS[space]
    graphs = encoders["graph"](archs[:20])
    assert isinstance(graphs, GraphBatch)
    batch, items = graphs.to_pyg(), graphs.to_data_list()
    collated = Batch.from_data_list(items)
    assert batch.num_graphs == collated.num_graphs == len(items) == 20
    for name in ("x", "edge_index", "batch", "ptr", "arch_id"):
        assert torch.equal(batch[name], collated[name])
    for row, item in enumerate(items):
        item.validate()
        size = int(graphs.mask[row].sum())
        dense = torch.zeros(size, size)
        dense[tuple(item.edge_index)] = 1
        assert torch.equal(dense, graphs.adjacency[row, :size, :size])


@pytest.mark.parametrize("encoded", ["graph", "one_hot"])
def test_encode_finds_the_encoder_by_name(encoded: str) -> None:
    calls: Callable = SPACE_DARTS.encoders[encoded]
    first, second = SPACE_DARTS.encode(SOME_DARTS, encoded), calls(SOME_DARTS)
    assert type(first) is type(second)


def test_an_unknown_encoding_is_an_error_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"adjacency, compact_sequence, graph, graph_features, one_hot"):
        SPACE_DARTS.encode(SOME_DARTS, "tree")
