"""NAS-Bench-201 networks: sizes against the published table, and which cells are one network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from networkx.algorithms.isomorphism import DiGraphMatcher
from torch import nn

from foretrain.errors import DataError
from foretrain.spaces.nasbench201 import EDGES, NUM_CELLS, OPERATIONS, Cells201, NASBench201, NASBench201Network
from foretrain.spaces.nasbench201.canonical import live_edges
from foretrain.spaces.nasbench201.network import Cell

CONVOLUTIONS = ("nor_conv_1x1", "nor_conv_3x3")
SPACE = NASBench201()
SMALL = NASBench201(channels=4, cells_per_stage=1, stages=2)


@pytest.fixture(scope="module")
def table(foretrain_data: Path) -> pd.DataFrame:
    columns = ["arch_str", "unique_str", "params_c10", "params_c100"]
    return pd.read_parquet(foretrain_data / "nasbench201" / "accuracies.parquet", columns=columns)


@pytest.fixture(scope="module")
def reachable(foretrain_data: Path) -> set[int]:
    """The published networks without unreachable operations."""
    folder = foretrain_data / "nasbench201"
    return set(pd.read_parquet(folder / "proxies_suite_zero_c10.parquet").arch_index.tolist())


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def operation_graph(cell: Cells201) -> nx.DiGraph:
    """The normal form, worked out edge by edge: live operations as vertices, multiplicities on the edges."""
    nodes: list[Counter] = [Counter(["in"]), Counter(), Counter(), Counter()]
    graph = nx.DiGraph()
    graph.add_node("in", label="in")
    graph.add_node("out", label="out")
    for edge, (source, target) in enumerate(EDGES):
        name = OPERATIONS[int(cell.ops[0, edge])]
        if name == "skip_connect":
            nodes[target] += nodes[source]
        elif name != "none" and nodes[source]:
            graph.add_node(edge, label=name)
            graph.add_weighted_edges_from((term, edge, times) for term, times in nodes[source].items())
            nodes[target] += Counter([edge])
    graph.add_weighted_edges_from((term, "out", times) for term, times in nodes[3].items())
    alive = nx.ancestors(graph, "out") | {"in", "out"}
    return graph.subgraph(alive).copy()


def isomorphism(first: nx.DiGraph, second: nx.DiGraph) -> dict[Any, Any] | None:
    """A mapping of the vertices that keeps labels and multiplicities, if there is one."""
    matcher = DiGraphMatcher(
        first, second, node_match=lambda a, b: a["label"] == b["label"], edge_match=lambda a, b: a == b
    )
    return dict(matcher.mapping) if matcher.is_isomorphic() else None


def megaparameters(ops: Iterable[int], num_classes: int) -> float:
    """Of the published skeleton; a cell's convolutions decide, in any order, so 28 networks are built for all cells."""
    return _megaparameters(tuple(sorted(op for op in ops if OPERATIONS[op] in CONVOLUTIONS)), num_classes)


@cache
def _megaparameters(convolutions: tuple[int, ...], num_classes: int) -> float:
    with torch.device("meta"):
        rest = [OPERATIONS.index("none")] * (len(EDGES) - len(convolutions))
        return count(NASBench201Network([*convolutions, *rest], 3, num_classes)) / 1e6


def test_only_convolutions_have_parameters() -> None:
    others = [code for code, name in enumerate(OPERATIONS) if name not in CONVOLUTIONS]
    with torch.device("meta"):
        sizes = {count(NASBench201Network([code] * len(EDGES), 3, 10)) for code in others}
    assert len(sizes) == 1


@pytest.mark.parametrize(("column", "num_classes"), [("params_c10", 10), ("params_c100", 100)])
def test_parameter_counts_of_the_published_table(table: pd.DataFrame, column: str, num_classes: int) -> None:
    ops = SPACE.parse(table.arch_str.tolist()).ops.tolist()
    built, published = np.array([megaparameters(cell, num_classes) for cell in ops]), table[column].to_numpy()
    differing = np.flatnonzero(~np.isclose(built, published, rtol=0, atol=1e-6))
    # these published rows carry the size of another cell of their published class
    assert len(differing) == 150
    for row in differing:
        mates = (table.unique_str == table.unique_str[row]).to_numpy()
        assert np.isclose(built[mates], published[row], rtol=0, atol=1e-6).any()


def test_live_cells_are_the_published_ones_without_unreachable_operations(
    table: pd.DataFrame, reachable: set[int]
) -> None:
    cells = SPACE.parse(table.arch_str.tolist())
    whole = (SPACE.prune(cells).ops == cells.ops).all(1)
    assert set(whole.nonzero().flatten().tolist()) == reachable


def test_pruning_leaves_the_network_and_its_key() -> None:
    cells = SPACE.enumerate()
    pruned = SPACE.prune(cells)
    assert torch.equal(SPACE.prune(pruned).ops, pruned.ops)
    assert torch.equal(live_edges(cells), pruned.ops != 0)
    assert SPACE.canonical(pruned) == SPACE.canonical(cells)


def test_the_default_skeleton_is_what_the_space_builds() -> None:
    cell = SPACE.sample(1, torch.Generator().manual_seed(0))
    assert count(SPACE.build(cell, 3, 10)) / 1e6 == megaparameters(cell.ops[0].tolist(), 10)


def test_there_are_5425_keys() -> None:
    assert len(set(SPACE.canonical(SPACE.enumerate()))) == 5425


def test_keys_are_equal_for_isomorphic_graphs_and_no_others() -> None:
    rows = torch.randperm(NUM_CELLS, generator=torch.Generator().manual_seed(2))[:2000]
    cells = SPACE.enumerate()[rows]
    groups: dict[str, dict[str, nx.DiGraph]] = {}
    matched = told_apart = 0
    for cell, key in zip(range(len(cells)), SPACE.canonical(cells), strict=True):
        graph = operation_graph(cells[cell])
        classes = groups.setdefault(invariant(graph), {})
        if key in classes:
            assert isomorphism(classes[key], graph) is not None
            matched += 1
            continue
        assert all(isomorphism(other, graph) is None for other in classes.values())
        told_apart += len(classes)
        classes[key] = graph
    assert sum(len(classes) for classes in groups.values()) == len(set(SPACE.canonical(cells)))
    assert matched > 300
    assert told_apart > 100


def invariant(graph: nx.DiGraph) -> str:
    """Equal for isomorphic graphs, but not only for them."""
    return str(sorted((graph.nodes[v]["label"], graph.in_degree(v), graph.out_degree(v)) for v in graph))


def equal_pairs(number: int) -> list[tuple[Cells201, Cells201]]:
    """Pairs of cells of one key that are written differently even without their dead operations."""
    cells = SPACE.prune(SPACE.enumerate())
    cells = Cells201(cells.ops.unique(dim=0))
    cells = cells[torch.randperm(len(cells), generator=torch.Generator().manual_seed(4))]
    by_key: dict[str, list[int]] = {}
    for row, key in enumerate(SPACE.canonical(cells)):
        by_key.setdefault(key, []).append(row)
    rows = [group[:2] for group in by_key.values() if len(group) > 1]
    return [(cells[first], cells[second]) for first, second in rows[:number]]


def test_one_key_means_one_size_and_one_function() -> None:
    images = torch.rand(5, 3, 6, 6, dtype=torch.double, generator=torch.Generator().manual_seed(5))
    for first, second in equal_pairs(40):
        one, other = SMALL.build(first, 3, 4).double(), SMALL.build(second, 3, 4).double()
        assert count(one) == count(other)
        transfer(one, other, isomorphism(operation_graph(first), operation_graph(second)) or {})
        torch.testing.assert_close(one(images), other(images), rtol=1e-9, atol=1e-9)


def transfer(source: nn.Module, target: nn.Module, edges: dict[Any, Any]) -> None:
    """Copies all weights, those of the cell's operations by the given mapping of edges."""
    other = dict(target.named_modules())
    for name, module in source.named_modules():
        if isinstance(module, Cell):
            for edge in set(edges) - {"in", "out"}:
                other[name].edges[edges[edge]].load_state_dict(module.edges[edge].state_dict())
        elif isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear) and ".edges." not in name:
            other[name].load_state_dict(module.state_dict())


def test_another_key_may_have_the_published_class_but_another_size() -> None:
    # a convolution used twice, and two convolutions used once each
    shared = SPACE.parse(["|nor_conv_1x1~0|+|none~0|skip_connect~1|+|none~0|avg_pool_3x3~1|avg_pool_3x3~2|"])
    doubled = SPACE.parse(["|nor_conv_1x1~0|+|nor_conv_1x1~0|none~1|+|none~0|avg_pool_3x3~1|avg_pool_3x3~2|"])
    assert SPACE.published_key(shared) == SPACE.published_key(doubled)
    assert SPACE.canonical(shared) != SPACE.canonical(doubled)
    assert megaparameters(shared.ops[0].tolist(), 10) != megaparameters(doubled.ops[0].tolist(), 10)


@pytest.mark.parametrize(("height", "width", "channels"), [(1, 1, 1), (7, 9, 1), (8, 8, 3)])
def test_images_of_any_size(height: int, width: int, channels: int) -> None:
    cell = SPACE.parse(["|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|none~0|nor_conv_1x1~1|skip_connect~2|"])
    network = SMALL.build(cell, channels, 7).eval()
    images = torch.rand(2, channels, height, width)
    assert network(images).shape == (2, 7)
    assert network.features(images).shape == (2, 8, (height + 1) // 2, (width + 1) // 2)


def test_a_cell_without_a_path_gives_zeros() -> None:
    cell = SPACE.parse(["|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|"])
    dead = Cell(SPACE.prune(cell).ops[0].tolist(), channels=4)
    assert not dead(torch.rand(2, 4, 5, 5)).any()


def test_exactly_one_cell_is_built() -> None:
    with pytest.raises(DataError, match="2 architectures where one is needed"):
        SPACE.build(SPACE.enumerate()[:2], 3, 10)
